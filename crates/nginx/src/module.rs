//! Module types: how nginx creates and merges their configurations, and which hooks it calls.

use std::cell::{Cell, UnsafeCell};
use std::ffi::{c_char, c_void, CStr};
use std::marker::PhantomData;
use std::ptr::{null, null_mut};

use ngx::core::{Pool, NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ffi::{
    ngx_conf_t, ngx_core_module_t, ngx_cycle_t, ngx_http_module_t,
    ngx_http_output_header_filter_pt, ngx_int_t, ngx_module_t, ngx_str_t, ngx_uint_t,
    NGX_CONF_MODULE, NGX_CORE_MODULE, NGX_ERROR, NGX_HTTP_MODULE, NGX_OK,
};

use crate::command::Command;
use crate::conf::{Conf, Error, Outcome};
use crate::cycle::Cycle;
use crate::guard::guarded;
use crate::log::Level;
use crate::worker;

/// A module as `load_module` finds it. Create it as a static and list it in the [`Table`] of
/// modules of the shared object.
#[repr(C)]
pub struct Module<M> {
    module: UnsafeCell<ngx_module_t>,
    /// The filter after the module's header filter.
    pub(crate) next_header_filter: Cell<ngx_http_output_header_filter_pt>,
    of: PhantomData<fn() -> M>,
}

// SAFETY: nginx and this crate write to it only on nginx's single thread, while a configuration is
// read
unsafe impl<M> Sync for Module<M> {}

/// An HTTP module.
///
/// nginx calls the hooks in this order while it reads a configuration:
/// [`preconfiguration`](Self::preconfiguration), the handlers of directives,
/// [`init_main`](Self::init_main), the merges, [`postconfiguration`](Self::postconfiguration),
/// [`init_module`](Self::init_module); then the process hooks in each process. If a hook that
/// returns an [`Outcome`] panics, nginx refuses the configuration; a panic of another hook has no
/// further effect.
pub trait HttpModule: Sized + 'static {
    /// The main configuration, one for `http`.
    type Main: Default + 'static;
    /// The server configuration, one for each `server`, for each `upstream`, and for `http`, which
    /// servers inherit from.
    type Server: Default + Merge + 'static;
    /// The location configuration, one for each `location`, for each `server`, and for `http`,
    /// which locations inherit from.
    type Location: Default + Merge + 'static;
    /// The context of a request, see [`Request::context`](crate::request::Request::context). Its
    /// alignment must not exceed that of a pointer.
    type Context: Default + 'static;

    /// The directives. [`Command::END`] must be the last entry.
    const COMMANDS: &'static [Command];

    /// The static that represents the module. It must be the one in the [`Table`] of modules, or
    /// nginx does not find its configurations.
    fn module() -> &'static Module<Self>;

    /// Called when nginx enters `http`, before it reads the block. The place to add variables.
    ///
    /// # Errors
    /// An error makes nginx refuse the configuration.
    fn preconfiguration(_: &mut Conf) -> Outcome {
        Ok(())
    }

    /// Called when all of `http` is read and nothing is merged yet.
    ///
    /// # Errors
    /// An error makes nginx refuse the configuration.
    fn init_main(_: &mut Conf) -> Outcome {
        Ok(())
    }

    /// Called when all of `http` is read and merged. The place to register handlers and filters.
    ///
    /// # Errors
    /// An error makes nginx refuse the configuration.
    fn postconfiguration(_: &mut Conf) -> Outcome {
        Ok(())
    }

    /// Called when a new configuration takes effect, in the process that has read it (the master),
    /// before its worker processes start. The old configuration is [`Cycle::old`].
    fn init_module(_: Cycle) {}

    /// Called when a process starts: a worker, a cache process, or a single process.
    fn init_process(_: Cycle) {}

    /// Called when a process exits, after its event loop has ended.
    fn exit_process(_: Cycle) {}
}

/// A core module: one with a configuration for the whole file, created before anything is read.
pub trait CoreModule: Sized + 'static {
    /// The configuration.
    type Conf: Default + 'static;

    /// The name of the module.
    const NAME: &'static CStr;

    /// The static that represents the module. It must be the one in the [`Table`] of modules.
    fn module() -> &'static Module<Self>;

    /// Called when nginx starts to read a configuration.
    fn begin() {}

    /// Called when the whole file is read and nginx has not opened any file or socket for it yet.
    ///
    /// # Errors
    /// An error makes nginx refuse the configuration.
    fn init_conf(_: Cycle, _: &Self::Conf) -> Outcome {
        Ok(())
    }

    /// See [`HttpModule::init_module`].
    fn init_module(_: Cycle) {}

    /// See [`HttpModule::init_process`].
    fn init_process(_: Cycle) {}
}

/// A module with directives for every context, like that of `include`.
pub trait ConfModule: Sized + 'static {
    /// The directives. [`Command::END`] must be the last entry.
    const COMMANDS: &'static [Command];
}

/// How a block inherits from the enclosing block.
pub trait Merge {
    /// Copies to `self` the settings of the enclosing block `outer` that `self` does not set.
    fn merge(&mut self, outer: &Self);
}

impl Merge for () {
    fn merge(&mut self, (): &Self) {}
}

impl<M> Module<M> {
    const fn new(module: ngx_module_t) -> Self {
        Self {
            module: UnsafeCell::new(module),
            next_header_filter: Cell::new(None),
            of: PhantomData,
        }
    }

    /// An index of the module; `None` if nginx has not loaded it.
    fn number(&self, of: fn(&ngx_module_t) -> ngx_uint_t) -> Option<usize> {
        // SAFETY: nginx writes to it only when it loads it, before it calls any of its functions
        let number = of(unsafe { &*self.module.get() });
        (number != ngx_uint_t::MAX).then_some(number)
    }
}

impl<M: HttpModule> Module<M> {
    const CONTEXT: &'static ngx_http_module_t = &ngx_http_module_t {
        preconfiguration: Some(preconfiguration::<M>),
        postconfiguration: Some(postconfiguration::<M>),
        create_main_conf: Some(create::<M::Main>),
        init_main_conf: Some(init_main_conf::<M>),
        create_srv_conf: Some(create::<M::Server>),
        merge_srv_conf: Some(merge::<M::Server>),
        create_loc_conf: Some(create::<M::Location>),
        merge_loc_conf: Some(merge::<M::Location>),
    };

    /// An HTTP module, for a static.
    pub const fn http() -> Self {
        Self::new(ngx_module_t {
            ctx: (&raw const *Self::CONTEXT).cast_mut().cast(),
            commands: table(M::COMMANDS),
            type_: NGX_HTTP_MODULE as _,
            init_module: Some(http_init_module::<M>),
            init_process: Some(http_init_process::<M>),
            exit_process: Some(http_exit_process::<M>),
            ..ngx_module_t::default()
        })
    }

    /// The index of the module among the HTTP modules.
    pub(crate) fn ctx_index() -> Option<usize> {
        M::module().number(|module| module.ctx_index)
    }
}

impl<M: CoreModule> Module<M> {
    const CORE_CONTEXT: &'static ngx_core_module_t = &ngx_core_module_t {
        name: ngx_str_t { len: M::NAME.count_bytes(), data: M::NAME.as_ptr().cast_mut().cast() },
        create_conf: Some(create_conf::<M>),
        init_conf: Some(init_conf::<M>),
    };

    /// A core module, for a static.
    pub const fn core() -> Self {
        Self::new(ngx_module_t {
            ctx: (&raw const *Self::CORE_CONTEXT).cast_mut().cast(),
            type_: NGX_CORE_MODULE as _,
            init_module: Some(core_init_module::<M>),
            init_process: Some(core_init_process::<M>),
            ..ngx_module_t::default()
        })
    }

    /// The index of the module among all modules.
    pub(crate) fn index() -> Option<usize> {
        M::module().number(|module| module.index)
    }
}

impl<M: ConfModule> Module<M> {
    /// A module with directives for every context (`ngx_conf_handler`), for a static.
    pub const fn conf() -> Self {
        Self::new(ngx_module_t {
            ctx: null_mut(),
            commands: table(M::COMMANDS),
            type_: NGX_CONF_MODULE as _,
            ..ngx_module_t::default()
        })
    }
}

/// The table of a module, which nginx does not write to.
const fn table(commands: &'static [Command]) -> *mut ngx::ffi::ngx_command_t {
    assert!(!commands.is_empty() && commands[commands.len() - 1].is_end(), "the end is missing");
    commands.as_ptr().cast_mut().cast()
}

/// The `create_main_conf`, `create_srv_conf` or `create_loc_conf` of a module whose configuration
/// type is `T`. The value is dropped with the pool of the configuration.
unsafe extern "C" fn create<T: Default>(cf: *mut ngx_conf_t) -> *mut c_void {
    guarded(null_mut(), || {
        const { assert!(align_of::<T>() <= align_of::<usize>(), "nginx aligns to no more") };
        // SAFETY: nginx passes the configuration with the pool of the cycle being built
        unsafe { Pool::from_ngx_pool((*cf).pool) }.allocate(T::default()).cast()
    })
}

/// The `merge_srv_conf` or `merge_loc_conf` of a module whose configuration type is `T`.
unsafe extern "C" fn merge<T: Merge>(
    _: *mut ngx_conf_t,
    prev: *mut c_void,
    conf: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: nginx passes two different values that `create::<T>` has made
        let (prev, conf) = unsafe { (prev.cast::<T>().as_ref(), conf.cast::<T>().as_mut()) };
        let (Some(prev), Some(conf)) = (prev, conf) else { return NGX_CONF_ERROR };
        conf.merge(prev);
        NGX_CONF_OK
    })
}

/// Calls a hook that reads `http`.
///
/// # Safety
/// `cf` is the pointer that nginx passes to `preconfiguration` or `postconfiguration`.
unsafe fn step(cf: *mut ngx_conf_t, what: fn(&mut Conf) -> Outcome) -> Result<(), ()> {
    // SAFETY: the caller guarantees the pointer
    unsafe { Conf::of_http(cf) }.map_or(Err(()), |cf| conclude(cf, what))
}

fn conclude(mut cf: Conf, what: fn(&mut Conf) -> Outcome) -> Result<(), ()> {
    let outcome = what(&mut cf);
    cf.conclude(outcome)
}

unsafe extern "C" fn preconfiguration<M: HttpModule>(cf: *mut ngx_conf_t) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: nginx passes the configuration of http
        unsafe { step(cf, M::preconfiguration) }.map_or(NGX_ERROR as _, |()| NGX_OK as _)
    })
}

unsafe extern "C" fn init_main_conf<M: HttpModule>(
    cf: *mut ngx_conf_t,
    _: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: nginx passes the configuration of http, of which everything is read
        let cf = unsafe { Conf::of_read_http(cf) };
        let outcome = cf.map_or(Err(()), |cf| conclude(cf, M::init_main));
        outcome.map_or(NGX_CONF_ERROR, |()| NGX_CONF_OK)
    })
}

unsafe extern "C" fn postconfiguration<M: HttpModule>(cf: *mut ngx_conf_t) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: nginx passes the configuration of http
        unsafe { step(cf, M::postconfiguration) }.map_or(NGX_ERROR as _, |()| NGX_OK as _)
    })
}

unsafe extern "C" fn create_conf<M: CoreModule>(cycle: *mut ngx_cycle_t) -> *mut c_void {
    guarded(null_mut(), || {
        const { assert!(align_of::<M::Conf>() <= align_of::<usize>(), "nginx aligns to no more") };
        M::begin();
        // SAFETY: nginx passes the cycle being built, with its pool
        unsafe { Pool::from_ngx_pool((*cycle).pool) }.allocate(M::Conf::default()).cast()
    })
}

unsafe extern "C" fn init_conf<M: CoreModule>(
    cycle: *mut ngx_cycle_t,
    conf: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: nginx passes the value that `create_conf` has made, and nobody writes to it
        let Some(conf) = (unsafe { conf.cast::<M::Conf>().as_ref() }) else {
            return NGX_CONF_ERROR;
        };
        // SAFETY: nginx passes the cycle being built
        let cycle = unsafe { Cycle::from_ptr(cycle) };
        match M::init_conf(cycle, conf) {
            Ok(()) => return NGX_CONF_OK,
            Err(Error::Message(message)) => cycle.log().write(Level::Emerg, message),
            Err(Error::Logged | Error::Directive(_)) => {}
        }
        NGX_CONF_ERROR
    })
}

unsafe extern "C" fn http_init_module<M: HttpModule>(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // returning an error would terminate nginx, although its old configuration still works
    // SAFETY: nginx passes the new cycle
    guarded((), || M::init_module(unsafe { Cycle::from_ptr(cycle) }));
    NGX_OK as _
}

unsafe extern "C" fn http_init_process<M: HttpModule>(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx passes the cycle of the process, in `init_process`
    guarded((), || unsafe {
        let cycle = Cycle::from_ptr(cycle);
        worker::begin(cycle);
        M::init_process(cycle);
    });
    NGX_OK as _
}

unsafe extern "C" fn http_exit_process<M: HttpModule>(cycle: *mut ngx_cycle_t) {
    // SAFETY: nginx passes the cycle of the process
    guarded((), || M::exit_process(unsafe { Cycle::from_ptr(cycle) }));
}

unsafe extern "C" fn core_init_module<M: CoreModule>(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx passes the new cycle
    guarded((), || M::init_module(unsafe { Cycle::from_ptr(cycle) }));
    NGX_OK as _
}

unsafe extern "C" fn core_init_process<M: CoreModule>(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx passes the cycle of the process
    guarded((), || M::init_process(unsafe { Cycle::from_ptr(cycle) }));
    NGX_OK as _
}

/// A table that `load_module` looks up by name in a shared object (`ngx_load_module`,
/// `src/core/nginx.c`): `ngx_modules`, `ngx_module_names` and, if the position among nginx's own
/// modules matters, `ngx_module_order`. It ends with null. The module crate exports it as a static,
/// which Rust counts as unsafe code because nothing else may have that symbol name.
#[repr(transparent)]
pub struct Table<T, const N: usize>([*const T; N]);

// SAFETY: the pointers are to statics; nobody writes to the table, and nginx writes to the modules
// on its single thread only
unsafe impl<T, const N: usize> Sync for Table<T, N> {}

/// A module of any type.
#[repr(transparent)]
pub struct Erased(ngx_module_t);

impl<M> Module<M> {
    /// The entry of this module in [`Table::modules`].
    pub const fn erased(&'static self) -> *const Erased {
        self.module.get().cast_const().cast()
    }
}

impl<const N: usize> Table<Erased, N> {
    /// The table `ngx_modules`. Each entry is the result of [`Module::erased`]; `N` is one more
    /// than their number.
    pub const fn modules<const M: usize>(modules: [*const Erased; M]) -> Self {
        assert!(N == M + 1, "one entry is for the end");
        let mut table = [null::<Erased>(); N];
        let mut index = 0;
        while index < M {
            table[index] = modules[index];
            index += 1;
        }
        Self(table)
    }
}

impl<const N: usize> Table<c_char, N> {
    /// The table `ngx_module_names` or `ngx_module_order`. `N` is one more than the number of
    /// names.
    pub const fn names<const M: usize>(names: [&'static CStr; M]) -> Self {
        assert!(N == M + 1, "one entry is for the end");
        let mut table = [null::<c_char>(); N];
        let mut index = 0;
        while index < M {
            table[index] = names[index].as_ptr();
            index += 1;
        }
        Self(table)
    }
}
