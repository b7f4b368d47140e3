//! The configuration that is being read.

use std::ffi::{c_char, c_void, CStr, OsStr};
use std::fmt::Display;
use std::mem::{size_of, zeroed};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr::{null_mut, NonNull};

use ngx::core::{Pool, NGX_CONF_OK};
use ngx::ffi::{
    ngx_array_create, ngx_buf_t, ngx_conf_file_t, ngx_conf_full_name, ngx_conf_parse, ngx_conf_t,
    ngx_http_conf_ctx_t, ngx_int_t, ngx_log_t, ngx_str_t, ngx_uint_t, u_char, NGX_HTTP_MODULE,
    NGX_INVALID_FILE, NGX_OK,
};

use crate::cycle::Cycle;
use crate::guard::guarded;
use crate::life::Life;
use crate::log::Level;
use crate::module::{CoreModule, HttpModule, Module};
use crate::text::{quoted, string_in};

/// Why a directive, or a whole configuration, is refused.
#[derive(Debug)]
pub enum Error {
    /// The message is in the log already.
    Logged,
    /// `"name" directive <this>`, as core words it.
    Directive(&'static CStr),
    /// A sentence of the module's own.
    Message(String),
}

impl Error {
    /// nginx has no memory left.
    pub fn no_memory() -> Self {
        Self::Message("no memory".to_owned())
    }

    /// The directive stands twice (`is duplicate`).
    pub const DUPLICATE: Self = Self::Directive(c"is duplicate");
}

/// How a step of reading ends.
pub type Outcome = Result<(), Error>;

/// The configuration being read, while nginx calls a module for it. It is the only gate to the
/// configurations that modules have of each block, so it is what keeps references to them apart.
pub struct Conf<'a> {
    cf: &'a mut ngx_conf_t,
    /// Whether nginx calls a module of `http` for it: core says so itself only once it reads the
    /// block, which is after `preconfiguration` (`ngx_http_block`).
    is_http: bool,
    /// Whether it does so in `init_main`, when all of `http` is read and nothing is merged yet.
    is_unmerged: bool,
}

/// A place in the configuration, to apply directives there later.
#[derive(Clone)]
pub struct Place {
    life: Life,
    ctx: *mut c_void,
    cmd_type: ngx_uint_t,
    file: ngx_str_t,
    line: ngx_uint_t,
}

impl Place {
    /// A line of a file, where nothing can be applied.
    ///
    /// # Safety
    /// `file` is the name of a file with a NUL at its end, in the memory of the configuration.
    pub(crate) unsafe fn of_file(life: Life, file: *mut u_char, line: ngx_uint_t) -> Self {
        // SAFETY: by contract
        let len = unsafe { CStr::from_ptr(file.cast()) }.count_bytes();
        Self { life, ctx: null_mut(), cmd_type: 0, file: ngx_str_t { len, data: file }, line }
    }
}

impl<'a> Conf<'a> {
    /// Wraps nginx's pointer.
    ///
    /// # Safety
    /// `cf` is what nginx passes to a configuration handler, and is not used beside the result.
    pub unsafe fn from_ptr(cf: *mut ngx_conf_t) -> Option<Self> {
        // SAFETY: by contract valid for the call, and exclusive
        unsafe { cf.as_mut() }.map(|cf| Self { cf, is_http: false, is_unmerged: false })
    }

    /// As [`Conf::from_ptr`], for a module of `http`.
    ///
    /// # Safety
    /// `cf` is what nginx passes to such a module for `http`.
    pub(crate) unsafe fn of_http(cf: *mut ngx_conf_t) -> Option<Self> {
        // SAFETY: by contract
        unsafe { Self::from_ptr(cf) }.map(|cf| Self { is_http: true, ..cf })
    }

    /// As [`Conf::of_http`], for its `init_main`.
    ///
    /// # Safety
    /// `cf` is what nginx passes to that.
    pub(crate) unsafe fn of_read_http(cf: *mut ngx_conf_t) -> Option<Self> {
        // SAFETY: by contract
        unsafe { Self::of_http(cf) }.map(|cf| Self { is_unmerged: true, ..cf })
    }

    /// nginx's own pointer, to pass on to nginx.
    pub fn as_ptr(&mut self) -> *mut ngx_conf_t {
        self.cf
    }

    /// The cycle that is being made.
    pub fn cycle(&self) -> Cycle<'_> {
        // SAFETY: nginx has it set while it reads a configuration
        unsafe { Cycle::from_ptr(self.cf.cycle) }
    }

    /// How long this configuration lives.
    pub(crate) fn life(&self) -> Result<Life, Error> {
        // SAFETY: the cycle that is being made
        unsafe { Life::of(self.cf.cycle) }.ok_or_else(Error::no_memory)
    }

    /// The name of the directive.
    pub fn directive(&self) -> String {
        String::from_utf8_lossy(self.arg(0).unwrap_or_default()).into_owned()
    }

    /// The arguments of the directive.
    ///
    /// # Errors
    /// One is not in UTF-8.
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
        // SAFETY: null, or nginx's array of strings
        let args = unsafe { self.cf.args.as_ref()?.as_slice::<ngx_str_t>() };
        args.get(index).map(ngx_str_t::as_bytes)
    }

    /// What a core module has of this configuration; `None` where nginx does not have that module.
    pub fn core<M: CoreModule>(&mut self) -> Option<&mut M::Conf> {
        let slot = self.cycle().core_slot::<M>()?;
        // SAFETY: what the module's `create_conf` has made; exclusive by the gate
        unsafe { slot.cast::<M::Conf>().as_mut() }
    }

    /// What a module has of `http`.
    ///
    /// # Errors
    /// This is not in `http`, or nginx does not have that module.
    pub fn main<M: HttpModule>(&mut self) -> Result<&mut M::Main, Error> {
        // SAFETY: the type is that of the module's `create_main_conf`
        unsafe { self.http::<M, _>(|ctx| ctx.main_conf) }
    }

    /// What a module has of this server, of this upstream block, or of `http`.
    ///
    /// # Errors
    /// As of [`Conf::main`].
    pub fn server<M: HttpModule>(&mut self) -> Result<&mut M::Server, Error> {
        // SAFETY: the type is that of the module's `create_srv_conf`
        unsafe { self.http::<M, _>(|ctx| ctx.srv_conf) }
    }

    /// What a module has of this location, server or of `http`.
    ///
    /// # Errors
    /// As of [`Conf::main`].
    pub fn location<M: HttpModule>(&mut self) -> Result<&mut M::Location, Error> {
        // SAFETY: the type is that of the module's `create_loc_conf`
        unsafe { self.http::<M, _>(|ctx| ctx.loc_conf) }
    }

    /// Takes a configuration out of its place while `work` has it, so that whoever asks for it then
    /// finds it empty and nobody has it twice.
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

    /// As [`Conf::main`], where the gate is needed too: the configuration is taken out of its place
    /// while `work` has it.
    ///
    /// # Errors
    /// As of [`Conf::main`], and of `work`.
    pub fn with_main<M: HttpModule, R>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut M::Main) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.with(Self::main::<M>, work)
    }

    /// # Safety
    /// A `T` is what the module has at that level.
    unsafe fn http<M: HttpModule, T>(
        &mut self,
        level: fn(&ngx_http_conf_ctx_t) -> *mut *mut c_void,
    ) -> Result<&mut T, Error> {
        let index = Module::<M>::ctx_index();
        let nowhere =
            || Error::Message(format!("\"{}\" directive is not in http", self.directive()));
        let (Some(ctx), Some(index)) = (self.http_ctx(), index) else { return Err(nowhere()) };
        // SAFETY: each level has a slot for each HTTP module, or is not there at all
        let slots = NonNull::new(level(unsafe { ctx.as_ref() })).ok_or_else(nowhere)?;
        // SAFETY: as above; by contract a `T`, and exclusive by the gate
        unsafe { (*slots.as_ptr().add(index)).cast::<T>().as_mut() }.ok_or(Error::Logged)
    }

    /// The context of this block, where it is one of `http`.
    pub(crate) fn http_ctx(&self) -> Option<NonNull<ngx_http_conf_ctx_t>> {
        let is_http = self.is_http || self.cf.module_type == NGX_HTTP_MODULE as ngx_uint_t;
        NonNull::new(self.cf.ctx.cast()).filter(|_| is_http)
    }

    /// The context of `http` where all of it is read and locations are still in the queues of their
    /// levels, which core takes apart once it has merged them (`ngx_http_init_locations`).
    pub(crate) fn unmerged_http(&self) -> Result<NonNull<ngx_http_conf_ctx_t>, Error> {
        let http = self.http_ctx().filter(|_| self.is_unmerged);
        http.ok_or_else(|| Error::Message("locations can be visited in init_main alone".to_owned()))
    }

    /// Memory that lives as long as this configuration.
    pub(crate) fn pool(&self) -> Pool {
        // SAFETY: cf->pool is the pool of the cycle that is being read
        unsafe { Pool::from_ngx_pool(self.cf.pool) }
    }

    /// A value in that memory; it is dropped with the configuration.
    pub(crate) fn allocate<T>(&self, value: T) -> Result<NonNull<T>, Error> {
        NonNull::new(self.pool().allocate(value)).ok_or_else(Error::no_memory)
    }

    /// `text` in that memory.
    pub(crate) fn string(&self, text: &str) -> Result<ngx_str_t, Error> {
        // SAFETY: the pool is that of the cycle that is being read
        unsafe { string_in(self.cf.pool, text) }.ok_or_else(Error::no_memory)
    }

    /// A file's path as nginx reads one, below its prefix unless it is absolute
    /// (`ngx_conf_full_name`).
    ///
    /// # Errors
    /// There is no memory.
    pub fn full_path(&self, path: &str) -> Result<PathBuf, Error> {
        let mut name = self.string(path)?;
        // SAFETY: the cycle that is being made; the name is in its pool
        if unsafe { ngx_conf_full_name(self.cf.cycle, &raw mut name, 0) } != NGX_OK as ngx_int_t {
            return Err(Error::Logged);
        }
        Ok(PathBuf::from(OsStr::from_bytes(name.as_bytes())))
    }

    /// Logs something worth knowing about this place.
    pub fn notice(&mut self, message: impl Display) {
        self.log(Level::Notice, message);
    }

    /// Logs something that should not stay as it is.
    pub fn warn(&mut self, message: impl Display) {
        self.log(Level::Warn, message);
    }

    /// Logs why the configuration is refused.
    pub fn refuse(&mut self, message: impl Display) {
        self.log(Level::Emerg, message);
    }

    /// The same, with the environment variables that the directive's words come from.
    ///
    /// # Errors
    /// There is no memory.
    pub fn refuse_from(&mut self, message: impl Display, variables: &[String]) -> Outcome {
        let log = self.cf.log;
        if !variables.is_empty() {
            self.cf.log = self.log_that_names(variables)?;
        }
        self.refuse(message);
        self.cf.log = log;
        Ok(())
    }

    fn log(&mut self, level: Level, message: impl Display) {
        ngx::ngx_conf_log_error!(level.number(), &raw mut *self.cf, "{message}");
    }

    /// Logs an error of the configuration file as one of `place`.
    pub fn error_at(&mut self, place: &Place, message: impl Display) -> Error {
        self.log_at(place, Level::Emerg, message);
        Error::Logged
    }

    /// Logs something about `place` that should not stay as it is.
    pub fn warn_at(&mut self, place: &Place, message: impl Display) {
        self.log_at(place, Level::Warn, message);
    }

    fn log_at(&mut self, place: &Place, level: Level, message: impl Display) {
        if !place.life.is_of(self.cf.cycle) {
            return self.log(level, message);
        }
        // SAFETY: all-zero is a valid value of the C struct
        let mut file: ngx_conf_file_t = unsafe { zeroed() };
        file.file.name = place.file;
        file.line = place.line;
        let own_file = std::mem::replace(&mut self.cf.conf_file, &raw mut file);
        self.log(level, message);
        self.cf.conf_file = own_file;
    }

    /// Logs what is not logged yet.
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

    /// This very place.
    ///
    /// # Errors
    /// There is no memory.
    pub fn place(&self) -> Result<Place, Error> {
        // SAFETY: null, or the file that is being read
        let file = unsafe { self.cf.conf_file.as_ref() }.ok_or(Error::Logged)?;
        Ok(Place {
            life: self.life()?,
            ctx: self.cf.ctx,
            cmd_type: self.cf.cmd_type,
            file: file.file.name,
            line: file.line,
        })
    }

    /// Applies a directive as if it stood here, see [`Conf::apply_at`].
    ///
    /// # Errors
    /// nginx or a module refuses it.
    pub fn apply(&mut self, words: &[&str], variables: &[String]) -> Outcome {
        let here = self.place()?;
        self.apply_at(&here, words, variables)
    }

    /// Applies a directive as if it stood at `place`. Its words are data, whatever they contain.
    /// Every message about it names the environment `variables` that they come from.
    ///
    /// # Errors
    /// nginx or a module refuses it, or the place is one of another configuration.
    pub fn apply_at(&mut self, place: &Place, words: &[&str], variables: &[String]) -> Outcome {
        if !place.life.is_of(self.cf.cycle) || place.ctx.is_null() {
            return Err(Error::Message("a place where nothing can be applied".to_owned()));
        }
        let (ctx, cmd_type, log) = (self.cf.ctx, self.cf.cmd_type, self.cf.log);
        if !variables.is_empty() {
            self.cf.log = self.log_that_names(variables)?;
        }
        self.cf.ctx = place.ctx;
        self.cf.cmd_type = place.cmd_type;
        let outcome = self.apply_line(place, words);
        self.cf.ctx = ctx;
        self.cf.cmd_type = cmd_type;
        self.cf.log = log;
        outcome
    }

    /// A copy of the log that adds to each message, in nginx's own way, where its words come from.
    /// It lives in the pool because a directive may keep the pointer.
    fn log_that_names(&self, variables: &[String]) -> Result<*mut ngx_log_t, Error> {
        let plural = if variables.len() > 1 { "s" } else { "" };
        let names = variables.join("\", \"");
        let origin = format!(", from environment variable{plural} \"{names}\"");
        let origin = self.allocate(self.string(&origin)?)?;
        // SAFETY: cf->log is valid while the configuration is read
        let mut log = unsafe { *self.cf.log };
        log.handler = Some(append_origin);
        log.data = origin.as_ptr().cast();
        Ok(self.allocate(log)?.as_ptr())
    }

    /// Feeds one line to nginx's parser from memory. Errors name the line of `place`.
    fn apply_line(&mut self, place: &Place, words: &[&str]) -> Outcome {
        // SAFETY: null, or the file that is being read
        let own = unsafe { self.cf.conf_file.as_ref() };
        let fd = own.map_or(NGX_INVALID_FILE, |file| file.file.fd);
        let mut line = String::new();
        for word in words {
            line.push_str(&quoted(word));
            line.push(' ');
        }
        // the end of a block ends ngx_conf_parse where a file is open, else the end of the text
        line.push_str(if fd == NGX_INVALID_FILE { ";" } else { ";}" });
        let text = self.string(&line)?;

        // SAFETY: all-zero is a valid value of both C structs
        let (mut buf, mut file): (ngx_buf_t, ngx_conf_file_t) = unsafe { (zeroed(), zeroed()) };
        buf.start = text.data;
        buf.pos = text.data;
        // SAFETY: one past the end of the text in the pool
        buf.last = unsafe { text.data.add(text.len) };
        buf.end = buf.last;
        file.file.fd = fd;
        file.file.name = place.file;
        file.file.log = self.cf.log;
        file.line = place.line;
        file.buffer = &raw mut buf;

        let (own_file, own_args) = (self.cf.conf_file, self.cf.args);
        // SAFETY: the pool is valid
        let args = unsafe { ngx_array_create(self.cf.pool, 10, size_of::<ngx_str_t>()) };
        if args.is_null() {
            return Err(Error::Logged);
        }
        self.cf.args = args;
        self.cf.conf_file = &raw mut file;
        // SAFETY: cf is as nginx passed it, with a file and arguments of our own that outlive the
        // call; no filename: it goes on reading the current file
        let rv = unsafe { ngx_conf_parse(self.cf, null_mut::<ngx_str_t>()) };
        self.cf.conf_file = own_file;
        self.cf.args = own_args;
        if std::ptr::eq::<c_char>(rv, NGX_CONF_OK) {
            Ok(())
        } else {
            Err(Error::Logged)
        }
    }
}

/// The handler of a log (`ngx_log_error_core`): appends the text in `data` to the message.
unsafe extern "C" fn append_origin(
    log: *mut ngx_log_t,
    buf: *mut u_char,
    len: usize,
) -> *mut u_char {
    guarded(buf, || {
        // SAFETY: `Conf::log_that_names` sets data to a string in the pool; nginx gives room for
        // len bytes
        unsafe {
            let origin = (*(*log).data.cast::<ngx_str_t>()).as_bytes();
            let len = len.min(origin.len());
            buf.copy_from_nonoverlapping(origin.as_ptr(), len);
            buf.add(len)
        }
    })
}
