//! Directives: what their handlers may do, and the shim between nginx and them.

use std::ffi::{c_char, c_void, CStr, OsStr};
use std::fmt;
use std::mem::{size_of, zeroed};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr::{null_mut, NonNull};

use ngx::core::{Pool, NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ffi::{
    ngx_array_create, ngx_buf_t, ngx_conf_file_t, ngx_conf_full_name, ngx_conf_parse, ngx_conf_t,
    ngx_cycle_t, ngx_int_t, ngx_log_t, ngx_parse_time, ngx_pool_t, ngx_str_t, ngx_uint_t, u_char,
    NGX_ANY_CONF, NGX_CONF_1MORE, NGX_CONF_2MORE, NGX_CONF_ANY, NGX_HTTP_LOC_CONF,
    NGX_HTTP_MAIN_CONF, NGX_HTTP_SRV_CONF, NGX_HTTP_UPS_CONF, NGX_INVALID_FILE, NGX_LOG_EMERG,
    NGX_LOG_NOTICE, NGX_LOG_WARN, NGX_OK,
};
use ngx::http::HttpModuleConfExt;

use super::start::Start;
use crate::guard::guarded;
use crate::registry::{Arguments, Context, Directive};
use crate::settings::{Environment, Fault};

/// Why a directive is refused.
#[derive(Debug)]
pub enum Error {
    /// The message is in the log already.
    Logged,
    /// `"name" directive <this>`, as core words it.
    Directive(&'static CStr),
    /// A sentence of our own.
    Message(String),
}

/// How the handler of a directive ends.
pub type Outcome = Result<(), Error>;

/// The configuration being read, inside a directive's handler.
pub struct Conf<'a> {
    cf: &'a mut ngx_conf_t,
}

/// A place in the configuration, to apply directives there later.
pub struct Place {
    ctx: *mut c_void,
    cmd_type: ngx_uint_t,
    file: ngx_str_t,
    line: ngx_uint_t,
}

impl<'a> Conf<'a> {
    /// Wraps nginx's pointer.
    ///
    /// # Safety
    /// `cf` is what nginx passes to a configuration handler, and is not used beside the result.
    pub unsafe fn from_ptr(cf: *mut ngx_conf_t) -> Option<Self> {
        // SAFETY: by contract valid for the call, and exclusive
        unsafe { cf.as_mut() }.map(|cf| Self { cf })
    }

    /// nginx's own pointer, to pass on to nginx.
    pub fn as_ptr(&mut self) -> *mut ngx_conf_t {
        self.cf
    }

    /// The name of the directive.
    pub fn directive(&self) -> String {
        String::from_utf8_lossy(self.arg(0).unwrap_or_default()).into_owned()
    }

    /// The arguments of the directive.
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
        // SAFETY: while a handler runs, args is nginx's array of strings
        let args = unsafe { (*self.cf.args).as_slice::<ngx_str_t>() };
        args.get(index).map(ngx_str_t::as_bytes)
    }

    /// Memory that lives as long as this configuration.
    pub fn pool(&self) -> Pool {
        // SAFETY: cf->pool is the pool of the cycle that is being read
        unsafe { Pool::from_ngx_pool(self.cf.pool) }
    }

    /// A value in that memory; it is dropped with the configuration.
    pub fn allocate<T>(&self, value: T) -> Result<NonNull<T>, Error> {
        NonNull::new(self.pool().allocate(value))
            .ok_or_else(|| Error::Message("no memory".to_owned()))
    }

    /// `text` in that memory.
    pub fn string(&self, text: &str) -> Result<ngx_str_t, Error> {
        // SAFETY: the pool is that of the cycle that is being read
        unsafe { string_in(self.cf.pool, text) }
            .ok_or_else(|| Error::Message("no memory".to_owned()))
    }

    /// A file's path as nginx reads one, below its prefix unless it is absolute
    /// (`ngx_conf_full_name`).
    pub fn full_path(&self, path: &str) -> Result<PathBuf, Error> {
        let mut name = self.string(path)?;
        // SAFETY: the cycle that is being made; the name is in its pool
        if unsafe { ngx_conf_full_name(self.cf.cycle, &raw mut name, 0) } != NGX_OK as ngx_int_t {
            return Err(Error::Logged);
        }
        Ok(PathBuf::from(OsStr::from_bytes(name.as_bytes())))
    }

    /// Tells the operator something worth knowing.
    pub fn notice(&mut self, message: impl fmt::Display) {
        self.log(NGX_LOG_NOTICE, message);
    }

    /// Tells the operator something that should not stay as it is.
    pub fn warn(&mut self, message: impl fmt::Display) {
        self.log(NGX_LOG_WARN, message);
    }

    /// Tells the operator why the configuration is refused.
    pub fn refuse(&mut self, message: impl fmt::Display) {
        self.log(NGX_LOG_EMERG, message);
    }

    fn log(&mut self, level: u32, message: impl fmt::Display) {
        ngx::ngx_conf_log_error!(level, &raw mut *self.cf, "{message}");
    }

    /// Logs an error of the configuration file as one of `place`.
    pub fn error_at(&mut self, place: &Place, message: impl fmt::Display) -> Error {
        self.log_at(place, NGX_LOG_EMERG, message);
        Error::Logged
    }

    /// Tells the operator of `place` something that should not stay as it is.
    pub fn warn_at(&mut self, place: &Place, message: impl fmt::Display) {
        self.log_at(place, NGX_LOG_WARN, message);
    }

    fn log_at(&mut self, place: &Place, level: u32, message: impl fmt::Display) {
        // SAFETY: all-zero is a valid value of the C struct
        let mut file: ngx_conf_file_t = unsafe { zeroed() };
        file.file.name = place.file;
        file.line = place.line;
        let own_file = std::mem::replace(&mut self.cf.conf_file, &raw mut file);
        self.log(level, message);
        self.cf.conf_file = own_file;
    }

    /// Notes a fault of the environment: the start fails once everything is read.
    pub fn fault(&mut self, fault: &Fault) {
        let directive = self.directive();
        if Start::of(self.cf).is_none_or(|start| start.fault(fault)) {
            self.log(NGX_LOG_EMERG, format_args!("{fault}, required by \"{directive}\" directive"));
        }
    }

    /// Reads settings; a fault in them is noted and gives `None`.
    pub fn read<T, E: IntoIterator<Item = Fault>>(
        &mut self,
        settings: impl FnOnce(&Environment) -> Result<T, E>,
    ) -> Option<T> {
        match Start::environment(self.cf, settings) {
            Ok(value) => Some(value),
            Err(faults) => {
                faults.into_iter().for_each(|fault| self.fault(&fault));
                None
            }
        }
    }

    /// Marks the configuration as one that must not start; the message is in the log already.
    pub fn doom(&mut self) {
        if let Some(start) = Start::of(self.cf) {
            start.doom();
        }
    }

    /// The cycle that is being made.
    pub fn cycle(&mut self) -> *mut ngx_cycle_t {
        self.cf.cycle
    }

    /// This very place.
    pub fn place(&self) -> Place {
        // SAFETY: while a handler runs, conf_file is the file that is being read
        let file = unsafe { &*self.cf.conf_file };
        Place {
            ctx: self.cf.ctx,
            cmd_type: self.cf.cmd_type,
            file: file.file.name,
            line: file.line,
        }
    }

    /// Applies a directive as if it stood here, see [`Conf::apply_at`].
    pub fn apply(&mut self, words: &[&str], variables: &[String]) -> Outcome {
        let here = self.place();
        self.apply_at(&here, words, variables)
    }

    /// Applies a directive as if it stood at `place`. Its words are data, whatever they contain.
    /// Every message about it names the `variables` that they come from.
    pub fn apply_at(&mut self, place: &Place, words: &[&str], variables: &[String]) -> Outcome {
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
        // SAFETY: while a handler runs, conf_file is the file that is being read
        let fd = unsafe { (*self.cf.conf_file).file.fd };
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
        let rv = unsafe { ngx_conf_parse(self.cf, null_mut()) };
        self.cf.conf_file = own_file;
        self.cf.args = own_args;
        if rv == NGX_CONF_OK {
            Ok(())
        } else {
            Err(Error::Logged)
        }
    }
}

impl HttpModuleConfExt for Conf<'_> {
    unsafe fn http_main_conf_unchecked<T>(
        &self,
        module: &ngx::ffi::ngx_module_t,
    ) -> Option<NonNull<T>> {
        // SAFETY: the caller's
        unsafe { self.cf.http_main_conf_unchecked(module) }
    }

    unsafe fn http_server_conf_unchecked<T>(
        &self,
        module: &ngx::ffi::ngx_module_t,
    ) -> Option<NonNull<T>> {
        // SAFETY: the caller's
        unsafe { self.cf.http_server_conf_unchecked(module) }
    }

    unsafe fn http_location_conf_unchecked<T>(
        &self,
        module: &ngx::ffi::ngx_module_t,
    ) -> Option<NonNull<T>> {
        // SAFETY: the caller's
        unsafe { self.cf.http_location_conf_unchecked(module) }
    }
}

/// `text` in a pool, with a NUL behind it as nginx's own strings of a configuration have.
///
/// # Safety
/// The pool is valid; the result is used no longer than it lives.
pub unsafe fn string_in(pool: *mut ngx_pool_t, text: &str) -> Option<ngx_str_t> {
    // SAFETY: by contract
    let copy = unsafe { ngx_str_t::from_bytes(pool, &[text.as_bytes(), b"\0"].concat()) };
    copy.map(|copy| ngx_str_t { len: text.len(), ..copy })
}

/// A word as nginx's tokenizer reads it back (`ngx_conf_read_token`).
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A time in milliseconds, 0 for `off`.
pub fn time_or_off(cf: &Conf, word: Option<&String>) -> Result<u64, Error> {
    match word.map(String::as_str) {
        Some("off") => Ok(0),
        word => match time(cf, word.unwrap_or_default())? {
            0 => Err(invalid(cf, word.unwrap_or_default(), "a time above 0 or \"off\"")),
            time => Ok(time),
        },
    }
}

/// A time in nginx's notation, in milliseconds.
pub fn time(cf: &Conf, word: &str) -> Result<u64, Error> {
    let mut text = ngx_str_t { len: word.len(), data: word.as_ptr().cast_mut() };
    // SAFETY: the text is only read
    let time = unsafe { ngx_parse_time(&raw mut text, 0) };
    u64::try_from(time).map_err(|_| invalid(cf, word, "a time such as \"25s\""))
}

/// Milliseconds in nginx's notation.
pub fn time_in_words(milliseconds: u64) -> String {
    match milliseconds % 1_000 {
        0 => format!("{}s", milliseconds / 1_000),
        _ => format!("{milliseconds}ms"),
    }
}

/// The message for an argument that is not what it must be.
pub fn invalid(cf: &Conf, value: &str, expected: &str) -> Error {
    let name = cf.directive();
    Error::Message(format!(
        "invalid value \"{value}\" in \"{name}\" directive, it must be {expected}"
    ))
}

/// The handler of a log (`ngx_log_error_core`): appends the text in `data` to the message.
unsafe extern "C" fn append_origin(
    log: *mut ngx_log_t,
    buf: *mut u_char,
    len: usize,
) -> *mut u_char {
    guarded(buf, || {
        // SAFETY: `Conf::log_that_names` sets data to a string in the pool; nginx gives room for len bytes
        unsafe {
            let origin = (*(*log).data.cast::<ngx_str_t>()).as_bytes();
            let len = len.min(origin.len());
            buf.copy_from_nonoverlapping(origin.as_ptr(), len);
            buf.add(len)
        }
    })
}

/// Calls a directive's handler with its module's configuration.
///
/// # Safety
/// Called by nginx as the `set` of a command whose configuration is a `T`.
pub unsafe fn set<T>(
    cf: *mut ngx_conf_t,
    conf: *mut c_void,
    handler: fn(&mut Conf, &mut T) -> Outcome,
) -> *mut c_char {
    let own = if size_of::<T>() == 0 { NonNull::dangling().as_ptr() } else { conf.cast::<T>() };
    // SAFETY: nginx passes what create_*_conf of the command's module made, a T, and nobody else
    // refers to it while the configuration is read
    let (Some(mut cf), Some(own)) = (unsafe { Conf::from_ptr(cf) }, unsafe { own.as_mut() }) else {
        return NGX_CONF_ERROR;
    };
    let panicked = Err(Error::Message("internal error".to_owned()));
    let outcome = guarded(panicked, || handler(&mut cf, own));
    match outcome {
        Ok(()) => NGX_CONF_OK,
        Err(Error::Logged) => NGX_CONF_ERROR,
        Err(Error::Directive(what)) => what.as_ptr().cast_mut(),
        Err(Error::Message(message)) => {
            cf.log(NGX_LOG_EMERG, message);
            NGX_CONF_ERROR
        }
    }
}

/// Where a directive may stand and how many arguments it takes, as nginx has it.
pub const fn kind(directive: &Directive) -> ngx_uint_t {
    let mut kind = match directive.arguments {
        Arguments::AtLeast(0) => NGX_CONF_ANY,
        Arguments::AtLeast(1) => NGX_CONF_1MORE,
        Arguments::AtLeast(_) => NGX_CONF_2MORE,
        // a bit for each number (NGX_CONF_NOARGS, NGX_CONF_TAKE1, ...)
        Arguments::Between(least, most) => (2 << most) - (1 << least),
    };
    let mut index = 0;
    while index < directive.contexts.len() {
        kind |= match directive.contexts[index] {
            Context::Any => NGX_ANY_CONF,
            Context::Http => NGX_HTTP_MAIN_CONF,
            Context::Server => NGX_HTTP_SRV_CONF,
            Context::Location => NGX_HTTP_LOC_CONF,
            Context::Upstream => NGX_HTTP_UPS_CONF,
        };
        index += 1;
    }
    kind as ngx_uint_t
}

/// One entry of a module's table of directives, which is declared in the registry.
macro_rules! command {
    ($name:literal, $offset:expr, $handler:path) => {{
        use $crate::guard::guarded;

        unsafe extern "C" fn set(
            cf: *mut ::ngx::ffi::ngx_conf_t,
            _: *mut ::ngx::ffi::ngx_command_t,
            conf: *mut ::core::ffi::c_void,
        ) -> *mut ::core::ffi::c_char {
            guarded(::ngx::core::NGX_CONF_ERROR, || {
                // SAFETY: the offset of this command is that of the handler's configuration
                unsafe { $crate::glue::conf::set(cf, conf, $handler) }
            })
        }
        ::ngx::ffi::ngx_command_t {
            name: ::ngx::ngx_string!($name),
            type_: const { $crate::glue::conf::kind($crate::registry::directive($name)) },
            set: Some(set),
            conf: $offset,
            offset: 0,
            post: ::core::ptr::null_mut(),
        }
    }};
}
pub(crate) use command;
