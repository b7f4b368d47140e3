//! Access to a configuration while nginx reads it.

use std::ffi::{c_void, CStr, OsStr};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr::NonNull;

use ngx::core::Pool;
use ngx::ffi::{
    ngx_conf_full_name, ngx_conf_t, ngx_http_conf_ctx_t, ngx_int_t, ngx_str_t, ngx_uint_t,
    NGX_HTTP_MODULE, NGX_OK,
};

use crate::cycle::Cycle;
use crate::life::Life;
use crate::log::Level;
use crate::module::{CoreModule, HttpModule, Module};
use crate::text::string_in;

mod place;

pub use place::Place;

/// Why a directive or a whole configuration is refused.
#[derive(Debug)]
pub enum Error {
    /// The reason is in the log already.
    Logged,
    /// `"name" directive <this>`, in nginx's wording.
    Directive(&'static CStr),
    /// A complete message.
    Message(String),
}

impl Error {
    /// The message for exhausted memory.
    pub fn no_memory() -> Self {
        Self::Message("no memory".to_owned())
    }

    /// The directive occurs twice (`is duplicate`).
    pub const DUPLICATE: Self = Self::Directive(c"is duplicate");
}

/// The result of a step that reads a configuration.
pub type Outcome = Result<(), Error>;

/// The configuration being read, for the duration of a call by nginx. It is the only access to the
/// configurations of modules while they can change: a method that returns one borrows the `Conf`,
/// which rules out a second reference.
pub struct Conf<'a> {
    cf: &'a mut ngx_conf_t,
    /// Whether nginx calls an HTTP module. nginx itself sets `module_type` only when it reads the
    /// block, which is after `preconfiguration` (`ngx_http_block`).
    is_http: bool,
    /// Whether this is `init_main`: all of `http` is read and nothing is merged yet.
    is_unmerged: bool,
}

impl<'a> Conf<'a> {
    /// Wraps nginx's pointer; `None` for null.
    ///
    /// # Safety
    /// `cf` is null or the pointer that nginx passes to a configuration callback. While the result
    /// exists, only the result uses it.
    pub unsafe fn from_ptr(cf: *mut ngx_conf_t) -> Option<Self> {
        // SAFETY: by contract valid and not aliased during the call
        unsafe { cf.as_mut() }.map(|cf| Self { cf, is_http: false, is_unmerged: false })
    }

    /// Like [`Conf::from_ptr`], for a callback of an HTTP module.
    ///
    /// # Safety
    /// As for [`Conf::from_ptr`]; nginx passes `cf` to an HTTP module, with the context of `http`.
    pub(crate) unsafe fn of_http(cf: *mut ngx_conf_t) -> Option<Self> {
        // SAFETY: the caller guarantees the contract of `from_ptr`
        unsafe { Self::from_ptr(cf) }.map(|cf| Self { is_http: true, ..cf })
    }

    /// Like [`Conf::of_http`], for `init_main`.
    ///
    /// # Safety
    /// As for [`Conf::of_http`]; nginx passes `cf` to `init_main_conf`.
    pub(crate) unsafe fn of_read_http(cf: *mut ngx_conf_t) -> Option<Self> {
        // SAFETY: the caller guarantees the contract of `of_http`
        unsafe { Self::of_http(cf) }.map(|cf| Self { is_unmerged: true, ..cf })
    }

    /// nginx's pointer, for a call of nginx.
    pub fn as_ptr(&mut self) -> *mut ngx_conf_t {
        self.cf
    }

    /// The cycle being built.
    pub fn cycle(&self) -> Cycle<'_> {
        // SAFETY: nginx sets the cycle before it reads a configuration; the result borrows `self`,
        // so nobody can change what modules have in it
        unsafe { Cycle::from_ptr(self.cf.cycle) }
    }

    /// The life of this configuration.
    pub(crate) fn life(&self) -> Result<Life, Error> {
        // SAFETY: the cycle being built
        unsafe { Life::of(self.cf.cycle) }.ok_or_else(Error::no_memory)
    }

    /// The name of the current directive; empty outside the handler of a directive.
    pub fn directive(&self) -> String {
        String::from_utf8_lossy(self.arg(0).unwrap_or_default()).into_owned()
    }

    /// The arguments of the current directive, without its name.
    ///
    /// # Errors
    /// An argument is not valid UTF-8.
    pub fn args(&self) -> Result<Vec<String>, Error> {
        (1..)
            .map_while(|index| self.arg(index))
            .map(|arg| {
                String::from_utf8(arg.to_vec()).map_err(|_| {
                    let name = self.directive();
                    Error::Message(format!("\"{name}\" directive has an argument not in UTF-8"))
                })
            })
            .collect()
    }

    fn arg(&self, index: usize) -> Option<&[u8]> {
        // SAFETY: null, or nginx's array of the words of the directive
        let args = unsafe { self.cf.args.as_ref()?.as_slice::<ngx_str_t>() };
        args.get(index).map(ngx_str_t::as_bytes)
    }

    /// The configuration of a core module; `None` if nginx has not loaded it.
    pub fn core<M: CoreModule>(&mut self) -> Option<&mut M::Conf> {
        let slot = self.cycle().core_slot::<M>()?;
        // SAFETY: null or what `create_conf` of `M` has made; `&mut self` rules out other
        // references
        unsafe { slot.cast::<M::Conf>().as_mut() }
    }

    /// The main configuration of module `M`.
    ///
    /// # Errors
    /// The directive is not in `http`, or nginx has not loaded `M`.
    pub fn main<M: HttpModule>(&mut self) -> Result<&mut M::Main, Error> {
        // SAFETY: the slots of `main_conf` hold what `create_main_conf` of each module has made
        unsafe { self.http::<M, _>(|ctx| ctx.main_conf) }
    }

    /// The server configuration of module `M` for the current server or upstream block, or that of
    /// `http`.
    ///
    /// # Errors
    /// As for [`Conf::main`].
    pub fn server<M: HttpModule>(&mut self) -> Result<&mut M::Server, Error> {
        // SAFETY: the slots of `srv_conf` hold what `create_srv_conf` of each module has made
        unsafe { self.http::<M, _>(|ctx| ctx.srv_conf) }
    }

    /// The location configuration of module `M` for the current location or server, or that of
    /// `http`.
    ///
    /// # Errors
    /// As for [`Conf::main`].
    pub fn location<M: HttpModule>(&mut self) -> Result<&mut M::Location, Error> {
        // SAFETY: the slots of `loc_conf` hold what `create_loc_conf` of each module has made
        unsafe { self.http::<M, _>(|ctx| ctx.loc_conf) }
    }

    /// Moves a configuration out of its slot while `work` uses it. Code that `work` calls finds the
    /// default value in the slot, so no two references to it exist.
    pub(crate) fn with<T: Default, R>(
        &mut self,
        place: fn(&mut Self) -> Result<&mut T, Error>,
        work: impl FnOnce(&mut Self, &mut T) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut own = std::mem::take(place(self)?);
        let result = work(self, &mut own);
        *place(self)? = own;
        result
    }

    /// Like [`Conf::main`], for code that needs the `Conf` at the same time. While `work` runs, the
    /// configuration is moved out of its slot and the slot has the default value.
    ///
    /// # Errors
    /// As for [`Conf::main`], and those of `work`.
    pub fn with_main<M: HttpModule, R>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut M::Main) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.with(Self::main::<M>, work)
    }

    /// # Safety
    /// At that level the slot of `M` is null or holds a `T`.
    unsafe fn http<M: HttpModule, T>(
        &mut self,
        level: fn(&ngx_http_conf_ctx_t) -> *mut *mut c_void,
    ) -> Result<&mut T, Error> {
        let index = Module::<M>::ctx_index();
        let nowhere =
            || Error::Message(format!("\"{}\" directive is not in http", self.directive()));
        let (Some(ctx), Some(index)) = (self.http_ctx(), index) else { return Err(nowhere()) };
        // SAFETY: a context of http is valid while it is read; each level is null or has a slot for
        // each HTTP module
        let slots = NonNull::new(level(unsafe { ctx.as_ref() })).ok_or_else(nowhere)?;
        // SAFETY: by contract the slot holds a `T`; `&mut self` rules out other references
        unsafe { (*slots.as_ptr().add(index)).cast::<T>().as_mut() }.ok_or(Error::Logged)
    }

    /// The context of the current block, if it is in `http`.
    pub(crate) fn http_ctx(&self) -> Option<NonNull<ngx_http_conf_ctx_t>> {
        let is_http = self.is_http || self.cf.module_type == NGX_HTTP_MODULE as ngx_uint_t;
        NonNull::new(self.cf.ctx.cast()).filter(|_| is_http)
    }

    /// The context of `http`, in `init_main` only: all of `http` is read, and locations are still
    /// in the queues of their levels. nginx empties the queues after the merge
    /// (`ngx_http_init_locations`).
    pub(crate) fn unmerged_http(&self) -> Result<NonNull<ngx_http_conf_ctx_t>, Error> {
        let http = self.http_ctx().filter(|_| self.is_unmerged);
        http.ok_or_else(|| Error::Message("locations can be visited in init_main alone".to_owned()))
    }

    /// The memory pool of this configuration.
    pub(crate) fn pool(&self) -> Pool {
        // SAFETY: cf->pool is the pool of the cycle being built
        unsafe { Pool::from_ngx_pool(self.cf.pool) }
    }

    /// Allocates a value in the pool of this configuration, which drops it.
    pub(crate) fn allocate<T>(&self, value: T) -> Result<NonNull<T>, Error> {
        NonNull::new(self.pool().allocate(value)).ok_or_else(Error::no_memory)
    }

    /// Copies text to the pool of this configuration.
    pub(crate) fn string(&self, text: &str) -> Result<ngx_str_t, Error> {
        // SAFETY: cf->pool is the pool of the cycle being built
        unsafe { string_in(self.cf.pool, text) }.ok_or_else(Error::no_memory)
    }

    /// The full path of a file: relative paths are below nginx's prefix (`ngx_conf_full_name`).
    ///
    /// # Errors
    /// Memory is exhausted.
    pub fn full_path(&self, path: &str) -> Result<PathBuf, Error> {
        let mut name = self.string(path)?;
        // SAFETY: the cycle being built; the name is in its pool
        if unsafe { ngx_conf_full_name(self.cf.cycle, &raw mut name, 0) } != NGX_OK as ngx_int_t {
            return Err(Error::Logged);
        }
        Ok(PathBuf::from(OsStr::from_bytes(name.as_bytes())))
    }

    /// Logs a message at level notice for the current position.
    pub fn notice(&mut self, message: impl Display) {
        self.log(Level::Notice, message);
    }

    /// Logs a message at level warn for the current position.
    pub fn warn(&mut self, message: impl Display) {
        self.log(Level::Warn, message);
    }

    /// Logs why the configuration is refused, at level emerg for the current position. The caller
    /// also has to return an error or to make the configuration fail later.
    pub fn refuse(&mut self, message: impl Display) {
        self.log(Level::Emerg, message);
    }

    fn log(&mut self, level: Level, message: impl Display) {
        ngx::ngx_conf_log_error!(level.number(), &raw mut *self.cf, "{message}");
    }

    /// Logs the error of an outcome unless it is in the log already.
    pub(crate) fn conclude(&mut self, outcome: Outcome) -> Result<(), ()> {
        match outcome {
            Ok(()) => return Ok(()),
            Err(Error::Logged) => {}
            Err(Error::Directive(what)) => {
                let name = self.directive();
                self.refuse(format_args!("\"{name}\" directive {}", what.to_string_lossy()));
            }
            Err(Error::Message(message)) => self.refuse(message),
        }
        Err(())
    }
}
