//! The directives of a module.

use std::ffi::{c_char, c_void, CStr};

use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ffi::{
    ngx_command_t, ngx_conf_t, ngx_module_t, ngx_str_t, ngx_uint_t, NGX_ANY_CONF, NGX_CONF_1MORE,
    NGX_CONF_2MORE, NGX_CONF_ANY, NGX_HTTP_LOC_CONF, NGX_HTTP_MAIN_CONF, NGX_HTTP_SRV_CONF,
    NGX_HTTP_UPS_CONF,
};
use ngx::http::{HttpModule as _, NgxHttpCoreModule};

use crate::conf::{Conf, Error, Outcome};
use crate::guard::guarded;
use crate::module::HttpModule;

/// What a directive does, with its module's configuration of a level. That is taken out of its place
/// meanwhile, so that nobody else can have it.
pub type Handler<T> = fn(&mut Conf, &mut T) -> Outcome;

/// Where a directive may stand and how many arguments it takes.
#[derive(Clone, Copy)]
pub struct Kind(u32);

impl Kind {
    /// From `least` to `most` arguments, which is at most 7.
    pub const fn arguments(least: u32, most: u32) -> Self {
        // a bit for each number (NGX_CONF_NOARGS, NGX_CONF_TAKE1, ...)
        Self((2 << most) - (1 << least))
    }

    /// `least` arguments or more, which is 0, 1 or 2.
    pub const fn at_least(least: u32) -> Self {
        Self(match least {
            0 => NGX_CONF_ANY,
            1 => NGX_CONF_1MORE,
            _ => NGX_CONF_2MORE,
        })
    }

    /// In every block, and in none.
    pub const fn anywhere(self) -> Self {
        Self(self.0 | NGX_ANY_CONF)
    }

    /// In `http`.
    pub const fn http(self) -> Self {
        Self(self.0 | NGX_HTTP_MAIN_CONF)
    }

    /// In `server` of `http`.
    pub const fn server(self) -> Self {
        Self(self.0 | NGX_HTTP_SRV_CONF)
    }

    /// In `location`.
    pub const fn location(self) -> Self {
        Self(self.0 | NGX_HTTP_LOC_CONF)
    }

    /// In `upstream` of `http`.
    pub const fn upstream(self) -> Self {
        Self(self.0 | NGX_HTTP_UPS_CONF)
    }
}

/// A directive: an entry of a module's table, which ends in [`Command::END`].
#[repr(transparent)]
pub struct Command(pub(crate) ngx_command_t);

// SAFETY: nobody writes to it, and what it points to is constant
unsafe impl Sync for Command {}

impl Command {
    /// A directive for what its module has of `http`.
    pub const fn main<M: HttpModule>(
        name: &'static CStr,
        kind: Kind,
        handler: Handler<M::Main>,
    ) -> Self {
        Self::new(name, kind, set_main::<M>, handler as *mut c_void)
    }

    /// A directive for what its module has of a server, or of an upstream block.
    pub const fn server<M: HttpModule>(
        name: &'static CStr,
        kind: Kind,
        handler: Handler<M::Server>,
    ) -> Self {
        Self::new(name, kind, set_server::<M>, handler as *mut c_void)
    }

    /// A directive for what its module has of a location.
    pub const fn location<M: HttpModule>(
        name: &'static CStr,
        kind: Kind,
        handler: Handler<M::Location>,
    ) -> Self {
        Self::new(name, kind, set_location::<M>, handler as *mut c_void)
    }

    /// A directive that stands for others, as `include` does.
    pub const fn plain(name: &'static CStr, kind: Kind, handler: Handler<()>) -> Self {
        Self::new(name, kind, set_plain, handler as *mut c_void)
    }

    const fn new(name: &'static CStr, kind: Kind, set: Set, handler: *mut c_void) -> Self {
        let name = ngx_str_t { len: name.count_bytes(), data: name.as_ptr().cast_mut().cast() };
        Self(ngx_command_t {
            name,
            type_: kind.0 as ngx_uint_t,
            set: Some(set),
            // not looked at: the configuration follows from the type of the handler
            conf: 0,
            offset: 0,
            post: handler,
        })
    }

    /// What stands behind the last directive of a table.
    pub const END: Self = Self(ngx_command_t::empty());

    pub(crate) const fn is_end(&self) -> bool {
        self.0.set.is_none()
    }
}

type Set = unsafe extern "C" fn(*mut ngx_conf_t, *mut ngx_command_t, *mut c_void) -> *mut c_char;

const _: () = assert!(size_of::<Handler<()>>() == size_of::<*mut c_void>());

/// The handler of a command.
///
/// # Safety
/// Its constructor has got a `Handler<T>`.
unsafe fn handler<T>(command: *mut ngx_command_t) -> Handler<T> {
    // SAFETY: by contract
    unsafe { std::mem::transmute::<*mut c_void, Handler<T>>((*command).post) }
}

unsafe extern "C" fn set_main<M: HttpModule>(
    cf: *mut ngx_conf_t,
    command: *mut ngx_command_t,
    _: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: nginx passes a command of `Command::main`
        let handler = unsafe { handler::<M::Main>(command) };
        // SAFETY: nginx passes what it has of the directive
        unsafe { call(cf, |cf| cf.with(Conf::main::<M>, handler)) }
    })
}

unsafe extern "C" fn set_server<M: HttpModule>(
    cf: *mut ngx_conf_t,
    command: *mut ngx_command_t,
    _: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: nginx passes a command of `Command::server`
        let handler = unsafe { handler::<M::Server>(command) };
        // SAFETY: nginx passes what it has of the directive
        unsafe { call(cf, |cf| cf.with(Conf::server::<M>, handler)) }
    })
}

unsafe extern "C" fn set_location<M: HttpModule>(
    cf: *mut ngx_conf_t,
    command: *mut ngx_command_t,
    _: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: nginx passes a command of `Command::location`
        let handler = unsafe { handler::<M::Location>(command) };
        // SAFETY: nginx passes what it has of the directive
        unsafe { call(cf, |cf| cf.with(Conf::location::<M>, handler)) }
    })
}

unsafe extern "C" fn set_plain(
    cf: *mut ngx_conf_t,
    command: *mut ngx_command_t,
    _: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: nginx passes a command of `Command::plain`
        let handler = unsafe { handler::<()>(command) };
        // SAFETY: nginx passes what it has of the directive
        unsafe { call(cf, |cf| handler(cf, &mut ())) }
    })
}

/// Whether core's module of http has a directive of this name, which depends on its version.
pub fn core_has(name: &str) -> bool {
    // SAFETY: a module of nginx
    let commands = unsafe { commands_of(NgxHttpCoreModule::module()) };
    commands.iter().any(|command| command.name.as_bytes() == name.as_bytes())
}

/// The directives of a module.
///
/// # Safety
/// A module of nginx, or of the same shape.
pub(crate) unsafe fn commands_of(module: &ngx_module_t) -> &[ngx_command_t] {
    // SAFETY: by contract null or a table that ends in an entry without a name
    unsafe {
        if module.commands.is_null() {
            return &[];
        }
        let len = (0..).take_while(|at| (*module.commands.add(*at)).name.len > 0).count();
        std::slice::from_raw_parts(module.commands, len)
    }
}

/// Calls a handler, and tells nginx how that has ended.
///
/// # Safety
/// `cf` is what nginx passes to a command.
unsafe fn call(cf: *mut ngx_conf_t, work: impl FnOnce(&mut Conf) -> Outcome) -> *mut c_char {
    // SAFETY: by contract
    let Some(mut cf) = (unsafe { Conf::from_ptr(cf) }) else { return NGX_CONF_ERROR };
    let panicked = Err(Error::Message("internal error".to_owned()));
    match guarded(panicked, || work(&mut cf)) {
        Err(Error::Directive(what)) => what.as_ptr().cast_mut(),
        outcome => cf.conclude(outcome).map_or(NGX_CONF_ERROR, |()| NGX_CONF_OK),
    }
}
