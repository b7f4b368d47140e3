//! `elb_env`: any directive, with arguments from the environment.

use std::num::NonZero;
use std::thread::available_parallelism;

use nginx::command::Command;
use nginx::module::{ConfModule, Module};

use super::directive::{kind, Conf, Error, Outcome, ReadSettings};
use super::files::Named;
use super::included;
use super::Start;
use crate::settings::expand::{self, expand, Expanded};
use crate::settings::paths::path_in;
use crate::settings::words::understood;
use crate::settings::Fault;

/// The module with `elb_env`. The type of the module makes nginx accept the directive in every
/// context, like `include`.
pub struct Env;

/// The module for the table of `load_module`.
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
        // the fault is recorded; read on for further ones
        None => return Ok(()),
    };

    let asked = expanded.iter().flat_map(|arg| arg.asked.iter().cloned());
    let used = asked.filter_map(|(name, used)| Some((name, used?)));
    if let Some(start) = cf.core::<Start>() {
        start.used.extend(used);
    }
    let mut variables: Vec<_> = expanded.iter().flat_map(|arg| arg.variables.clone()).collect();
    variables.sort();
    variables.dedup();
    // an argument of references that are all empty is omitted
    let expanded: Vec<_> =
        expanded.iter().filter(|arg| !arg.refers || !arg.text.is_empty()).collect();
    let words: Vec<_> = expanded.iter().map(|arg| arg.text.as_str()).collect();
    if words.first() == Some(&"elb_env") {
        return Err(Error::Message("\"elb_env\" directive cannot be nested".to_owned()));
    }
    // the processors that this process may run on, limited by the quotas of its cgroups
    let processors = || available_parallelism().map_or(1, NonZero::get);
    let words = match understood(&words, processors) {
        Ok(words) => words,
        Err(message) => {
            cf.refuse_from(&message, &variables)?;
            cf.doom();
            return Ok(());
        }
    };
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let outcome = cf.apply(&words, &variables);
    if outcome.is_err() && !variables.is_empty() {
        // nginx has refused the value; read on for further faults
        cf.doom();
        return Ok(());
    }
    if outcome.is_ok() {
        let first = expanded.get(1).and_then(|arg| arg.asked.first());
        note(cf, &words, first.map(|(variable, _)| variable))?;
    }
    outcome
}

/// Records what is needed when the whole file is read: the files that the directive includes, or
/// the path that nginx will open, which comes from `variable` as a whole or in part.
fn note(cf: &mut Conf, words: &[&str], variable: Option<&String>) -> Outcome {
    if let ["include", files] = words {
        included::note(cf, files);
    }
    if let (Some((what_for, path)), Some(variable)) = (path_in(words), variable) {
        let path = cf.full_path(path)?;
        if let Some(start) = cf.core::<Start>() {
            start.named.push(Named { variable: variable.clone(), what_for, path });
        }
    }
    Ok(())
}
