//! The directives, in the order of the documentation.

mod elb;
mod websocket;

use Context::{Any, Http, Location, Server, Upstream};

/// A directive.
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    /// Its name.
    pub name: &'static str,
    /// Its syntax, without the semicolon.
    pub syntax: &'static [&'static str],
    /// The arguments that apply if the directive is absent, if any.
    pub default: Option<&'static str>,
    /// The blocks in which it is allowed.
    pub contexts: &'static [Context],
    /// How many arguments it accepts.
    pub arguments: Arguments,
    /// Its effect, in Markdown.
    pub about: &'static str,
    /// Valid arguments.
    pub good: &'static [&'static str],
    /// Invalid arguments.
    pub bad: &'static [&'static str],
}

/// A block of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Every block, and the main context.
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

/// The number of arguments of a directive, which nginx checks before it calls the directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// The minimum and the maximum, which is at most 7.
    Between(u32, u32),
    /// The minimum, 0 to 2; no maximum.
    AtLeast(u32),
}

const ANYWHERE: &[Context] = &[Http, Server, Location];

/// The declaration of a directive.
///
/// # Panics
/// No directive has this name; the tables of commands are constants, so the build fails.
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

/// All directives.
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
