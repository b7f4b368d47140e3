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
use websocket_tunnel::Summary;

use crate::glue::conf::{Conf, Error};
use crate::glue::value::Value;
use crate::tunnel_log::{line, Format, Head};

/// Where the lines go.
#[derive(Clone, Copy)]
pub struct Log {
    /// nginx's: it opens it with its other logs, and again on USR1.
    file: *mut ngx_open_file_t,
    format: Format,
    /// What identifies a request.
    id: Option<Value>,
}

impl Log {
    /// A log that nginx opens with its own.
    ///
    /// # Errors
    /// nginx refuses the id, or there is no memory.
    pub fn open(
        cf: &mut Conf,
        path: &str,
        format: Format,
        id: Option<&str>,
    ) -> Result<Self, Error> {
        let id = id.map(|id| Value::new(cf, id)).transpose()?;
        let mut name = cf.string(path)?;
        // SAFETY: the cycle that is being made; the name is in its pool
        let file = unsafe { ngx_conf_open_file(cf.cycle(), &raw mut name) };
        if file.is_null() {
            return Err(Error::Logged);
        }
        Ok(Self { file, format, id })
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

    /// What a line will say of a request that is about to be freed.
    ///
    /// # Safety
    /// `r` is live, `u` is its upstream. Nobody holds what the variables of the id may ask for.
    pub unsafe fn head(self, r: *mut ngx_http_request_t, u: *const ngx_http_upstream_t) -> Head {
        let text = |text: &ngx_str_t| String::from_utf8_lossy(text.as_bytes()).into_owned();
        // SAFETY: by contract; a live request has a connection; a connected peer has a name
        unsafe {
            let id = self.id.and_then(|id| id.of(r)).map_or(String::new(), |id| text(&id));
            let destination = (*u).peer.name.as_ref().map_or(String::new(), text);
            let client = text(&(*(*r).connection).addr_text);
            Head::new(&client, &text(&(*r).unparsed_uri), &destination, &id)
        }
    }
}
