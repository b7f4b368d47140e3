//! `elb_env`: any directive, with its arguments from the environment.

use nginx::command::Command;
use nginx::module::{ConfModule, Module};

use super::conf::{kind, Conf, Error, Outcome, ReadSettings};
use crate::settings::expand::{self, expand, Expanded};
use crate::settings::Fault;

/// The module with `elb_env`. Its type makes nginx take the directive everywhere, as it does
/// `include`.
pub struct Env;

/// The module, as `load_module` finds it.
pub static MODULE: Module<Env> = Module::conf();

impl ConfModule for Env {
    const COMMANDS: &'static [Command] =
        &[Command::plain(c"elb_env", kind(c"elb_env"), elb_env), Command::END];
}
/// `elb_env directive [argument ...];`
fn elb_env(cf: &mut Conf, _: &mut ()) -> Outcome {
    let args = cf.args()?;
    let expanded = cf.read(|env| match args.iter().map(|arg| expand(env, arg)).collect() {
        Ok(expanded) => Ok::<Result<Vec<Expanded>, String>, Option<Fault>>(Ok(expanded)),
        Err(expand::Error::Syntax(what)) => Ok(Err(what)),
        Err(expand::Error::Environment(fault)) => Err(Some(fault)),
    });
    let expanded = match expanded {
        Some(Ok(expanded)) => expanded,
        Some(Err(what)) => {
            return Err(Error::Message(format!("{what}, in \"elb_env\" directive")));
        }
        // the fault is noted; the rest of the file may have more
        None => return Ok(()),
    };

    let mut variables: Vec<_> = expanded.iter().flat_map(|arg| arg.variables.clone()).collect();
    variables.sort();
    variables.dedup();
    // an argument of references that came to nothing is no argument
    let words: Vec<_> = expanded
        .iter()
        .filter(|arg| !arg.refers || !arg.text.is_empty())
        .map(|arg| arg.text.as_str())
        .collect();
    if words.first() == Some(&"elb_env") {
        return Err(Error::Message("\"elb_env\" directive cannot be nested".to_owned()));
    }
    let outcome = cf.apply(&words, &variables);
    if outcome.is_err() && !variables.is_empty() {
        // nginx refused the value: read on for further faults
        cf.doom();
        return Ok(());
    }
    outcome
}
