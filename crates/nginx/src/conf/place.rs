//! Positions in a configuration, and directives applied there.

use std::ffi::{c_char, c_void, CStr};
use std::fmt::Display;
use std::mem::{size_of, zeroed};
use std::ptr::null_mut;

use ngx::core::NGX_CONF_OK;
use ngx::ffi::{
    ngx_array_create, ngx_buf_t, ngx_conf_file_t, ngx_conf_parse, ngx_log_t, ngx_str_t, ngx_uint_t,
    u_char, NGX_INVALID_FILE,
};

use super::{Conf, Error, Outcome};
use crate::guard::guarded;
use crate::life::Life;
use crate::log::Level;
use crate::text::quoted;

/// A position in the configuration, for messages and for directives to be applied there later
/// ([`Conf::apply_at`]). It may be kept: it is ignored or refused after its configuration is freed.
#[derive(Clone)]
pub struct Place {
    life: Life,
    ctx: *mut c_void,
    cmd_type: ngx_uint_t,
    file: ngx_str_t,
    line: ngx_uint_t,
}

impl Place {
    /// A line of a file, for messages only.
    ///
    /// # Safety
    /// `file` is the NUL-terminated name of a file, in the memory of the configuration of `life`.
    pub(crate) unsafe fn of_file(life: Life, file: *mut u_char, line: ngx_uint_t) -> Self {
        // SAFETY: the caller guarantees the NUL
        let len = unsafe { CStr::from_ptr(file.cast()) }.count_bytes();
        Self { life, ctx: null_mut(), cmd_type: 0, file: ngx_str_t { len, data: file }, line }
    }
}

impl Conf<'_> {
    /// Like [`Conf::refuse`], and names the environment variables that the words of the directive
    /// come from.
    ///
    /// # Errors
    /// Memory is exhausted.
    pub fn refuse_from(&mut self, message: impl Display, variables: &[String]) -> Outcome {
        let log = self.cf.log;
        if !variables.is_empty() {
            self.cf.log = self.log_that_names(variables)?;
        }
        self.refuse(message);
        self.cf.log = log;
        Ok(())
    }

    /// Logs an error at level emerg for `place`, and returns [`Error::Logged`].
    pub fn error_at(&mut self, place: &Place, message: impl Display) -> Error {
        self.log_at(place, Level::Emerg, message);
        Error::Logged
    }

    /// Logs a message at level warn for `place`.
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

    /// The current position.
    ///
    /// # Errors
    /// No file is being read, or memory is exhausted.
    pub fn place(&self) -> Result<Place, Error> {
        // SAFETY: null, or the file being read
        let file = unsafe { self.cf.conf_file.as_ref() }.ok_or(Error::Logged)?;
        Ok(Place {
            life: self.life()?,
            ctx: self.cf.ctx,
            cmd_type: self.cf.cmd_type,
            file: file.file.name,
            line: file.line,
        })
    }

    /// Applies a directive at the current position, see [`Conf::apply_at`].
    ///
    /// # Errors
    /// nginx or a module refuses the directive; the reason is in the log.
    pub fn apply(&mut self, words: &[&str], variables: &[String]) -> Outcome {
        let here = self.place()?;
        self.apply_at(&here, words, variables)
    }

    /// Applies a directive as if it were at `place`. `words` are its name and arguments, taken
    /// literally: quotes, semicolons and braces in them have no special meaning. Messages about it
    /// name the environment `variables` that the words come from.
    ///
    /// # Errors
    /// nginx or a module refuses the directive, the reason being in the log; or `place` is in
    /// another configuration or for messages only.
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

    /// A copy of the log that appends the names of the variables to each message, with nginx's
    /// mechanism for the context of messages. It is in the pool, because a directive may store the
    /// pointer.
    fn log_that_names(&self, variables: &[String]) -> Result<*mut ngx_log_t, Error> {
        let plural = if variables.len() > 1 { "s" } else { "" };
        let names = variables.join("\", \"");
        let origin = format!(", from environment variable{plural} \"{names}\"");
        let origin = self.allocate(self.string(&origin)?)?;
        // SAFETY: nginx sets the log while it reads the configuration
        let mut log = unsafe { *self.cf.log };
        log.handler = Some(append_origin);
        log.data = origin.as_ptr().cast();
        Ok(self.allocate(log)?.as_ptr())
    }

    /// Passes one line to nginx's parser from memory. Errors name the line of `place`.
    fn apply_line(&mut self, place: &Place, words: &[&str]) -> Outcome {
        // SAFETY: null, or the file being read
        let own = unsafe { self.cf.conf_file.as_ref() };
        let fd = own.map_or(NGX_INVALID_FILE, |file| file.file.fd);
        let mut line = String::new();
        for word in words {
            line.push_str(&quoted(word));
            line.push(' ');
        }
        // ngx_conf_parse stops at the end of a block if a file is open, else at the end of the text
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
        // SAFETY: the pool of the cycle being built
        let args = unsafe { ngx_array_create(self.cf.pool, 10, size_of::<ngx_str_t>()) };
        if args.is_null() {
            return Err(Error::Logged);
        }
        self.cf.args = args;
        self.cf.conf_file = &raw mut file;
        // SAFETY: cf is the pointer that nginx has passed, with a file and arguments that outlive
        // the call; without a filename, the parser continues with the current file
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

/// The handler of a log (`ngx_log_error_core`): appends the text that `data` points to.
unsafe extern "C" fn append_origin(
    log: *mut ngx_log_t,
    buf: *mut u_char,
    len: usize,
) -> *mut u_char {
    guarded(buf, || {
        // SAFETY: nginx passes the log that `Conf::log_that_names` has made, whose data is a string
        // in the pool, and a buffer with room for `len` bytes
        unsafe {
            let origin = (*(*log).data.cast::<ngx_str_t>()).as_bytes();
            let len = len.min(origin.len());
            buf.copy_from_nonoverlapping(origin.as_ptr(), len);
            buf.add(len)
        }
    })
}
