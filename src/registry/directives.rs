//! The directives, in the order of the documentation.

mod elb;
mod websocket;

use Context::{Any, Http, Location, Server, Upstream};

/// A directive.
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    /// Its name.
    pub name: &'static str,
    /// The ways to write it, without the semicolon.
    pub syntax: &'static [&'static str],
    /// The arguments that it has where it does not stand, as far as it has any then.
    pub default: Option<&'static str>,
    /// The blocks that it may stand in.
    pub contexts: &'static [Context],
    /// How many arguments it takes.
    pub arguments: Arguments,
    /// What it does, in Markdown.
    pub about: &'static str,
    /// Arguments that it takes.
    pub good: &'static [&'static str],
    /// Arguments that it does not take.
    pub bad: &'static [&'static str],
}

/// A block of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Every block, and none.
    Any,
    /// `http`
    Http,
    /// `server` of `http`
    Server,
    /// `location`
    Location,
    /// `upstream` of `http`
    Upstream,
}

impl Context {
    /// The name of the block.
    pub const fn as_str(self) -> &'static str {
        match self {
            Any => "any",
            Http => "http",
            Server => "server",
            Location => "location",
            Upstream => "upstream",
        }
    }
}

/// How many arguments a directive takes, as nginx counts them before it calls the directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// The least and the most, which is at most 7.
    Between(u32, u32),
    /// The least, 0 to 2, and no limit.
    AtLeast(u32),
}

const ANYWHERE: &[Context] = &[Http, Server, Location];

/// The declaration of a directive.
///
/// # Panics
/// There is none of this name; as the tables of commands are constants, that fails the build.
pub const fn directive(name: &str) -> &'static Directive {
    let mut index = 0;
    while index < DIRECTIVES.len() {
        if is_same(DIRECTIVES[index].name.as_bytes(), name.as_bytes()) {
            return &DIRECTIVES[index];
        }
        index += 1;
    }
    panic!("a directive that is not declared");
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

/// Every directive.
pub const DIRECTIVES: &[Directive] = &{
    let (elb, websocket) = (elb::ALL, websocket::ALL);
    let mut all = [elb[0]; elb::ALL.len() + websocket::ALL.len()];
    let mut index = 0;
    while index < all.len() {
        all[index] = match index < elb.len() {
            true => elb[index],
            false => websocket[index - elb.len()],
        };
        index += 1;
    }
    all
};
