//! `websocket_log`: one line at the end of each tunnel.

use std::fs::File;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::ptr::addr_of;

use ngx::ffi::{
    ngx_cached_http_log_iso8601, ngx_conf_open_file, ngx_http_request_t, ngx_http_upstream_t,
    ngx_open_file_t, ngx_str_t,
};

use crate::glue::conf::{Conf, Error};
use crate::session::{line, Format, Head, Summary};

/// Where the lines go.
#[derive(Clone, Copy)]
pub struct Log {
    /// nginx's: it opens it with its other logs, and again on USR1.
    file: *mut ngx_open_file_t,
    format: Format,
}

impl Log {
    /// A log that nginx opens with its own.
    ///
    /// # Errors
    /// There is no memory.
    pub fn open(cf: &mut Conf, path: &str, format: Format) -> Result<Self, Error> {
        let mut name = cf.string(path)?;
        // SAFETY: the cycle that is being made; the name is in its pool
        let file = unsafe { ngx_conf_open_file(cf.cycle(), &raw mut name) };
        if file.is_null() {
            return Err(Error::Logged);
        }
        Ok(Self { file, format })
    }

    /// Writes the line of a tunnel.
    pub fn write(self, head: &Head, duration: u64, summary: &Summary) {
        // SAFETY: nginx keeps the text of the current time there
        let time = unsafe { (*addr_of!(ngx_cached_http_log_iso8601)).to_string() };
        let line = line(self.format, &time, head, duration, summary);
        // SAFETY: the file lives as long as the configuration; it stays nginx's to close
        let mut file = unsafe { ManuallyDrop::new(File::from_raw_fd((*self.file).fd)) };
        // one write, so that lines of several workers do not mix; where the disk is full there is
        // no better place to say so
        let _ = file.write_all(line.as_bytes());
    }
}

/// What a line will say of a request that is about to be freed.
pub fn head(r: &ngx_http_request_t, u: &ngx_http_upstream_t) -> Head {
    // SAFETY: a live request has a connection; a connected peer has a name
    let (client, destination) = unsafe { (&(*r.connection).addr_text, u.peer.name.as_ref()) };
    let text = |text: &ngx_str_t| String::from_utf8_lossy(text.as_bytes()).into_owned();
    Head::new(&text(client), &text(&r.unparsed_uri), &destination.map_or(String::new(), text))
}
