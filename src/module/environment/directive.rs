//! Shared by all directives: their declarations, access to the environment, and arguments.

use std::ffi::CStr;

use nginx::command::Kind;
use nginx::text;

pub use nginx::conf::{Conf, Error, Outcome, Place};
pub use nginx::text::time_in_words;

use super::Start;
use crate::registry::{self, Arguments, Context};
use crate::settings::types::FromText;
use crate::settings::{Environment, Fault};

/// Access to the environment for directives.
pub trait ReadSettings {
    /// Records a fault of the environment: the start fails once everything is read.
    fn fault(&mut self, fault: &Fault);

    /// Reads settings. Records their faults and returns `None` if there are any.
    fn read<T, E: IntoIterator<Item = Fault>>(
        &mut self,
        settings: impl FnOnce(&Environment) -> Result<T, E>,
    ) -> Option<T>;

    /// Makes the start fail once everything is read. The caller has logged the reason.
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

/// Parses a time; returns milliseconds, and 0 for `off`.
pub fn time_or_off(cf: &Conf, word: Option<&String>) -> Result<u64, Error> {
    match word.map(String::as_str) {
        Some("off") => Ok(0),
        word => match time(cf, word.unwrap_or_default())? {
            0 => Err(invalid(cf, word.unwrap_or_default(), "a time above 0 or \"off\"")),
            time => Ok(time),
        },
    }
}

/// Parses a time in nginx's notation; returns milliseconds.
pub fn time(cf: &Conf, word: &str) -> Result<u64, Error> {
    text::time(word).ok_or_else(|| invalid(cf, word, "a time such as \"25s\""))
}

/// Parses an argument as a `T`.
pub fn value<T: FromText>(cf: &Conf, text: &str) -> Result<T, Error> {
    T::from_text(text).ok_or_else(|| invalid(cf, text, T::EXPECTED))
}

/// The error for an invalid argument.
pub fn invalid(cf: &Conf, value: &str, expected: &str) -> Error {
    let name = cf.directive();
    Error::Message(format!(
        "invalid value \"{value}\" in \"{name}\" directive, it must be {expected}"
    ))
}

/// The contexts and the number of arguments of a directive, from its declaration.
///
/// # Panics
/// No directive of this name is declared. The tables of commands are constants, so this fails the
/// build.
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
