//! A module: how nginx has its configurations made and merged, and when it calls it.

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

/// A module, as `load_module` finds it: to be kept in a static, and named in the table of modules
/// of the shared object.
#[repr(C)]
pub struct Module<M> {
    module: UnsafeCell<ngx_module_t>,
    /// What is behind the module's header filter.
    pub(crate) next_header_filter: Cell<ngx_http_output_header_filter_pt>,
    of: PhantomData<fn() -> M>,
}

// SAFETY: nginx and this crate write to it from nginx's single thread, while a configuration is read
unsafe impl<M> Sync for Module<M> {}

/// A module of `http`.
pub trait HttpModule: Sized + 'static {
    /// What it has of `http`.
    type Main: Default + 'static;
    /// What it has of a server, of an upstream block, and of `http` for servers to inherit.
    type Server: Default + Merge + 'static;
    /// What it has of a location, of a server and of `http` for locations to inherit.
    type Location: Default + Merge + 'static;
    /// What it has of a request.
    type Context: Default + 'static;

    /// Its directives; [`Command::END`] is the last entry.
    const COMMANDS: &'static [Command];

    /// The static.
    fn module() -> &'static Module<Self>;

    /// `http` begins: time to declare variables.
    ///
    /// # Errors
    /// The configuration is refused.
    fn preconfiguration(_: &mut Conf) -> Outcome {
        Ok(())
    }

    /// All of `http` is read, and nothing is merged yet.
    ///
    /// # Errors
    /// The configuration is refused.
    fn init_main(_: &mut Conf) -> Outcome {
        Ok(())
    }

    /// All of `http` is read and merged: time to register handlers.
    ///
    /// # Errors
    /// The configuration is refused.
    fn postconfiguration(_: &mut Conf) -> Outcome {
        Ok(())
    }

    /// A new configuration takes over: called where it is read, before its processes begin.
    fn init_module(_: Cycle) {}

    /// A process begins.
    fn init_process(_: Cycle) {}

    /// A process ends.
    fn exit_process(_: Cycle) {}
}

/// A module of nginx's core.
pub trait CoreModule: Sized + 'static {
    /// What it has of a configuration.
    type Conf: Default + 'static;

    /// Its name.
    const NAME: &'static CStr;

    /// The static.
    fn module() -> &'static Module<Self>;

    /// nginx begins to read a configuration.
    fn begin() {}

    /// The whole file is read, and nothing is opened yet.
    ///
    /// # Errors
    /// The configuration is refused.
    fn init_conf(_: Cycle, _: &Self::Conf) -> Outcome {
        Ok(())
    }

    /// As of [`HttpModule::init_module`].
    fn init_module(_: Cycle) {}

    /// As of [`HttpModule::init_process`].
    fn init_process(_: Cycle) {}
}

/// A module with directives for every block, as that of `include`.
pub trait ConfModule: Sized + 'static {
    /// Its directives; [`Command::END`] is the last entry.
    const COMMANDS: &'static [Command];
}

/// How a block inherits what stands in the block around it.
pub trait Merge {
    /// Takes over from `outer` what is not set here.
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

    /// `None` where nginx has not loaded it.
    fn number(&self, of: fn(&ngx_module_t) -> ngx_uint_t) -> Option<usize> {
        // SAFETY: nginx writes to it only where it loads it, before it calls any function of it
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

    /// A module of `http`.
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

    /// Its number among the modules of `http`.
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

    /// A module of nginx's core.
    pub const fn core() -> Self {
        Self::new(ngx_module_t {
            ctx: (&raw const *Self::CORE_CONTEXT).cast_mut().cast(),
            type_: NGX_CORE_MODULE as _,
            init_module: Some(core_init_module::<M>),
            init_process: Some(core_init_process::<M>),
            ..ngx_module_t::default()
        })
    }

    /// Its number among all modules.
    pub(crate) fn index() -> Option<usize> {
        M::module().number(|module| module.index)
    }
}

impl<M: ConfModule> Module<M> {
    /// A module with directives for every block (`ngx_conf_handler`).
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
/// is a `T`. It is dropped with the configuration.
unsafe extern "C" fn create<T: Default>(cf: *mut ngx_conf_t) -> *mut c_void {
    guarded(null_mut(), || {
        // SAFETY: cf->pool is the pool of the cycle that is being read
        unsafe { Pool::from_ngx_pool((*cf).pool) }.allocate(T::default()).cast()
    })
}

/// The `merge_srv_conf` or `merge_loc_conf` of a module whose configuration is a `T`.
unsafe extern "C" fn merge<T: Merge>(
    _: *mut ngx_conf_t,
    prev: *mut c_void,
    conf: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: nginx passes two that `create` of the same `T` has made
        let (prev, conf) = unsafe { (prev.cast::<T>().as_ref(), conf.cast::<T>().as_mut()) };
        let (Some(prev), Some(conf)) = (prev, conf) else { return NGX_CONF_ERROR };
        conf.merge(prev);
        NGX_CONF_OK
    })
}

/// Calls a step of reading `http`.
///
/// # Safety
/// `cf` is what nginx passes to such a step.
unsafe fn step(cf: *mut ngx_conf_t, what: fn(&mut Conf) -> Outcome) -> Result<(), ()> {
    // SAFETY: by contract
    unsafe { Conf::of_http(cf) }.map_or(Err(()), |cf| conclude(cf, what))
}

fn conclude(mut cf: Conf, what: fn(&mut Conf) -> Outcome) -> Result<(), ()> {
    let outcome = what(&mut cf);
    cf.conclude(outcome)
}

unsafe extern "C" fn preconfiguration<M: HttpModule>(cf: *mut ngx_conf_t) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: nginx passes the configuration of http{}
        unsafe { step(cf, M::preconfiguration) }.map_or(NGX_ERROR as _, |()| NGX_OK as _)
    })
}

unsafe extern "C" fn init_main_conf<M: HttpModule>(
    cf: *mut ngx_conf_t,
    _: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: as above, all of which is read
        let cf = unsafe { Conf::of_read_http(cf) };
        let outcome = cf.map_or(Err(()), |cf| conclude(cf, M::init_main));
        outcome.map_or(NGX_CONF_ERROR, |()| NGX_CONF_OK)
    })
}

unsafe extern "C" fn postconfiguration<M: HttpModule>(cf: *mut ngx_conf_t) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: as above
        unsafe { step(cf, M::postconfiguration) }.map_or(NGX_ERROR as _, |()| NGX_OK as _)
    })
}

unsafe extern "C" fn create_conf<M: CoreModule>(cycle: *mut ngx_cycle_t) -> *mut c_void {
    guarded(null_mut(), || {
        M::begin();
        // SAFETY: nginx passes the cycle that is being made, with its pool
        unsafe { Pool::from_ngx_pool((*cycle).pool) }.allocate(M::Conf::default()).cast()
    })
}

unsafe extern "C" fn init_conf<M: CoreModule>(
    cycle: *mut ngx_cycle_t,
    conf: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: nginx passes what `create_conf` has made, and nobody writes to it
        let Some(conf) = (unsafe { conf.cast::<M::Conf>().as_ref() }) else {
            return NGX_CONF_ERROR;
        };
        // SAFETY: nginx passes the cycle that is being made
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
    // a failure would end nginx, whose old configuration serves on
    // SAFETY: nginx passes the new cycle
    guarded((), || M::init_module(unsafe { Cycle::from_ptr(cycle) }));
    NGX_OK as _
}

unsafe extern "C" fn http_init_process<M: HttpModule>(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx passes the cycle of the process
    guarded((), || unsafe {
        let cycle = Cycle::from_ptr(cycle);
        worker::begin(cycle);
        M::init_process(cycle);
    });
    NGX_OK as _
}

unsafe extern "C" fn http_exit_process<M: HttpModule>(cycle: *mut ngx_cycle_t) {
    // SAFETY: as above
    guarded((), || M::exit_process(unsafe { Cycle::from_ptr(cycle) }));
}

unsafe extern "C" fn core_init_module<M: CoreModule>(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: as above
    guarded((), || M::init_module(unsafe { Cycle::from_ptr(cycle) }));
    NGX_OK as _
}

unsafe extern "C" fn core_init_process<M: CoreModule>(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: as above
    guarded((), || M::init_process(unsafe { Cycle::from_ptr(cycle) }));
    NGX_OK as _
}

/// A table that `load_module` looks for in a shared object by its name (`ngx_load_module`,
/// `src/core/nginx.c`): `ngx_modules`, `ngx_module_names` and, where the place among nginx's own
/// modules matters, `ngx_module_order`. It ends in null. To be exported, which Rust counts as unsafe
/// code: nothing else may have the name.
#[repr(transparent)]
pub struct Table<T, const N: usize>([*const T; N]);

// SAFETY: the pointers are to statics; nginx writes to the modules behind them, from its single
// thread, and nobody writes to the table.
unsafe impl<T, const N: usize> Sync for Table<T, N> {}

/// A module without its type.
#[repr(transparent)]
pub struct Erased(ngx_module_t);

impl<M> Module<M> {
    /// For [`Table::modules`].
    pub const fn erased(&'static self) -> *const Erased {
        self.module.get().cast_const().cast()
    }
}

impl<const N: usize> Table<Erased, N> {
    /// Modules, each from [`Module::erased`].
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
    /// Names of modules, each with a NUL.
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
