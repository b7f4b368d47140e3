//! The client of a request.

use std::net::IpAddr;

use ngx::ffi::{ngx_connection_t, ngx_pcalloc, ngx_table_elt_t};

use crate::bits::Bits;
use crate::log::{Level, Log};
use crate::request::Request;
use crate::socket::address_of;

/// The client that the PROXY protocol header of a connection names.
pub struct Named<'r> {
    /// The address as text.
    pub address: &'r [u8],
    /// The port.
    pub port: u16,
}

impl Request<'_> {
    fn connection(&self) -> &ngx_connection_t {
        // SAFETY: a live request has a connection
        unsafe { &*self.raw().connection }
    }

    /// The IP address of the connection's peer, until a module such as realip replaces it; `None`
    /// for a Unix socket.
    pub fn peer(&self) -> Option<IpAddr> {
        // SAFETY: nginx sets the address of every client connection
        unsafe { address_of(self.connection().sockaddr) }.map(|peer| peer.ip())
    }

    /// The client that the PROXY protocol header of its connection names; `None` without a header.
    pub fn named_by_proxy(&self) -> Option<Named<'_>> {
        // SAFETY: null, or the header of the connection, which lives as long as the connection
        let header = unsafe { self.connection().proxy_protocol.as_ref() }?;
        Some(Named { address: header.src_addr.as_bytes(), port: header.src_port })
    }

    /// The number of this request on its connection, starting from 1.
    pub fn number(&self) -> usize {
        self.connection().requests
    }

    /// Replaces the `X-Real-IP` field that the realip module reads; `None` removes it. Returns
    /// `None` if memory is exhausted. To be called before the realip module runs, in
    /// [`POST_READ`](crate::request::POST_READ).
    pub fn set_x_real_ip(&self, value: Option<&str>) -> Option<()> {
        self.raw_mut().headers_in.x_real_ip = std::ptr::null_mut();
        if let Some(value) = value {
            // SAFETY: null or zeroed memory of the request, and all-zero is a valid value of a
            // header field
            let field = unsafe {
                ngx_pcalloc(self.raw().pool, size_of::<ngx_table_elt_t>())
                    .cast::<ngx_table_elt_t>()
                    .as_mut()
            }?;
            field.value = self.keep(value.as_bytes())?;
            self.raw_mut().headers_in.x_real_ip = field;
        }
        Some(())
    }

    /// Whether nginx will close its connection although bytes of the client are unread
    /// (`lingering_close`).
    pub fn leaves_bytes_unread(&self) -> bool {
        self.raw().bits().lingering_close() != 0
    }

    /// Whether its header fills the buffer that nginx has read it into.
    pub fn fills_header_buffer(&self) -> bool {
        // SAFETY: null, or the buffer of the header
        let buffer = unsafe { self.raw().header_in.as_ref() };
        buffer.is_some_and(|buffer| buffer.pos == buffer.end)
    }

    /// Logs a message at level notice with the connection's log, without the context of the
    /// request: its request line can be thousands of bytes long and contain a token.
    pub fn notice_of_connection(&self, message: impl std::fmt::Display) {
        // SAFETY: nginx sets a log for every connection
        let mut log = unsafe { *self.connection().log };
        log.handler = None;
        // SAFETY: the copy of the log lives until the end of this call
        unsafe { Log::from_ptr(&raw mut log) }.write(Level::Notice, message);
    }
}
