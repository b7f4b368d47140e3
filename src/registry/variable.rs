//! What a declaration of an environment variable says.

use super::need::Need;
use crate::settings::FromText;
use crate::settings::{destinations, listeners};

/// An environment variable that has a meaning of its own.
#[derive(Debug)]
pub struct Declaration {
    /// Its name.
    pub name: &'static str,
    /// Its value where it is not set.
    pub default: Default,
    /// The values that it takes, and who refuses others.
    pub takes: Takes,
    /// The directives that read it.
    pub read_by: &'static [&'static str],
    /// What has to be there for it to have an effect: all of these.
    pub needs: &'static [Need],
    /// What it is for, in Markdown, as a cell of a table.
    pub about: &'static str,
    /// Values that it takes.
    pub good: &'static [&'static str],
    /// Values that it does not take.
    pub bad: &'static [&'static str],
}

/// The value of a variable that is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// There is none, and nginx does not start.
    Required,
    /// There is none, and none is needed.
    None,
    /// The default of the directive that reads it, whatever the configuration file.
    Own(&'static str),
    /// The default that `nginx/nginx.conf` writes in its reference.
    Conf(&'static str),
}

impl Default {
    /// The value, as far as there is one.
    pub const fn value(self) -> Option<&'static str> {
        match self {
            Self::Required | Self::None => None,
            Self::Own(value) | Self::Conf(value) => Some(value),
        }
    }
}

/// The values that a variable takes.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// Values that are checked wherever the variable is asked for.
    Checked {
        /// What they are, for "it must be ...".
        expected: &'static str,
        /// Checks one.
        ///
        /// # Errors
        /// What the value must do or be, for "it must ...".
        check: fn(&str) -> Result<(), String>,
    },
    /// Values that the directives which read it check, and what those are.
    Directive(&'static str),
}

impl Takes {
    /// What the values are, for "it must be ...".
    pub const fn expected(&self) -> &'static str {
        match self {
            Self::Checked { expected, .. } | Self::Directive(expected) => expected,
        }
    }
}

impl Declaration {
    /// Checks a value as far as this module does, before a directive sees it.
    ///
    /// # Errors
    /// What the value must do or be, for "it must ...".
    pub fn check(&self, value: &str) -> Result<(), String> {
        match self.takes {
            Takes::Checked { check, .. } => check(value),
            Takes::Directive(_) => Ok(()),
        }
    }

    /// Whether the module itself knows which values are right.
    pub const fn is_checked(&self) -> bool {
        matches!(self.takes, Takes::Checked { .. })
    }
}

/// The values that are read as a `T`.
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

/// The values of a variable that names addresses to listen at.
pub(super) const LISTEN: Takes = Takes::Checked {
    expected: listeners::EXPECTED,
    check: |value| listeners::parse(value).map(drop),
};

/// The same where there may be none.
pub(super) const LISTEN_OR_OFF: Takes = Takes::Checked {
    expected: listeners::EXPECTED_OR_OFF,
    check: |value| listeners::parse_or_off(value).map(drop),
};
