//! What the directives of this crate share: their declarations, the environment, their arguments.

use std::ffi::CStr;

use nginx::command::Kind;
use nginx::text;

pub use nginx::conf::{Conf, Error, Outcome, Place};
pub use nginx::text::time_in_words;

use super::Start;
use crate::registry::{self, Arguments, Context};
use crate::settings::types::FromText;
use crate::settings::{Environment, Fault};

/// What a directive does with the environment.
pub trait ReadSettings {
    /// Notes a fault of the environment: the start fails once everything is read.
    fn fault(&mut self, fault: &Fault);

    /// Reads settings; a fault in them is noted and gives `None`.
    fn read<T, E: IntoIterator<Item = Fault>>(
        &mut self,
        settings: impl FnOnce(&Environment) -> Result<T, E>,
    ) -> Option<T>;

    /// Marks the configuration as one that must not start; the message is in the log already.
    fn doom(&mut self);
}

impl ReadSettings for Conf<'_> {
    fn fault(&mut self, fault: &Fault) {
        let directive = self.directive();
        if self.core::<Start>().is_none_or(|start| start.fault(fault)) {
            self.refuse(format_args!("{fault}, required by \"{directive}\" directive"));
        }
    }

    fn read<T, E: IntoIterator<Item = Fault>>(
        &mut self,
        settings: impl FnOnce(&Environment) -> Result<T, E>,
    ) -> Option<T> {
        match Start::environment(self, settings) {
            Ok(value) => Some(value),
            Err(faults) => {
                faults.into_iter().for_each(|fault| self.fault(&fault));
                None
            }
        }
    }

    fn doom(&mut self) {
        if let Some(start) = self.core::<Start>() {
            start.doom();
        }
    }
}

/// A time in milliseconds, 0 for `off`.
pub fn time_or_off(cf: &Conf, word: Option<&String>) -> Result<u64, Error> {
    match word.map(String::as_str) {
        Some("off") => Ok(0),
        word => match time(cf, word.unwrap_or_default())? {
            0 => Err(invalid(cf, word.unwrap_or_default(), "a time above 0 or \"off\"")),
            time => Ok(time),
        },
    }
}

/// A time in nginx's notation, in milliseconds.
pub fn time(cf: &Conf, word: &str) -> Result<u64, Error> {
    text::time(word).ok_or_else(|| invalid(cf, word, "a time such as \"25s\""))
}

/// An argument as a `T`.
pub fn value<T: FromText>(cf: &Conf, text: &str) -> Result<T, Error> {
    T::from_text(text).ok_or_else(|| invalid(cf, text, T::EXPECTED))
}

/// The message for an argument that is not what it must be.
pub fn invalid(cf: &Conf, value: &str, expected: &str) -> Error {
    let name = cf.directive();
    Error::Message(format!(
        "invalid value \"{value}\" in \"{name}\" directive, it must be {expected}"
    ))
}

/// Where a directive may stand and how many arguments it takes, as it is declared.
///
/// # Panics
/// There is none of this name; as the tables of commands are constants, that fails the build.
pub const fn kind(name: &CStr) -> Kind {
    let Ok(name) = name.to_str() else { panic!("a name in UTF-8") };
    let directive = registry::directive(name);
    let mut kind = match directive.arguments {
        Arguments::AtLeast(least) => Kind::at_least(least),
        Arguments::Between(least, most) => Kind::arguments(least, most),
    };
    let mut index = 0;
    while index < directive.contexts.len() {
        kind = match directive.contexts[index] {
            Context::Any => kind.anywhere(),
            Context::Http => kind.http(),
            Context::Server => kind.server(),
            Context::Location => kind.location(),
            Context::Upstream => kind.upstream(),
        };
        index += 1;
    }
    kind
}
