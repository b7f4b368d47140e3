//! A cycle: a configuration and what nginx has made of it (`src/core/ngx_cycle.h`).

use std::ffi::{c_void, CStr};
use std::marker::PhantomData;
use std::ptr::NonNull;

use ngx::core::{CoreModuleMainConf, NgxCoreModule};
use ngx::ffi::{
    ngx_array_push, ngx_connection_t, ngx_cycle_t, ngx_event_t, ngx_http_conf_ctx_t,
    ngx_http_module, ngx_module_t, ngx_str_t, ngx_uid_t,
};

use crate::conf::Error;
use crate::log::Log;
use crate::module::{CoreModule, HttpModule, Module};
use crate::text::string_in;

/// A cycle, lent for a call.
#[derive(Clone, Copy)]
pub struct Cycle<'a> {
    cycle: *mut ngx_cycle_t,
    of: PhantomData<&'a ngx_cycle_t>,
}

impl<'a> Cycle<'a> {
    /// Wraps nginx's pointer.
    ///
    /// # Safety
    /// `cycle` is valid while the result is used, and nobody changes what modules have of it.
    pub unsafe fn from_ptr(cycle: *mut ngx_cycle_t) -> Self {
        Self { cycle, of: PhantomData }
    }

    /// nginx's own structure.
    pub fn as_ptr(self) -> *mut ngx_cycle_t {
        self.cycle
    }

    fn raw(self) -> &'a ngx_cycle_t {
        // SAFETY: by the contract of `from_ptr`
        unsafe { &*self.cycle }
    }

    /// Where messages about it go.
    pub fn log(self) -> Log<'a> {
        // SAFETY: a cycle has a log
        unsafe { Log::from_ptr(self.raw().log) }
    }

    /// The one before it, while nginx goes from that to this one. The first one, which has never
    /// read a configuration, has nothing of any module.
    pub fn old(self) -> Option<Self> {
        let old = NonNull::new(self.raw().old_cycle)?;
        // SAFETY: nginx frees it after this one is in effect
        Some(unsafe { Self::from_ptr(old.as_ptr()) })
    }

    /// What a module has of `http`; `None` where there is none.
    pub fn main<M: HttpModule>(self) -> Option<&'a M::Main> {
        let index = Module::<M>::ctx_index()?;
        // SAFETY: nginx writes the index before it reads a configuration
        let http = self.slot(unsafe { ngx_http_module.index })?;
        // SAFETY: null, or the context of http{}, with a slot for each HTTP module
        unsafe {
            let ctx = http.cast::<ngx_http_conf_ctx_t>().as_ref()?;
            (*ctx.main_conf.add(index)).cast::<M::Main>().as_ref()
        }
    }

    /// What a core module has.
    pub fn core<M: CoreModule>(self) -> Option<&'a M::Conf> {
        // SAFETY: null, or what the module has made
        unsafe { self.core_slot::<M>()?.cast::<M::Conf>().as_ref() }
    }

    pub(crate) fn core_slot<M: CoreModule>(self) -> Option<*mut c_void> {
        self.slot(Module::<M>::index()?)
    }

    pub(crate) fn slot(self, index: usize) -> Option<*mut c_void> {
        let slots = NonNull::new(self.raw().conf_ctx)?;
        // SAFETY: a slot for each module that nginx has an index of
        Some(unsafe { *slots.as_ptr().add(index) }.cast())
    }

    /// How many processes serve, how many connections each of them has room for, and the bytes that
    /// one takes (`ngx_event_process_init`).
    pub fn size(self) -> Option<(usize, usize, usize)> {
        let core = NgxCoreModule::main_conf(self.raw())?;
        let workers = if core.master == 0 { 1 } else { core.worker_processes };
        let connection = size_of::<ngx_connection_t>() + 2 * size_of::<ngx_event_t>();
        Some((workers.unsigned_abs(), self.raw().connection_n, connection))
    }

    /// The user that workers run as, where nginx changes to one.
    pub fn user(self) -> Option<u32> {
        let user = NgxCoreModule::main_conf(self.raw())?.user;
        (user != ngx_uid_t::MAX).then_some(user)
    }

    /// Whether nginx has a module of this name.
    pub fn has_module(self, name: &str) -> bool {
        self.module(name).is_some()
    }

    /// A module that may be left out of nginx, so no symbol of it can be referred to.
    pub(crate) fn module(self, name: &str) -> Option<&'a ngx_module_t> {
        let mut module = self.raw().modules;
        // SAFETY: null, or a list that ends in null, of modules with a name
        unsafe {
            while let Some(found) = module.as_ref()?.as_ref() {
                if CStr::from_ptr(found.name).to_bytes() == name.as_bytes() {
                    return Some(found);
                }
                module = module.add(1);
            }
        }
        None
    }

    /// Has nginx keep an environment variable over a binary upgrade, and over a reload of a single
    /// process: it drops all that the `env` of its core module does not name
    /// (`ngx_set_environment`). Whether it was not named yet.
    ///
    /// # Errors
    /// There is no memory.
    pub fn keep_variable(self, name: &str) -> Result<bool, Error> {
        let core = NgxCoreModule::main_conf_mut(self.raw()).ok_or(Error::Logged)?;
        // SAFETY: `env` is an array of strings
        let named = unsafe { core.env.as_slice::<ngx_str_t>() };
        if named.iter().any(|entry| variable_of(entry) == name.as_bytes()) {
            return Ok(false);
        }
        // SAFETY: the pool is that of the cycle
        let text = unsafe { string_in(self.raw().pool, name) }.ok_or_else(Error::no_memory)?;
        // SAFETY: the array holds strings
        let slot = unsafe { ngx_array_push(&raw mut core.env).cast::<ngx_str_t>().as_mut() };
        *slot.ok_or_else(Error::no_memory)? = text;
        Ok(true)
    }
}

/// The name in an entry of core's `env`: `NAME` or `NAME=value`.
fn variable_of(entry: &ngx_str_t) -> &[u8] {
    entry.as_bytes().split(|b| *b == b'=').next().unwrap_or_default()
}
