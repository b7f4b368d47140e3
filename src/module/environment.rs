//! The core module that the others use: the environment of this start, and its faults.
//!
//! A fault is logged where it is found and reading continues, so that one run reports all faults.
//! Then `init_conf` makes the start, the test or the reload fail; nginx calls it for core modules
//! when the whole file is read, before it opens anything (`ngx_init_cycle`).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic;
use std::path::Path;

use nginx::conf::{Conf, Error, Outcome};
use nginx::cycle::Cycle;
use nginx::log::Level;
use nginx::module::{CoreModule, Module};
use nginx::process::{self, Role};

pub mod directive;
pub mod elb_env;
mod files;
pub mod included;

use files::Named;
use included::Included;

use crate::container::{memory_limit, report, Size};
use crate::settings::effects::{without_effect, Asked};
use crate::settings::{self, Environment, Fault, Source};

/// The module for the table of `load_module`.
pub static MODULE: Module<Start> = Module::core();

/// The state of one start, test or reload.
#[derive(Default)]
pub struct Start {
    process: Process,
    /// The faults in the log, to report each once.
    reported: BTreeSet<String>,
    /// Whether there was any fault.
    doomed: bool,
    /// The variables that nginx passes on because of this module, and that no worker needs.
    kept: RefCell<Vec<String>>,
    /// The outcome of references to variables.
    pub used: BTreeMap<String, String>,
    /// The paths that come from variables.
    pub named: Vec<Named>,
    /// The files that are included inside locations.
    pub included: Vec<Included>,
}

/// The environment of the process. It records the names that are looked up.
#[derive(Default)]
struct Process {
    names: RefCell<BTreeSet<String>>,
}

impl Source for Process {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        self.names.borrow_mut().insert(name.to_owned());
        env::var_os(name).map(OsStringExt::into_vec)
    }

    fn file(&self, path: &str, limit: usize) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        File::open(OsStr::from_bytes(path.as_bytes()))
            .and_then(|file| file.take(limit as u64).read_to_end(&mut bytes))
            .map(|_| bytes)
            .map_err(|error| error.to_string())
    }

    fn is_folder(&self, path: &str) -> bool {
        Path::new(path).is_dir()
    }
}

impl CoreModule for Start {
    type Conf = Self;

    const NAME: &'static CStr = c"elb_start";

    fn module() -> &'static Module<Self> {
        &MODULE
    }

    fn begin() {
        log_panics();
    }

    /// Decides whether nginx starts, when the whole file is read.
    fn init_conf(cycle: Cycle, start: &Self) -> Outcome {
        if process::only_signals() {
            return if start.doomed { Err(Error::Logged) } else { start.keep(cycle) };
        }
        let faults = files::faults(&start.named, cycle.user());
        for fault in faults.iter().filter(|fault| !start.reported.contains(&fault.to_string())) {
            cycle.log().write(Level::Emerg, fault);
        }
        if start.doomed || !faults.is_empty() {
            return Err(Error::Logged);
        }
        start.keep(cycle)?;
        files::streams(cycle).map_err(Error::Message)
    }

    /// Logs the names of the variables that were read, never their values, and those without
    /// effect, and reports the size of nginx.
    fn init_module(cycle: Cycle) {
        if let Some(start) = cycle.core::<Self>() {
            let names = start.process.names.borrow().clone();
            let words: Vec<_> = names.iter().map(String::as_str).collect();
            cycle.log().info(format_args!("environment variables read: {}", words.join(", ")));
            let asked = Asked { names, used: start.used.clone() };
            // look-ups made here are not part of the configuration
            for message in without_effect(&Environment::new(&Process::default()), &asked) {
                cycle.log().notice(message);
            }
        }
        report_size(cycle);
    }

    /// Removes the variables from the environment of a worker, which does not need them: they may
    /// be secret.
    fn init_process(cycle: Cycle) {
        if process::role() == Role::Single {
            return;
        }
        if let Some(start) = cycle.core::<Self>() {
            start.kept.borrow().iter().for_each(|name| process::remove_variable(name));
        }
    }
}

impl Start {
    /// Reads settings from the environment of the process.
    pub fn environment<T>(cf: &mut Conf, read: impl FnOnce(&Environment) -> T) -> T {
        let spare = Process::default();
        let process = cf.core::<Self>().map_or(&spare, |start| &start.process);
        read(&Environment::new(process))
    }

    /// Records a fault. Returns whether the caller has to log it.
    pub fn fault(&mut self, fault: &Fault) -> bool {
        self.doomed = true;
        self.reported.insert(fault.to_string())
    }

    /// Records a fault that is in the log already.
    pub fn doom(&mut self) {
        self.doomed = true;
    }

    /// Makes nginx pass the variables on in a binary upgrade, and keep them in a reload of a single
    /// process.
    fn keep(&self, cycle: Cycle) -> Outcome {
        let asked_for = self.process.names.borrow().clone();
        let table = settings::names().flat_map(|name| [name.to_owned(), format!("{name}_FILE")]);
        for name in asked_for.into_iter().chain(table).collect::<BTreeSet<_>>() {
            if cycle.keep_variable(&name)? {
                self.kept.borrow_mut().push(name);
            }
        }
        Ok(())
    }
}

/// Reports the memory that the workers and their connections need.
fn report_size(cycle: Cycle) {
    let Some((workers, connections, connection)) = cycle.size() else { return };
    let [workers, connections, connection] = [workers, connections, connection].map(|n| n as u64);
    let size = Size { workers, connections, connection };
    let report = report(size, memory_limit(&Process::default()));
    let level = if report.warns { Level::Warn } else { Level::Notice };
    cycle.log().write(level, report.text);
}

/// Writes panics to nginx's error log. `nginx::guard` stops them.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let words = panic.to_string();
        let words = words.trim_start_matches("panicked at ").replace('\n', " ");
        nginx::log::running(|log| {
            log.alert(format_args!("internal error, please report it: panicked at {words}"))
        });
    }));
}
