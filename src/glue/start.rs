//! The core module behind the others: the environment as this start sees it, and its faults.
//!
//! A fault is logged where it is found and the configuration is read on, so that one run reports
//! them all; `init_conf`, which nginx calls for core modules once the whole file is read and
//! before it opens anything (`ngx_init_cycle`), then fails the start, the test or the reload.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::env;
use std::ffi::{c_char, c_void, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic;
use std::ptr::{addr_of, null_mut};

use ngx::core::{CoreModuleConfExt, NgxCoreModule, Pool, NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ffi::{
    ngx_array_push, ngx_conf_t, ngx_core_module_t, ngx_cycle, ngx_cycle_t, ngx_int_t, ngx_module_t,
    ngx_process, ngx_str_t, NGX_CORE_MODULE, NGX_LOG_ALERT, NGX_LOG_INFO, NGX_OK,
    NGX_PROCESS_SINGLE,
};
use ngx::ngx_string;

use super::conf::string_in;
use crate::guard::guarded;
use crate::settings::{self, Environment, Fault, Source};

static mut CONTEXT: ngx_core_module_t = ngx_core_module_t {
    name: ngx_string!("elb_start"),
    create_conf: Some(create_conf),
    init_conf: Some(init_conf),
};

/// The module, as `load_module` finds it.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub static mut ngx_elb_start_module: ngx_module_t = ngx_module_t {
    ctx: (&raw mut CONTEXT).cast(),
    type_: NGX_CORE_MODULE as _,
    init_module: Some(init_module),
    init_process: Some(init_process),
    ..ngx_module_t::default()
};

/// What one start, test or reload has seen of the environment.
#[derive(Default)]
pub struct Start {
    process: Process,
    /// Faults that are in the log, to report each once.
    reported: BTreeSet<String>,
    /// Whether anything was at fault.
    doomed: bool,
    /// Variables that nginx keeps for us and that no worker needs.
    kept: Vec<String>,
}

/// The process environment; it notes what was asked for.
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
}

impl Start {
    /// The state of the configuration that is being read.
    pub fn of(cf: &mut ngx_conf_t) -> Option<&mut Self> {
        // SAFETY: the cycle's slot of our module holds what create_conf made; it is borrowed
        // through cf, which its user holds exclusively
        unsafe { Self::of_cycle(cf.cycle) }
    }

    /// # Safety
    /// `cycle` is valid, and no other reference to its state is alive.
    unsafe fn of_cycle<'a>(cycle: *mut ngx_cycle_t) -> Option<&'a mut Self> {
        // SAFETY: create_conf made a Start; exclusive by contract
        unsafe { Some(cycle.as_ref()?.core_main_conf_unchecked(module())?.as_mut()) }
    }

    /// Reads settings from the process environment.
    pub fn environment<T>(cf: &mut ngx_conf_t, read: impl FnOnce(&Environment) -> T) -> T {
        let spare = Process::default();
        let process = Self::of(cf).map_or(&spare, |start| &start.process);
        read(&Environment::new(process))
    }

    /// Notes a fault; true where it has to be logged.
    pub fn fault(&mut self, fault: &Fault) -> bool {
        self.doomed = true;
        self.reported.insert(fault.to_string())
    }

    /// Notes a fault that is in the log already.
    pub fn doom(&mut self) {
        self.doomed = true;
    }

    /// The whole file is read: does it start?
    fn finish(&mut self, cycle: &ngx_cycle_t) -> *mut c_char {
        if self.doomed || self.keep(cycle).is_err() {
            return NGX_CONF_ERROR;
        }
        NGX_CONF_OK
    }

    /// Has nginx keep the variables over a binary upgrade, and over a reload of a single process:
    /// it drops all that its core module's `env` does not name (`ngx_set_environment`).
    fn keep(&mut self, cycle: &ngx_cycle_t) -> Result<(), ()> {
        let core = core_conf(cycle).ok_or(())?;
        let names = self.process.names.take();
        let table = settings::names().flat_map(|name| [name.to_owned(), format!("{name}_FILE")]);
        for name in names.iter().cloned().chain(table).collect::<BTreeSet<_>>() {
            // SAFETY: `env` is an array of strings, filled by core and by us
            let named = unsafe { core.env.as_slice::<ngx_str_t>() };
            if named.iter().any(|entry| variable_of(entry) == name.as_bytes()) {
                continue;
            }
            // SAFETY: the pool is that of the cycle
            let text = unsafe { string_in(cycle.pool, &name) }.ok_or(())?;
            // SAFETY: the array holds strings
            let slot = unsafe { ngx_array_push(&raw mut core.env).cast::<ngx_str_t>().as_mut() };
            *slot.ok_or(())? = text;
            self.kept.push(name);
        }
        self.process.names.replace(names);
        Ok(())
    }
}

/// The name in an entry of core's `env`: `NAME` or `NAME=value`.
fn variable_of(entry: &ngx_str_t) -> &[u8] {
    entry.as_bytes().split(|b| *b == b'=').next().unwrap_or_default()
}

/// The configuration of nginx's core module; its `env` is open to every module while the cycle is
/// made.
fn core_conf(cycle: &ngx_cycle_t) -> Option<&mut ngx::ffi::ngx_core_conf_t> {
    use ngx::core::CoreModuleMainConf;
    NgxCoreModule::main_conf_mut(cycle)
}

fn module() -> &'static ngx_module_t {
    // SAFETY: nginx writes the indexes before it calls any function of the module
    unsafe { &*addr_of!(ngx_elb_start_module) }
}

/// Has nginx's error log tell of panics, which [`guarded`] makes an end of.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        // SAFETY: a global of nginx; its log is there from the beginning
        let log = unsafe { (*ngx_cycle).log };
        let words = panic.to_string();
        let words = words.trim_start_matches("panicked at ").replace('\n', " ");
        ngx::ngx_log_error!(NGX_LOG_ALERT, log, "internal error, panicked at {words}");
    }));
}

unsafe extern "C" fn create_conf(cycle: *mut ngx_cycle_t) -> *mut c_void {
    guarded(null_mut(), || {
        log_panics();
        // SAFETY: nginx passes the cycle that is being made, with its pool
        let pool = unsafe { Pool::from_ngx_pool((*cycle).pool) };
        pool.allocate(Start::default()).cast()
    })
}

unsafe extern "C" fn init_conf(cycle: *mut ngx_cycle_t, conf: *mut c_void) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: nginx passes the cycle and what create_conf made
        let (cycle, start) = unsafe { (cycle.as_ref(), conf.cast::<Start>().as_mut()) };
        match (cycle, start) {
            (Some(cycle), Some(start)) => start.finish(cycle),
            _ => NGX_CONF_ERROR,
        }
    })
}

/// Names the variables that were read, never their values.
unsafe extern "C" fn init_module(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    guarded(NGX_OK as _, || {
        // SAFETY: nginx passes the new cycle; nobody else holds our state
        if let Some(start) = unsafe { Start::of_cycle(cycle) } {
            let names = start.process.names.borrow();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            ngx::ngx_log_error!(
                NGX_LOG_INFO,
                // SAFETY: as above
                unsafe { (*cycle).log },
                "environment variables asked for: {}",
                names.join(", ")
            );
        }
        NGX_OK as _
    })
}

/// A worker has no use for the variables: what they hold may be secret.
unsafe extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    guarded(NGX_OK as _, || {
        // SAFETY: a global that nginx sets once per process
        if unsafe { ngx_process } == NGX_PROCESS_SINGLE as usize {
            return NGX_OK as _;
        }
        // SAFETY: nginx passes its cycle; nobody else holds our state
        if let Some(start) = unsafe { Start::of_cycle(cycle) } {
            // SAFETY: a worker of nginx is one thread at this point
            start.kept.iter().for_each(|name| unsafe { env::remove_var(name) });
        }
        NGX_OK as _
    })
}
