//! What the module and its image offer, each thing declared once: the code that reads a thing, the
//! pages of `docs/` (written by `cargo xtask docs`) and the tests take it from here.

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

/// The declaration of a variable; `None` for one without a meaning of its own.
pub fn variable(name: &str) -> Option<&'static Declaration> {
    VARIABLES.iter().find(|declaration| declaration.name == name)
}

#[cfg(test)]
mod tests;
