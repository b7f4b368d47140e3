//! The connections of clients, all of a worker's.

use std::ptr::NonNull;

use ngx::ffi::{ngx_connection_t, ngx_cycle};

use crate::bits::Bits;
use crate::event::ngx_add_timer;
use crate::first_bytes::{is_http, FirstBytes};
use crate::owner::{is_owned, Owner};

/// An open connection, lent for a call.
pub struct Client<'a>(&'a NonNull<ngx_connection_t>);

impl Client<'_> {
    /// Whether it is one of such an owner.
    pub fn is_owned_by<O: Owner<N>, const N: usize>(&self) -> bool {
        // SAFETY: open, by what `end_requests` has seen
        unsafe { is_owned::<O, N>(self.0.as_ptr()) }
    }
}

/// Ends what clients of `http` still have of this worker, also at addresses of `M`, as `ngx_shutdown_timer_handler` does, but for those
/// that are spared; what a request has open to a server goes with it. How many connections that was.
/// To be called by a timer, where no request is at work.
pub fn end_requests<M: FirstBytes>(is_spared: fn(Client) -> bool) -> usize {
    let mut ended = 0;
    // SAFETY: the array of connections of this worker. What runs may free connections, so nothing is
    // kept over it.
    unsafe {
        let (connections, count) = ((*ngx_cycle).connections, (*ngx_cycle).connection_n);
        for index in 0..count {
            let c = NonNull::new_unchecked(connections.add(index));
            let raw = c.as_ref();
            if raw.fd == -1 || !is_of_client::<M>(raw) || is_spared(Client(&c)) {
                continue;
            }
            let Some(handler) = raw.read.as_ref().and_then(|read| read.handler) else { continue };
            let (read, number) = (raw.read, raw.number);
            ended += 1;
            (*c.as_ptr()).bits_mut().set_close(1);
            (*c.as_ptr()).bits_mut().set_error(1);
            handler(read);
            // a request of which the header is not whole yet heeds its timer alone
            // (`ngx_http_process_request_line`)
            let raw = c.as_ref();
            if raw.fd != -1 && raw.number == number && (*raw.read).bits().timer_set() != 0 {
                ngx_add_timer(raw.read, 0);
            }
        }
    }
    ended
}

/// Whether nginx has accepted a connection for http, not for stream or mail.
///
/// # Safety
/// An open connection of nginx.
unsafe fn is_of_client<M: FirstBytes>(c: &ngx_connection_t) -> bool {
    // SAFETY: by contract; null, or the listening socket that it came from
    let listening = unsafe { c.listening.as_ref() };
    // SAFETY: an open connection has a read event; that of a listening socket itself accepts
    let accepts = unsafe { c.read.as_ref().is_none_or(|read| read.bits().accept() != 0) };
    !accepts && listening.is_some_and(|listening| is_http::<M>(listening.handler))
}
