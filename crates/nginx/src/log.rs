//! nginx's error logs.

use std::cell::UnsafeCell;
use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::marker::PhantomData;
use std::mem::{zeroed, ManuallyDrop};
use std::os::fd::FromRawFd;
use std::rc::Rc;

use ngx::ffi::{
    ngx_cycle, ngx_log_t, ngx_uint_t, u_char, NGX_LOG_ALERT, NGX_LOG_EMERG, NGX_LOG_ERR,
    NGX_LOG_INFO, NGX_LOG_NOTICE, NGX_LOG_WARN,
};

use crate::guard::guarded;

/// How much a message matters (`src/core/ngx_log.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// nginx cannot start, or not go on with a new configuration.
    Emerg,
    /// A fault of nginx or of a module.
    Alert,
    /// Something failed.
    Error,
    /// Something should not stay as it is.
    Warn,
    /// Something worth knowing.
    Notice,
    /// What happens as a rule.
    Info,
}

impl Level {
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Emerg => NGX_LOG_EMERG,
            Self::Alert => NGX_LOG_ALERT,
            Self::Error => NGX_LOG_ERR,
            Self::Warn => NGX_LOG_WARN,
            Self::Notice => NGX_LOG_NOTICE,
            Self::Info => NGX_LOG_INFO,
        }
    }
}

/// Where messages go; that of a connection adds what it is about.
#[derive(Clone, Copy)]
pub struct Log<'a> {
    log: *mut ngx_log_t,
    of: PhantomData<&'a ngx_log_t>,
}

impl Log<'_> {
    /// Wraps nginx's pointer.
    ///
    /// # Safety
    /// `log` is valid while the result is used.
    pub unsafe fn from_ptr(log: *mut ngx_log_t) -> Self {
        Self { log, of: PhantomData }
    }

    /// nginx's own structure.
    pub fn as_ptr(self) -> *mut ngx_log_t {
        self.log
    }

    /// Writes a message.
    pub fn write(self, level: Level, message: impl Display) {
        ngx::ngx_log_error!(level.number(), self.log, "{message}");
    }

    /// Writes a message of [`Level::Alert`].
    pub fn alert(self, message: impl Display) {
        self.write(Level::Alert, message);
    }

    /// Writes a message of [`Level::Error`].
    pub fn error(self, message: impl Display) {
        self.write(Level::Error, message);
    }

    /// Writes a message of [`Level::Warn`].
    pub fn warn(self, message: impl Display) {
        self.write(Level::Warn, message);
    }

    /// Writes a message of [`Level::Notice`].
    pub fn notice(self, message: impl Display) {
        self.write(Level::Notice, message);
    }

    /// Writes a message of [`Level::Info`].
    pub fn info(self, message: impl Display) {
        self.write(Level::Info, message);
    }
}

/// Calls `work` with the log of the configuration that is in effect.
pub fn running<T>(work: impl FnOnce(Log) -> T) -> T {
    // SAFETY: nginx has a cycle from its beginning to its end, and that a log; the result of this
    // call cannot hold it
    work(unsafe { Log::from_ptr((*ngx_cycle).log) })
}

/// The log of the configuration that is in effect, but for messages less grave than alerts: for
/// connections whose failures are to be expected, which nginx would log as errors.
#[derive(Clone)]
pub struct QuietLog(Rc<UnsafeCell<ngx_log_t>>);

impl QuietLog {
    /// Makes one.
    pub fn new() -> Self {
        // SAFETY: all-zero is a valid value of the C struct
        let mut log: ngx_log_t = unsafe { zeroed() };
        log.log_level = NGX_LOG_ALERT as usize;
        log.writer = Some(forward);
        Self(Rc::new(UnsafeCell::new(log)))
    }

    /// nginx's own structure, good as long as this one.
    pub(crate) fn as_ptr(&self) -> *mut ngx_log_t {
        self.0.get()
    }
}

impl Default for QuietLog {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a line of a [`QuietLog`] to where those of the running configuration go, as
/// `ngx_log_error_core` does.
unsafe extern "C" fn forward(_: *mut ngx_log_t, level: ngx_uint_t, line: *mut u_char, len: usize) {
    guarded((), || {
        // SAFETY: nginx has a cycle from its beginning to its end, and that a log, which leads to
        // the next or to null; the line is lent for the call
        unsafe {
            let mut log = (*ngx_cycle).log;
            // the most talkative one is the first
            while let Some(own) = log.as_ref().filter(|own| own.log_level >= level) {
                match (own.writer, own.file.as_ref()) {
                    (Some(write), _) => write(log, level, line, len),
                    (None, Some(file)) if file.fd >= 0 => {
                        // it stays nginx's to close; nobody could be told of a failure
                        let mut file = ManuallyDrop::new(File::from_raw_fd(file.fd));
                        let _ = file.write_all(std::slice::from_raw_parts(line, len));
                    }
                    _ => {}
                }
                log = own.next;
            }
        }
    })
}
