//! Who a request came from.

use std::net::IpAddr;

use ngx::ffi::{ngx_connection_t, ngx_pcalloc, ngx_table_elt_t};

use crate::bits::Bits;
use crate::log::{Level, Log};
use crate::request::Request;
use crate::socket::address_of;

/// Whom the PROXY header of a connection names.
pub struct Named<'r> {
    /// The address, in words.
    pub address: &'r [u8],
    /// The port.
    pub port: u16,
}

impl Request<'_> {
    fn connection(&self) -> &ngx_connection_t {
        // SAFETY: a live request has a connection
        unsafe { &*self.raw().connection }
    }

    /// The address of its peer: of whoever has connected, until a module such as realip replaces it.
    pub fn peer(&self) -> Option<IpAddr> {
        // SAFETY: the address of a connection
        unsafe { address_of(self.connection().sockaddr) }.map(|peer| peer.ip())
    }

    /// Whom the PROXY header names that its connection began with, if it began with one.
    pub fn named_by_proxy(&self) -> Option<Named<'_>> {
        // SAFETY: null, or the header that the connection began with
        let header = unsafe { self.connection().proxy_protocol.as_ref() }?;
        Some(Named { address: header.src_addr.as_bytes(), port: header.src_port })
    }

    /// How many requests its connection has had, this one included.
    pub fn number(&self) -> usize {
        self.connection().requests
    }

    /// Replaces what core has found of `X-Real-IP`, which the realip module reads; `None` where there
    /// is no memory.
    pub fn set_x_real_ip(&self, value: Option<&str>) -> Option<()> {
        self.raw_mut().headers_in.x_real_ip = std::ptr::null_mut();
        if let Some(value) = value {
            // SAFETY: memory of the request; all-zero is a valid value of a header
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

    /// Whether nginx closes its connection with bytes of the client unread.
    pub fn leaves_bytes_unread(&self) -> bool {
        self.raw().bits().lingering_close() != 0
    }

    /// Whether its header fills the buffer that it was read into.
    pub fn fills_header_buffer(&self) -> bool {
        // SAFETY: null, or the buffer that the header was read into
        let buffer = unsafe { self.raw().header_in.as_ref() };
        buffer.is_some_and(|buffer| buffer.pos == buffer.end)
    }

    /// Logs something worth knowing, without what nginx adds from the request: its line may be
    /// thousands of bytes long, and have a token in it.
    pub fn notice_of_connection(&self, message: impl std::fmt::Display) {
        // SAFETY: a connection has a log
        let mut log = unsafe { *self.connection().log };
        log.handler = None;
        // SAFETY: it is there for this call
        unsafe { Log::from_ptr(&raw mut log) }.write(Level::Notice, message);
    }
}
