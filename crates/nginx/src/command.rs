//! Directives.

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

/// The handler of a directive. It gets the configuration of its module at the current level, which
/// is moved out of its slot while the handler runs, see [`Conf::with_main`].
pub type Handler<T> = fn(&mut Conf, &mut T) -> Outcome;

/// Where a directive is allowed, and how many arguments it takes.
#[derive(Clone, Copy)]
pub struct Kind(u32);

impl Kind {
    /// From `least` to `most` arguments; at most 7.
    pub const fn arguments(least: u32, most: u32) -> Self {
        // a bit for each number (NGX_CONF_NOARGS, NGX_CONF_TAKE1, ...)
        Self((2 << most) - (1 << least))
    }

    /// `least` arguments or more, where `least` is 0, 1 or 2.
    pub const fn at_least(least: u32) -> Self {
        Self(match least {
            0 => NGX_CONF_ANY,
            1 => NGX_CONF_1MORE,
            _ => NGX_CONF_2MORE,
        })
    }

    /// Allowed in every context, the main one included.
    pub const fn anywhere(self) -> Self {
        Self(self.0 | NGX_ANY_CONF)
    }

    /// Allowed in `http`.
    pub const fn http(self) -> Self {
        Self(self.0 | NGX_HTTP_MAIN_CONF)
    }

    /// Allowed in `server` of `http`.
    pub const fn server(self) -> Self {
        Self(self.0 | NGX_HTTP_SRV_CONF)
    }

    /// Allowed in `location`.
    pub const fn location(self) -> Self {
        Self(self.0 | NGX_HTTP_LOC_CONF)
    }

    /// Allowed in `upstream` of `http`.
    pub const fn upstream(self) -> Self {
        Self(self.0 | NGX_HTTP_UPS_CONF)
    }
}

/// A directive: an entry of the table of a module, which ends with [`Command::END`].
#[repr(transparent)]
pub struct Command(pub(crate) ngx_command_t);

// SAFETY: nobody writes to it, and it points to constants only
unsafe impl Sync for Command {}

impl Command {
    /// A directive whose handler gets the main configuration.
    pub const fn main<M: HttpModule>(
        name: &'static CStr,
        kind: Kind,
        handler: Handler<M::Main>,
    ) -> Self {
        Self::new(name, kind, set_main::<M>, handler as *mut c_void)
    }

    /// A directive whose handler gets the server configuration: of a server, an upstream block, or
    /// `http`.
    pub const fn server<M: HttpModule>(
        name: &'static CStr,
        kind: Kind,
        handler: Handler<M::Server>,
    ) -> Self {
        Self::new(name, kind, set_server::<M>, handler as *mut c_void)
    }

    /// A directive whose handler gets the location configuration: of a location, a server, or
    /// `http`.
    pub const fn location<M: HttpModule>(
        name: &'static CStr,
        kind: Kind,
        handler: Handler<M::Location>,
    ) -> Self {
        Self::new(name, kind, set_location::<M>, handler as *mut c_void)
    }

    /// A directive without a configuration of its own, such as one that stands for other
    /// directives.
    pub const fn plain(name: &'static CStr, kind: Kind, handler: Handler<()>) -> Self {
        Self::new(name, kind, set_plain, handler as *mut c_void)
    }

    const fn new(name: &'static CStr, kind: Kind, set: Set, handler: *mut c_void) -> Self {
        let name = ngx_str_t { len: name.count_bytes(), data: name.as_ptr().cast_mut().cast() };
        Self(ngx_command_t {
            name,
            type_: kind.0 as ngx_uint_t,
            set: Some(set),
            // nginx passes the configuration at this offset, which is ignored: the type of the
            // handler determines it
            conf: 0,
            offset: 0,
            post: handler,
        })
    }

    /// The end of a table.
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
/// `command` was made with a `Handler<T>`.
unsafe fn handler<T>(command: *mut ngx_command_t) -> Handler<T> {
    // SAFETY: by contract `post` holds a `Handler<T>`, which has the size of a pointer
    unsafe { std::mem::transmute::<*mut c_void, Handler<T>>((*command).post) }
}

unsafe extern "C" fn set_main<M: HttpModule>(
    cf: *mut ngx_conf_t,
    command: *mut ngx_command_t,
    _: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: nginx passes the command, which `Command::main` has made with this handler type
        let handler = unsafe { handler::<M::Main>(command) };
        // SAFETY: nginx passes the configuration being read
        unsafe { call(cf, |cf| cf.with(Conf::main::<M>, handler)) }
    })
}

unsafe extern "C" fn set_server<M: HttpModule>(
    cf: *mut ngx_conf_t,
    command: *mut ngx_command_t,
    _: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: nginx passes the command, which `Command::server` has made with this handler type
        let handler = unsafe { handler::<M::Server>(command) };
        // SAFETY: nginx passes the configuration being read
        unsafe { call(cf, |cf| cf.with(Conf::server::<M>, handler)) }
    })
}

unsafe extern "C" fn set_location<M: HttpModule>(
    cf: *mut ngx_conf_t,
    command: *mut ngx_command_t,
    _: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: nginx passes the command, which `Command::location` has made with this handler
        // type
        let handler = unsafe { handler::<M::Location>(command) };
        // SAFETY: nginx passes the configuration being read
        unsafe { call(cf, |cf| cf.with(Conf::location::<M>, handler)) }
    })
}

unsafe extern "C" fn set_plain(
    cf: *mut ngx_conf_t,
    command: *mut ngx_command_t,
    _: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: nginx passes the command, which `Command::plain` has made with this handler type
        let handler = unsafe { handler::<()>(command) };
        // SAFETY: nginx passes the configuration being read
        unsafe { call(cf, |cf| handler(cf, &mut ())) }
    })
}

/// Whether nginx's HTTP core module has a directive of this name, which depends on the nginx
/// version.
pub fn core_has(name: &str) -> bool {
    // SAFETY: a static of nginx, whose table of commands is valid
    let commands = unsafe { commands_of(NgxHttpCoreModule::module()) };
    commands.iter().any(|command| command.name.as_bytes() == name.as_bytes())
}

/// The directives of a module.
///
/// # Safety
/// `commands` of the module is null or a table that ends with an entry without a name.
pub(crate) unsafe fn commands_of(module: &ngx_module_t) -> &[ngx_command_t] {
    // SAFETY: the caller guarantees the end of the table
    unsafe {
        if module.commands.is_null() {
            return &[];
        }
        let len = (0..).take_while(|at| (*module.commands.add(*at)).name.len > 0).count();
        std::slice::from_raw_parts(module.commands, len)
    }
}

/// Calls the handler of a directive and converts its outcome to nginx's return value.
///
/// # Safety
/// `cf` is the pointer that nginx passes to the `set` function of a command.
unsafe fn call(cf: *mut ngx_conf_t, work: impl FnOnce(&mut Conf) -> Outcome) -> *mut c_char {
    // SAFETY: the caller guarantees the contract of `from_ptr`
    let Some(mut cf) = (unsafe { Conf::from_ptr(cf) }) else { return NGX_CONF_ERROR };
    let panicked = Err(Error::Message("internal error".to_owned()));
    match guarded(panicked, || work(&mut cf)) {
        Err(Error::Directive(what)) => what.as_ptr().cast_mut(),
        outcome => cf.conclude(outcome).map_or(NGX_CONF_ERROR, |()| NGX_CONF_OK),
    }
}
