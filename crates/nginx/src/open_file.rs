//! Files that nginx opens with its logs.

use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::ptr::NonNull;

use ngx::ffi::{ngx_cached_http_log_iso8601, ngx_conf_open_file, ngx_open_file_t};

use crate::conf::{Conf, Error};
use crate::life::Life;

/// A file that nginx opens with its logs, and again on SIGUSR1.
#[derive(Clone)]
pub struct OpenFile {
    file: NonNull<ngx_open_file_t>,
    life: Life,
}

impl OpenFile {
    /// Has nginx open a file once the configuration is read.
    ///
    /// # Errors
    /// There is no memory.
    pub fn add(cf: &mut Conf, path: &str) -> Result<Self, Error> {
        let (mut name, life) = (cf.string(path)?, cf.life()?);
        // SAFETY: the cycle that is being made; the name is in its pool
        let file = unsafe { ngx_conf_open_file((*cf.as_ptr()).cycle, &raw mut name) };
        Ok(Self { file: NonNull::new(file).ok_or(Error::Logged)?, life })
    }

    /// Writes all of `bytes`, in one call as a rule, so that lines of several processes do not mix.
    ///
    /// # Errors
    /// The system's, or the configuration is gone.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if !self.life.goes_on() {
            return Err(io::ErrorKind::NotFound.into());
        }
        // SAFETY: the configuration is there, and its files with it
        let fd = unsafe { self.file.as_ref() }.fd;
        if fd < 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        // SAFETY: open; it stays nginx's to close
        let mut file = unsafe { ManuallyDrop::new(File::from_raw_fd(fd)) };
        file.write_all(bytes)
    }
}

/// The current time as nginx's logs write it in ISO 8601 (`$time_iso8601`).
pub fn iso8601() -> String {
    // SAFETY: nginx keeps the text of the current time there
    unsafe { (*(&raw const ngx_cached_http_log_iso8601)).to_string() }
}
