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

/// The severity of a message (`src/core/ngx_log.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// nginx cannot start, or cannot apply a new configuration.
    Emerg,
    /// A bug in nginx or in a module.
    Alert,
    /// An operation has failed.
    Error,
    /// A condition that the operator should correct.
    Warn,
    /// A significant event.
    Notice,
    /// Normal operation.
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

/// A log, borrowed for the duration of a call. The log of a connection adds the context of the
/// connection to messages.
#[derive(Clone, Copy)]
pub struct Log<'a> {
    log: *mut ngx_log_t,
    of: PhantomData<&'a ngx_log_t>,
}

impl Log<'_> {
    /// Wraps nginx's pointer.
    ///
    /// # Safety
    /// `log` is valid while the result is used. Called on nginx's thread.
    pub unsafe fn from_ptr(log: *mut ngx_log_t) -> Self {
        Self { log, of: PhantomData }
    }

    /// nginx's structure.
    pub fn as_ptr(self) -> *mut ngx_log_t {
        self.log
    }

    /// Writes a message at `level`, unless the log is set to less. nginx truncates it to 2048
    /// bytes.
    pub fn write(self, level: Level, message: impl Display) {
        ngx::ngx_log_error!(level.number(), self.log, "{message}");
    }

    /// Writes a message at [`Level::Alert`].
    pub fn alert(self, message: impl Display) {
        self.write(Level::Alert, message);
    }

    /// Writes a message at [`Level::Error`].
    pub fn error(self, message: impl Display) {
        self.write(Level::Error, message);
    }

    /// Writes a message at [`Level::Warn`].
    pub fn warn(self, message: impl Display) {
        self.write(Level::Warn, message);
    }

    /// Writes a message at [`Level::Notice`].
    pub fn notice(self, message: impl Display) {
        self.write(Level::Notice, message);
    }

    /// Writes a message at [`Level::Info`].
    pub fn info(self, message: impl Display) {
        self.write(Level::Info, message);
    }
}

/// Calls `work` with the log of the current cycle. May be called at any time on nginx's thread.
pub fn running<T>(work: impl FnOnce(Log) -> T) -> T {
    // SAFETY: nginx always has a current cycle, with a log; `work` cannot return the borrowed log
    work(unsafe { Log::from_ptr((*ngx_cycle).log) })
}

/// A log for connections whose failures are expected: it passes on to the log of the current cycle
/// only messages at level alert and above, and drops those that nginx would log as errors.
#[derive(Clone)]
pub struct QuietLog(Rc<UnsafeCell<ngx_log_t>>);

impl QuietLog {
    /// Creates a log.
    pub fn new() -> Self {
        // SAFETY: all-zero is a valid value of the C struct
        let mut log: ngx_log_t = unsafe { zeroed() };
        log.log_level = NGX_LOG_ALERT as usize;
        log.writer = Some(forward);
        Self(Rc::new(UnsafeCell::new(log)))
    }

    /// nginx's structure, valid as long as `self`.
    pub(crate) fn as_ptr(&self) -> *mut ngx_log_t {
        self.0.get()
    }
}

impl Default for QuietLog {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a line of a [`QuietLog`] to the logs of the current cycle, as `ngx_log_error_core` does.
unsafe extern "C" fn forward(_: *mut ngx_log_t, level: ngx_uint_t, line: *mut u_char, len: usize) {
    guarded((), || {
        // SAFETY: nginx always has a current cycle; its logs are a list that ends with null, and
        // the line is valid during the call
        unsafe {
            let mut log = (*ngx_cycle).log;
            // logs are sorted by level, the most verbose first
            while let Some(own) = log.as_ref().filter(|own| own.log_level >= level) {
                match (own.writer, own.file.as_ref()) {
                    (Some(write), _) => write(log, level, line, len),
                    (None, Some(file)) if file.fd >= 0 => {
                        // nginx closes the descriptor; a failure to write a log cannot be reported
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
