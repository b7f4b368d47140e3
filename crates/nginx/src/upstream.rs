//! What a request has of the server that it was passed to.

use std::ptr::NonNull;

use ngx::ffi::{ngx_http_upstream_t, ngx_msec_t};

use crate::bits::Bits;
use crate::request::{values, Request};

/// The other side of a request (`ngx_http_upstream_t`), lent as the request is.
pub struct Upstream<'a>(&'a ngx_http_upstream_t);

impl Request<'_> {
    /// Its other side, where it was passed to a server.
    pub fn upstream(&self) -> Option<Upstream<'_>> {
        // SAFETY: null, or the upstream of a live request
        unsafe { self.raw().upstream.as_ref() }.map(Upstream)
    }

    /// Has nginx pass the answer on as it comes, whatever the configuration says: as
    /// `X-Accel-Buffering: no` of the server would. Core asks once the header is sent
    /// (`ngx_http_upstream_send_response`).
    pub fn pass_on_at_once(&self) {
        if let Some(mut u) = NonNull::new(self.raw().upstream) {
            // SAFETY: the upstream of a live request; no reference to it is held
            unsafe { u.as_mut() }.bits_mut().set_buffering(0);
        }
    }
}

impl<'a> Upstream<'a> {
    pub(crate) fn raw(&self) -> &'a ngx_http_upstream_t {
        self.0
    }

    /// Whether its answer is an upgrade.
    pub fn upgrades(&self) -> bool {
        self.0.bits().upgrade() != 0
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        !self.0.peer.connection.is_null()
    }

    /// The status code of its answer; 0 before there is one.
    pub fn status(&self) -> usize {
        self.0.headers_in.status_n
    }

    /// How long it took for the header of its answer, in milliseconds.
    pub fn header_time(&self) -> Option<u64> {
        // SAFETY: null, or the state of the upstream
        let state = unsafe { self.0.state.as_ref() }?;
        (state.header_time != ngx_msec_t::MAX).then_some(state.header_time as u64)
    }

    /// Whether the header of its answer fills the buffer for it and has not ended.
    pub fn overflows_header_buffer(&self) -> bool {
        let buffer = &self.0.buffer;
        !buffer.start.is_null() && buffer.last == buffer.end && self.header_time().is_none()
    }

    /// What `Content-Type` of its answer says.
    pub fn content_type(&self) -> Option<&'a [u8]> {
        // SAFETY: null, or a header of its answer
        unsafe { self.0.headers_in.content_type.as_ref() }.map(|header| header.value.as_bytes())
    }

    /// The values of the fields of its answer's header with this name, in lower case here.
    pub fn headers<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        values(&self.0.headers_in.headers, name)
    }

    /// The first of [`Upstream::headers`].
    pub fn header(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.headers(name).next()
    }

    /// The name of the peer that it is connected to, as a rule its address.
    pub fn peer_name(&self) -> Option<&'a [u8]> {
        // SAFETY: null, or the name of the peer
        unsafe { self.0.peer.name.as_ref() }.map(|name| name.as_bytes())
    }
}
