//! The client connections of a worker.

use std::ptr::NonNull;

use ngx::ffi::{ngx_connection_t, ngx_cycle};

use crate::bits::Bits;
use crate::event::ngx_add_timer;
use crate::first_bytes::{is_http, FirstBytes};
use crate::owner::{is_owned, Owner};

/// An open client connection, borrowed for the duration of a call.
pub struct Client<'a>(&'a NonNull<ngx_connection_t>);

impl Client<'_> {
    /// Whether an owner of type `O` has it.
    pub fn is_owned_by<O: Owner<N>, const N: usize>(&self) -> bool {
        // SAFETY: `end_requests` passes open connections only
        unsafe { is_owned::<O, N>(self.0.as_ptr()) }
    }
}

/// Ends all client connections of `http` in this worker, at addresses of `M` too, except those for
/// which `is_spared` returns true. Their requests are terminated as `ngx_shutdown_timer_handler`
/// does, with their upstream connections. Returns the number of connections. To be called from a
/// [`Timer`](crate::timer::Timer), when no function of nginx is working on a request.
pub fn end_requests<M: FirstBytes>(is_spared: fn(Client) -> bool) -> usize {
    let mut ended = 0;
    // SAFETY: nginx's array of connections of this worker. A handler may close connections, so no
    // reference is held across its call
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
            // a request with an incomplete header reacts to its timer only
            // (`ngx_http_process_request_line`)
            let raw = c.as_ref();
            if raw.fd != -1 && raw.number == number && (*raw.read).bits().timer_set() != 0 {
                ngx_add_timer(raw.read, 0);
            }
        }
    }
    ended
}

/// Whether nginx has accepted the connection for http, not for stream or mail.
///
/// # Safety
/// `c` is an open connection of nginx.
unsafe fn is_of_client<M: FirstBytes>(c: &ngx_connection_t) -> bool {
    // SAFETY: by contract null, or the listening socket that has accepted it
    let listening = unsafe { c.listening.as_ref() };
    // SAFETY: by contract null, or the read event of the connection; `accept` is set in that of a
    // listening socket
    let accepts = unsafe { c.read.as_ref().is_none_or(|read| read.bits().accept() != 0) };
    !accepts && listening.is_some_and(|listening| is_http::<M>(listening.handler))
}
