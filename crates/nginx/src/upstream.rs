//! The upstream side of a request.

use std::ptr::NonNull;

use ngx::ffi::{ngx_http_upstream_t, ngx_msec_t};

use crate::bits::Bits;
use crate::request::{values, Request};

/// The upstream of a request (`ngx_http_upstream_t`), borrowed like the request.
pub struct Upstream<'a>(&'a ngx_http_upstream_t);

impl Request<'_> {
    /// Its upstream; `None` if it has not been passed to one.
    pub fn upstream(&self) -> Option<Upstream<'_>> {
        // SAFETY: null, or the upstream of a live request
        unsafe { self.raw().upstream.as_ref() }.map(Upstream)
    }

    /// Disables buffering of the response, as `X-Accel-Buffering: no` of the upstream would: each
    /// part is passed to the client as it arrives. To be called in a header filter; nginx reads the
    /// flag after the header is sent (`ngx_http_upstream_send_response`).
    pub fn pass_on_at_once(&self) {
        if let Some(mut u) = NonNull::new(self.raw().upstream) {
            // SAFETY: the upstream of a live request; no other reference to it is held
            unsafe { u.as_mut() }.bits_mut().set_buffering(0);
        }
    }
}

impl<'a> Upstream<'a> {
    pub(crate) fn raw(&self) -> &'a ngx_http_upstream_t {
        self.0
    }

    /// Whether its response is an upgrade.
    pub fn upgrades(&self) -> bool {
        self.0.bits().upgrade() != 0
    }

    /// Whether it has a connection.
    pub fn is_connected(&self) -> bool {
        !self.0.peer.connection.is_null()
    }

    /// The status code of its response; 0 before there is one.
    pub fn status(&self) -> usize {
        self.0.headers_in.status_n
    }

    /// The time until the header of its response was complete, in milliseconds; `None` before that.
    pub fn header_time(&self) -> Option<u64> {
        // SAFETY: null, or the state of a live upstream
        let state = unsafe { self.0.state.as_ref() }?;
        (state.header_time != ngx_msec_t::MAX).then_some(state.header_time as u64)
    }

    /// Whether an incomplete header of its response fills its buffer.
    pub fn overflows_header_buffer(&self) -> bool {
        let buffer = &self.0.buffer;
        !buffer.start.is_null() && buffer.last == buffer.end && self.header_time().is_none()
    }

    /// The `Content-Type` of its response.
    pub fn content_type(&self) -> Option<&'a [u8]> {
        // SAFETY: null, or a header field of its response
        unsafe { self.0.headers_in.content_type.as_ref() }.map(|header| header.value.as_bytes())
    }

    /// The values of all fields of its response header with this name, which must be in lower case.
    pub fn headers<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        values(&self.0.headers_in.headers, name)
    }

    /// The first value of [`Upstream::headers`].
    pub fn header(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.headers(name).next()
    }

    /// The name of the peer that it uses, normally its address.
    pub fn peer_name(&self) -> Option<&'a [u8]> {
        // SAFETY: null, or the name of the peer
        unsafe { self.0.peer.name.as_ref() }.map(|name| name.as_bytes())
    }
}
