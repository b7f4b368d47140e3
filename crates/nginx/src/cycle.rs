//! A cycle: a configuration and what nginx has created from it (`src/core/ngx_cycle.h`).

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

/// A cycle, borrowed for the duration of a call.
#[derive(Clone, Copy)]
pub struct Cycle<'a> {
    cycle: *mut ngx_cycle_t,
    of: PhantomData<&'a ngx_cycle_t>,
}

impl<'a> Cycle<'a> {
    /// Wraps nginx's pointer.
    ///
    /// # Safety
    /// `cycle` is valid while the result is used, and nobody changes the configurations of modules
    /// in it during that time. Called on nginx's thread.
    pub unsafe fn from_ptr(cycle: *mut ngx_cycle_t) -> Self {
        Self { cycle, of: PhantomData }
    }

    /// nginx's structure.
    pub fn as_ptr(self) -> *mut ngx_cycle_t {
        self.cycle
    }

    fn raw(self) -> &'a ngx_cycle_t {
        // SAFETY: valid by the contract of `from_ptr`
        unsafe { &*self.cycle }
    }

    /// The log of the cycle.
    pub fn log(self) -> Log<'a> {
        // SAFETY: nginx sets a log for every cycle
        unsafe { Log::from_ptr(self.raw().log) }
    }

    /// The previous cycle, in `init_module` and while a configuration is read. The initial cycle,
    /// which never reads a configuration, has no configuration of any module.
    pub fn old(self) -> Option<Self> {
        let old = NonNull::new(self.raw().old_cycle)?;
        // SAFETY: nginx frees the old cycle only after the new one has taken effect
        Some(unsafe { Self::from_ptr(old.as_ptr()) })
    }

    /// The main configuration of HTTP module `M`; `None` without `http`, or if nginx has not loaded
    /// `M`.
    pub fn main<M: HttpModule>(self) -> Option<&'a M::Main> {
        let index = Module::<M>::ctx_index()?;
        // SAFETY: nginx sets the index before it reads a configuration
        let http = self.slot(unsafe { ngx_http_module.index })?;
        // SAFETY: null, or the context of http, with a slot for each HTTP module; that of `M` is
        // null or what its `create_main_conf` has made
        unsafe {
            let ctx = http.cast::<ngx_http_conf_ctx_t>().as_ref()?;
            (*ctx.main_conf.add(index)).cast::<M::Main>().as_ref()
        }
    }

    /// The configuration of core module `M`; `None` if nginx has not loaded it.
    pub fn core<M: CoreModule>(self) -> Option<&'a M::Conf> {
        // SAFETY: null, or what `create_conf` of `M` has made
        unsafe { self.core_slot::<M>()?.cast::<M::Conf>().as_ref() }
    }

    pub(crate) fn core_slot<M: CoreModule>(self) -> Option<*mut c_void> {
        self.slot(Module::<M>::index()?)
    }

    pub(crate) fn slot(self, index: usize) -> Option<*mut c_void> {
        let slots = NonNull::new(self.raw().conf_ctx)?;
        // SAFETY: nginx allocates a slot for each module that has an index
        Some(unsafe { *slots.as_ptr().add(index) }.cast())
    }

    /// The number of worker processes, the number of connections of each, and the bytes that nginx
    /// allocates for a connection (`ngx_event_process_init`). Final once the whole configuration is
    /// read.
    pub fn size(self) -> Option<(usize, usize, usize)> {
        let core = NgxCoreModule::main_conf(self.raw())?;
        let workers = if core.master == 0 { 1 } else { core.worker_processes };
        let connection = size_of::<ngx_connection_t>() + 2 * size_of::<ngx_event_t>();
        Some((workers.unsigned_abs(), self.raw().connection_n, connection))
    }

    /// The user ID that workers run as; `None` if nginx does not change it.
    pub fn user(self) -> Option<u32> {
        let user = NgxCoreModule::main_conf(self.raw())?.user;
        (user != ngx_uid_t::MAX).then_some(user)
    }

    /// Whether nginx has a module of this name, such as `ngx_http_proxy_module`.
    pub fn has_module(self, name: &str) -> bool {
        self.module(name).is_some()
    }

    /// The module of this name. nginx may be built without it, so its symbol must not be
    /// referenced.
    pub(crate) fn module(self, name: &str) -> Option<&'a ngx_module_t> {
        let mut module = self.raw().modules;
        // SAFETY: null, or a list of modules that ends with null; each has a name
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

    /// Makes nginx pass an environment variable on in a binary upgrade and keep it in a reload of a
    /// single process. nginx removes all variables that no `env` directive names
    /// (`ngx_set_environment`). Returns `true` if no directive names it. To be called in
    /// [`CoreModule::init_conf`].
    ///
    /// # Errors
    /// Memory is exhausted.
    pub fn keep_variable(self, name: &str) -> Result<bool, Error> {
        let core = NgxCoreModule::main_conf_mut(self.raw()).ok_or(Error::Logged)?;
        // SAFETY: `env` is an array of strings
        let named = unsafe { core.env.as_slice::<ngx_str_t>() };
        if named.iter().any(|entry| variable_of(entry) == name.as_bytes()) {
            return Ok(false);
        }
        // SAFETY: the pool of the cycle
        let text = unsafe { string_in(self.raw().pool, name) }.ok_or_else(Error::no_memory)?;
        // SAFETY: the array holds strings; `named` is not used any more
        let slot = unsafe { ngx_array_push(&raw mut core.env).cast::<ngx_str_t>().as_mut() };
        *slot.ok_or_else(Error::no_memory)? = text;
        Ok(true)
    }
}

/// The name in an entry of the core module's `env`: `NAME` or `NAME=value`.
fn variable_of(entry: &ngx_str_t) -> &[u8] {
    entry.as_bytes().split(|b| *b == b'=').next().unwrap_or_default()
}
