//! Files that nginx opens along with its logs.

use std::fs::File;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::ptr::NonNull;

use ngx::ffi::{ngx_cached_http_log_iso8601, ngx_conf_open_file, ngx_open_file_t};

use crate::conf::{Conf, Error};
use crate::cycle::Cycle;
use crate::life::Life;
use crate::text::owned;

/// A file that nginx opens along with its logs, and reopens on SIGUSR1. It may be kept: writing
/// fails after its configuration is freed.
#[derive(Clone)]
pub struct OpenFile {
    file: NonNull<ngx_open_file_t>,
    life: Life,
}

impl OpenFile {
    /// Adds a file, which nginx opens when the configuration is read.
    ///
    /// # Errors
    /// Memory is exhausted.
    pub fn add(cf: &mut Conf, path: &str) -> Result<Self, Error> {
        let (mut name, life) = (cf.string(path)?, cf.life()?);
        // SAFETY: the cycle being built; the name is in its pool
        let file = unsafe { ngx_conf_open_file((*cf.as_ptr()).cycle, &raw mut name) };
        Ok(Self { file: NonNull::new(file).ok_or(Error::Logged)?, life })
    }

    /// Writes all of `bytes`, normally in one system call, so that lines of several processes do
    /// not mix. Blocks if the file does.
    ///
    /// # Errors
    /// An error of the system; [`NotFound`](io::ErrorKind::NotFound) if the configuration is freed
    /// or nginx has not opened the file.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if !self.life.goes_on() {
            return Err(io::ErrorKind::NotFound.into());
        }
        // SAFETY: the life has been checked; nginx frees its files with the configuration
        let fd = unsafe { self.file.as_ref() }.fd;
        if fd < 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        // SAFETY: the descriptor is open; `ManuallyDrop` leaves closing it to nginx
        let mut file = unsafe { ManuallyDrop::new(File::from_raw_fd(fd)) };
        file.write_all(bytes)
    }
}

/// A file that nginx is about to open.
pub struct Unopened<'a> {
    file: *mut ngx_open_file_t,
    of: PhantomData<&'a ()>,
}

impl Unopened<'_> {
    /// Its path.
    pub fn path(&self) -> String {
        // SAFETY: `for_each_file` lends it for this call, and the reference ends here
        owned(unsafe { &(*self.file).name })
    }

    /// Makes nginx use this descriptor instead of opening the file. nginx does not reopen it on
    /// SIGUSR1, and closes it with the configuration.
    pub fn replace(&mut self, descriptor: OwnedFd) {
        // SAFETY: as in `path`
        let file = unsafe { &mut *self.file };
        file.fd = descriptor.into_raw_fd();
        file.name.len = 0;
    }
}

impl Cycle<'_> {
    /// Calls `work` for each file that nginx is about to open. To be called in
    /// [`CoreModule::init_conf`]; later nginx uses the files.
    ///
    /// # Errors
    /// The first error of `work`, which ends the iteration.
    ///
    /// [`CoreModule::init_conf`]: crate::module::CoreModule::init_conf
    pub fn for_each_file<E>(
        self,
        mut work: impl FnMut(Unopened) -> Result<(), E>,
    ) -> Result<(), E> {
        // SAFETY: the cycle being built; each part of the list has `nelts` files, and nobody else
        // uses them in `init_conf`
        unsafe {
            let mut part = &raw const (*self.as_ptr()).open_files.part;
            while let Some(this) = part.as_ref() {
                for index in 0..this.nelts {
                    let file = this.elts.cast::<ngx_open_file_t>().add(index);
                    work(Unopened { file, of: PhantomData })?;
                }
                part = this.next;
            }
        }
        Ok(())
    }
}

/// The current time in nginx's ISO 8601 format (`$time_iso8601`).
pub fn iso8601() -> String {
    // SAFETY: nginx keeps a valid string of the current time there
    unsafe { ngx_cached_http_log_iso8601 }.to_string()
}
