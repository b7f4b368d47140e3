//! Everything that the module and its image offer, each declared once: the code, the pages of
//! `docs/` (written by `cargo xtask docs`) and the tests use these declarations.

mod directives;
mod log;
mod metrics;
mod need;
mod status;
mod variable;
mod variables;

pub use directives::{directive, Arguments, Context, Directive, DIRECTIVES};
pub use log::{LogField, LOG_FIELDS};
pub use metrics::{
    CloseReason, Family, Samples, Sink, StatusPart, Total, Values, CLOSE_REASONS, METRICS,
};
pub use need::Need;
pub use status::{status_members, About, Definition, Member, Shape, DEFINITIONS};
pub use variable::{Declaration, Default, Takes};
pub use variables::VARIABLES;

/// The declaration of a variable; `None` for a variable without a declared meaning.
pub fn variable(name: &str) -> Option<&'static Declaration> {
    VARIABLES.iter().find(|declaration| declaration.name == name)
}

#[cfg(test)]
mod tests;
