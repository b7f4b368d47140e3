//! Files that nginx opens with its logs.

use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::ptr::NonNull;

use ngx::ffi::{ngx_cached_http_log_iso8601, ngx_conf_open_file, ngx_open_file_t};

use crate::conf::{Conf, Error};
use crate::cycle::Cycle;
use crate::life::Life;
use crate::text::owned;

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

/// A file that nginx is about to open.
pub struct Unopened<'a>(&'a mut ngx_open_file_t);

impl Unopened<'_> {
    /// Its path.
    pub fn path(&self) -> String {
        owned(&self.0.name)
    }

    /// Has nginx use a descriptor in its place. nginx neither opens a file without a name, nor opens
    /// it again, but closes it with the configuration.
    pub fn replace(&mut self, descriptor: OwnedFd) {
        self.0.fd = descriptor.into_raw_fd();
        self.0.name.len = 0;
    }
}

impl Cycle<'_> {
    /// Calls `work` for each file that nginx is about to open. For [`CoreModule::init_conf`].
    ///
    /// # Errors
    /// Those of `work`, which ends with the first.
    ///
    /// [`CoreModule::init_conf`]: crate::module::CoreModule::init_conf
    pub fn for_each_file<E>(
        self,
        mut work: impl FnMut(Unopened) -> Result<(), E>,
    ) -> Result<(), E> {
        // SAFETY: the cycle that is being made; each part is null or has nelts files, to which nobody
        // else refers meanwhile
        unsafe {
            let mut part = &raw const (*self.as_ptr()).open_files.part;
            while let Some(this) = part.as_ref() {
                for index in 0..this.nelts {
                    work(Unopened(&mut *this.elts.cast::<ngx_open_file_t>().add(index)))?;
                }
                part = this.next;
            }
        }
        Ok(())
    }
}

/// The current time as nginx's logs write it in ISO 8601 (`$time_iso8601`).
pub fn iso8601() -> String {
    // SAFETY: nginx keeps the text of the current time there
    unsafe { ngx_cached_http_log_iso8601 }.to_string()
}
