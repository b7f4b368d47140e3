//! The declaration of an environment variable.

use super::need::Need;
use crate::settings::FromText;
use crate::settings::{destinations, listeners};

/// An environment variable with a declared meaning.
#[derive(Debug)]
pub struct Declaration {
    /// Its name.
    pub name: &'static str,
    /// Its value if it is not set.
    pub default: Default,
    /// Its valid values, and which code checks them.
    pub takes: Takes,
    /// The directives that read it.
    pub read_by: &'static [&'static str],
    /// The conditions under which it has an effect: all must be met.
    pub needs: &'static [Need],
    /// Its purpose, in Markdown, as a cell of a table.
    pub about: &'static str,
    /// Valid values.
    pub good: &'static [&'static str],
    /// Invalid values.
    pub bad: &'static [&'static str],
}

/// The value if a variable is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// None: the variable is required, and nginx does not start.
    Required,
    /// None: the variable is optional.
    None,
    /// The default of the directive that reads it, independent of the configuration file.
    Own(&'static str),
    /// The default that `nginx/nginx.conf` writes in its reference.
    Conf(&'static str),
}

impl Default {
    /// The value, if there is one.
    pub const fn value(self) -> Option<&'static str> {
        match self {
            Self::Required | Self::None => None,
            Self::Own(value) | Self::Conf(value) => Some(value),
        }
    }
}

/// The valid values of a variable.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// Values that are checked whenever the variable is read.
    Checked {
        /// What a valid value is, for "it must be ...".
        expected: &'static str,
        /// Checks a value.
        ///
        /// # Errors
        /// What the value must do or be, for "it must ...".
        check: fn(&str) -> Result<(), String>,
    },
    /// Values that are checked by the directives that read the variable; and what a valid value is.
    Directive(&'static str),
}

impl Takes {
    /// What a valid value is, for "it must be ...".
    pub const fn expected(&self) -> &'static str {
        match self {
            Self::Checked { expected, .. } | Self::Directive(expected) => expected,
        }
    }
}

impl Declaration {
    /// Checks a value as far as this module does, before a directive receives it.
    ///
    /// # Errors
    /// What the value must do or be, for "it must ...".
    pub fn check(&self, value: &str) -> Result<(), String> {
        match self.takes {
            Takes::Checked { check, .. } => check(value),
            Takes::Directive(_) => Ok(()),
        }
    }

    /// Whether the module itself checks the values.
    pub const fn is_checked(&self) -> bool {
        matches!(self.takes, Takes::Checked { .. })
    }
}

/// Values that are parsed as a `T`.
pub(super) const fn text<T: FromText>() -> Takes {
    Takes::Checked {
        expected: T::EXPECTED,
        check: |value| match T::from_text(value) {
            Some(_) => Ok(()),
            None => Err(format!("be {}", T::EXPECTED)),
        },
    }
}

/// The values of `DESTINATIONS`.
pub(super) const DESTINATIONS: Takes = Takes::Checked {
    expected: destinations::EXPECTED,
    check: |value| destinations::parse(value).map(drop),
};

/// The values of a variable that holds listen addresses.
pub(super) const LISTEN: Takes = Takes::Checked {
    expected: listeners::EXPECTED,
    check: |value| listeners::parse(value).map(drop),
};

/// The same, if `off` is allowed.
pub(super) const LISTEN_OR_OFF: Takes = Takes::Checked {
    expected: listeners::EXPECTED_OR_OFF,
    check: |value| listeners::parse_or_off(value).map(drop),
};
