//! Upgraded connections that a module takes over, so that nginx can free the request.
//!
//! This takes two steps. In the header filter, when the 101 response has been sent and no byte of
//! the stream has been relayed yet, the bytes after the handshake are set aside: nginx's own relay,
//! which runs once when the filter returns (`ngx_http_upstream_upgrade`), finds nothing to do.
//! Then, in a posted event, when no function of nginx is working on the request, the request is
//! freed. If anything intervenes, a failure or another user of the request, it finds the request in
//! a state that nginx expects.

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr::null_mut;

use ngx::ffi::{
    ngx_buf_t, ngx_event_t, ngx_handle_write_event, ngx_http_cleanup_add, ngx_http_core_loc_conf_t,
    ngx_http_event_handler_pt, ngx_http_finalize_request, ngx_http_free_request,
    ngx_http_output_filter, ngx_http_request_t, ngx_http_upstream_handler_pt, ngx_http_upstream_t,
    ngx_int_t, ngx_pcalloc, ngx_pfree, ngx_posted_events, NGX_AGAIN, NGX_ERROR,
};
use ngx::http::{HttpModuleLocationConf, NgxHttpCoreModule};

use crate::bits::Bits;
use crate::connection::Connection;
use crate::event::{ngx_add_timer, ngx_delete_posted_event, ngx_post_event};
use crate::guard::guarded;
use crate::module::HttpModule;
use crate::request::Request;
use crate::worker::{Turn, Worker};

mod state;

pub use state::State;

/// A module that takes over upgraded connections.
pub trait Upgrade: HttpModule {
    /// The reason for leaving an upgrade to nginx's relay.
    type Why: 'static;

    /// What the module takes from a request before it is freed.
    type Kept: 'static;

    /// The reason if memory is exhausted.
    const NO_MEMORY: Self::Why;

    /// Checks whether the request can be freed. Called after the 101 is sent, and again in the
    /// posted event.
    ///
    /// # Errors
    /// The reason why it cannot.
    fn check(request: &Request) -> Result<(), Self::Why>;

    /// Called when an upgrade is left to nginx's relay.
    fn leave(request: &Request, why: Self::Why);

    /// Called just before the request is freed. Its upstream is still there.
    fn keep(request: &Request) -> Self::Kept;

    /// Called when the request is freed. The module owns the connections of the client and of the
    /// upstream from now on; `early` are the bytes that each has sent after the handshake.
    fn begin(
        kept: Self::Kept,
        connections: [Connection; 2],
        early: [&[u8]; 2],
        worker: &mut Worker,
    );
}

/// Takes over the connections of a request whose 101 response has just been sent. To be called in a
/// header filter, after the next filters.
pub fn take_over<U: Upgrade>(request: &Request) {
    let fit = U::check(request).and_then(|()| {
        // SAFETY: the request is live, and the filters have sent its 101
        match unsafe { prepare::<U>(request.as_ptr()) } {
            true => Ok(()),
            false => Err(U::NO_MEMORY),
        }
    });
    if let Err(why) = fit {
        U::leave(request, why);
    }
}

/// A request that is being taken over. It is in the memory of the request.
#[repr(C)]
struct Handover {
    event: ngx_event_t,
    request: *mut ngx_http_request_t,
    /// The buffer of nginx's relay before it was emptied.
    buffer: ngx_buf_t,
    header_in: *mut u8,
    /// Whether the rest of the 101 is being sent first. The handlers of nginx's relay are in
    /// `copier` then.
    is_flushing: bool,
    copier: Handlers,
}

/// The event handlers of a request and its upstream, for reading and writing.
#[repr(C)]
struct Handlers {
    request: [ngx_http_event_handler_pt; 2],
    upstream: [ngx_http_upstream_handler_pt; 2],
}

impl Handlers {
    /// The handlers that send the rest of a 101.
    const FLUSH: Self =
        Self { request: [Some(wait), Some(flush)], upstream: [Some(wait_upstream); 2] };

    fn of(r: &ngx_http_request_t, u: &ngx_http_upstream_t) -> Self {
        Self {
            request: [r.read_event_handler, r.write_event_handler],
            upstream: [u.read_event_handler, u.write_event_handler],
        }
    }

    fn put(&self, r: &mut ngx_http_request_t, u: &mut ngx_http_upstream_t) {
        [r.read_event_handler, r.write_event_handler] = self.request;
        [u.read_event_handler, u.write_event_handler] = self.upstream;
    }
}

/// Where the buffers of nginx's relay point while they are empty: no bytes, and no room for any.
static mut NOTHING: [u8; 1] = [0];

/// Sets aside the bytes after the handshake; `false` if memory is exhausted.
///
/// # Safety
/// `r` is live, and its response is an upgrade that has just been sent.
unsafe fn prepare<U: Upgrade>(r: *mut ngx_http_request_t) -> bool {
    // SAFETY: by contract the request is live, so its pool, connection and buffers are valid
    unsafe {
        let handover = ngx_pcalloc((*r).pool, size_of::<Handover>()).cast::<Handover>();
        let cleanup = ngx_http_cleanup_add(r, 0);
        if handover.is_null() || cleanup.is_null() || (*r).upstream.is_null() {
            return false;
        }
        (*cleanup).handler = Some(cancel);
        (*cleanup).data = handover.cast();

        let u = (*r).upstream;
        (*handover).request = r;
        (*handover).buffer = (*u).buffer;
        (*handover).header_in = (*(*r).header_in).pos;
        empty(&mut (*u).buffer);
        empty(&mut (*u).from_client);
        (*(*r).header_in).pos = (*(*r).header_in).last;

        (*handover).event.data = handover.cast();
        (*handover).event.handler = Some(on_posted::<U>);
        (*handover).event.log = (*(*r).connection).log;
        ngx_post_event(&raw mut (*handover).event, &raw mut ngx_posted_events);
    }
    true
}

fn empty(buffer: &mut ngx_buf_t) {
    let nothing = (&raw mut NOTHING).cast::<u8>();
    buffer.start = nothing;
    buffer.pos = nothing;
    buffer.last = nothing;
    buffer.end = nothing;
}

/// Called when the request ends before it is taken over.
unsafe extern "C" fn cancel(data: *mut c_void) {
    guarded((), || {
        let handover = data.cast::<Handover>();
        // SAFETY: nginx passes the data of the cleanup, in the pool of the request, which is still
        // valid
        unsafe {
            if (*handover).event.bits().posted() != 0 {
                ngx_delete_posted_event(&raw mut (*handover).event);
            }
        }
    })
}

unsafe extern "C" fn on_posted<U: Upgrade>(ev: *mut ngx_event_t) {
    guarded((), || {
        // SAFETY: the event is part of a handover whose request is live: `cancel` removes the event
        // when the request ends
        unsafe { proceed::<U>((*ev).data.cast()) }
    })
}

/// # Safety
/// The request of `handover` is live. The call may free it.
unsafe fn proceed<U: Upgrade>(handover: *mut Handover) {
    // SAFETY: by contract the request is live until a function that may free it is called last
    unsafe {
        let r = (*handover).request;
        let Some(request) = Request::from_ptr(r) else { return };
        if let Err(why) = U::check(&request) {
            return give_back::<U>(handover, why);
        }
        let client = Connection::lent((*r).connection);
        if !(*r).out.is_null() || client.is_some_and(|client| client.has_buffered()) {
            return flush_first(handover);
        }
        match Turn::take() {
            Some(mut turn) => detach::<U>(handover, &request, turn.worker()),
            None => give_back::<U>(handover, U::NO_MEMORY),
        }
    }
}

/// Returns the connections to nginx's relay.
///
/// # Safety
/// As for `proceed`.
unsafe fn give_back<U: Upgrade>(handover: *mut Handover, why: U::Why) {
    // SAFETY: by contract the request is live, and the buffers that were set aside are in its
    // memory
    unsafe {
        let r = (*handover).request;
        let u = (*r).upstream;
        (*u).buffer = (*handover).buffer;
        (*u).from_client.start = null_mut();
        (*(*r).header_in).pos = (*handover).header_in;
        if (*handover).is_flushing {
            (*handover).copier.put(&mut *r, &mut *u);
        }
        if let Some(request) = Request::from_ptr(r) {
            U::leave(&request, why);
        }
        // a write event makes the relay send the contents of its buffers, a read event makes it
        // read
        for connection in [(*u).peer.connection, (*r).connection] {
            if !connection.is_null() {
                ngx_post_event((*connection).write, &raw mut ngx_posted_events);
                ngx_post_event((*connection).read, &raw mut ngx_posted_events);
            }
        }
    }
}

/// The client has not received all of the 101. Sends the rest, which is in the memory of the
/// request, before the takeover continues.
///
/// # Safety
/// As for `proceed`.
unsafe fn flush_first(handover: *mut Handover) {
    // SAFETY: by contract the request is live, and with it its upstream
    unsafe {
        let r = (*handover).request;
        let u = (*r).upstream;
        if !(*handover).is_flushing {
            (*handover).is_flushing = true;
            (*handover).copier = Handlers::of(&*r, &*u);
            Handlers::FLUSH.put(&mut *r, &mut *u);
        }
        for connection in [(*r).connection, (*u).peer.connection] {
            if let Some(connection) = Connection::lent(connection) {
                connection.delete_timers();
            }
        }
        flush(r);
    }
}

/// Reads nothing from the client before the 101 is sent. Level-triggered event methods would
/// otherwise report it continuously (`ngx_http_block_reading`).
unsafe extern "C" fn wait(r: *mut ngx_http_request_t) {
    // SAFETY: nginx passes the live request whose read handler `flush_first` has set
    guarded((), || unsafe {
        if Connection::lent((*r).connection).is_some_and(|client| !client.wait_readable()) {
            give_up(r);
        }
    });
}

/// Reads nothing from the upstream either.
unsafe extern "C" fn wait_upstream(r: *mut ngx_http_request_t, u: *mut ngx_http_upstream_t) {
    // SAFETY: nginx passes the live request and upstream whose handlers `flush_first` has set
    guarded((), || unsafe {
        let upstream = Connection::lent((*u).peer.connection);
        if upstream.is_some_and(|peer| !peer.wait_readable() || !peer.wait_writable()) {
            give_up(r);
        }
    });
}

unsafe extern "C" fn flush(r: *mut ngx_http_request_t) {
    // SAFETY: nginx or `flush_first` passes a live request
    guarded((), || unsafe { write_on(r) })
}

/// # Safety
/// `r` is live and has been prepared. The call may free it.
unsafe fn write_on(r: *mut ngx_http_request_t) {
    // SAFETY: by contract the request is live; nothing uses it after a call that may free it
    unsafe {
        let client = (*r).connection;
        let write = (*client).write;
        if (*write).bits().timedout() != 0 {
            (*client).bits_mut().set_timedout(1);
            return give_up(r);
        }
        let rc = ngx_http_output_filter(r, null_mut());
        if rc == NGX_ERROR as ngx_int_t {
            return give_up(r);
        }
        let core: Option<&ngx_http_core_loc_conf_t> = NgxHttpCoreModule::location_conf(&*r);
        if rc == NGX_AGAIN as ngx_int_t || !(*r).out.is_null() || (*client).bits().buffered() != 0 {
            let wait = core.map_or(60_000, |core| core.send_timeout);
            if (*write).bits().timer_set() == 0 {
                ngx_add_timer(write, wait);
            }
            if ngx_handle_write_event(write, 0) != 0 {
                give_up(r);
            }
            return;
        }
        if let Some(handover) = handover_of(r) {
            // not called directly: the caller still uses the request
            ngx_post_event(&raw mut (*handover).event, &raw mut ngx_posted_events);
        }
    }
}

/// The handover that `prepare` has made for a request.
///
/// # Safety
/// `r` is live.
unsafe fn handover_of(r: *mut ngx_http_request_t) -> Option<*mut Handover> {
    let ours: unsafe extern "C" fn(*mut c_void) = cancel;
    // SAFETY: by contract the request is live; each link is null or one of its cleanups
    unsafe {
        let mut cleanup = (*r).cleanup;
        while let Some(link) = cleanup.as_ref() {
            if link.handler.is_some_and(|handler| std::ptr::fn_addr_eq(handler, ours)) {
                return Some(link.data.cast());
            }
            cleanup = link.next;
        }
    }
    None
}

/// Ends a request whose 101 cannot be sent.
///
/// # Safety
/// `r` is live. The call may free it.
unsafe fn give_up(r: *mut ngx_http_request_t) {
    // SAFETY: by contract the request is live; the count is raised as ngx_http_request_handler does
    // before it terminates a request, because the cleanup of the upstream decrements it
    unsafe {
        (*r).bits_mut().set_count((*r).bits().count() + 1);
        ngx_http_finalize_request(r, NGX_ERROR as ngx_int_t);
    }
}

/// # Safety
/// As for `proceed`; nginx has no pending output or timer of the request that matters.
unsafe fn detach<U: Upgrade>(handover: *mut Handover, request: &Request, worker: &mut Worker) {
    // SAFETY: by contract the request is live until it is freed here; only `addr_text`, whose bytes
    // are in the connection's pool, is used afterwards
    unsafe {
        let r = (*handover).request;
        let (u, c) = ((*r).upstream, (*r).connection);
        let own = (Connection::lent(c), Connection::lent((*u).peer.connection));
        let (Some(client), Some(upstream)) = own else {
            return give_back::<U>(handover, U::NO_MEMORY);
        };
        let from_client = between((*handover).header_in, (*(*r).header_in).last);
        let from_upstream = between((*handover).buffer.pos, (*handover).buffer.last);
        let kept = U::keep(request);

        client.delete_timers();
        upstream.delete_timers();
        // as ngx_http_upstream_finalize_request does if it finds a connection
        if let Some(state) = (*u).state.as_mut() {
            state.bytes_sent = (*upstream.as_ptr()).sent;
        }
        (*u).peer.connection = null_mut();

        // the realip module restores the balancer's address when the request's pool is destroyed;
        // the text of the client's address is in the connection's pool
        let addr_text = (*c).addr_text;

        // as ngx_http_terminate_request does, so that no cleanup closes the connection
        (*r).bits_mut().set_count((*r).bits().count() + 1);
        let mut cleanup = (*r).cleanup;
        (*r).cleanup = null_mut();
        while !cleanup.is_null() {
            if let Some(handler) = (*cleanup).handler {
                handler((*cleanup).data);
            }
            cleanup = (*cleanup).next;
        }
        let hc = (*r).http_connection;
        ngx_http_free_request(r, 0);
        (*c).bits_mut().set_destroyed(0);
        (*c).addr_text = addr_text;
        free_header_buffers(&client, hc);

        // neither a request nor an upstream refers to them any more, so they are owned
        let connections = [ManuallyDrop::into_inner(client), ManuallyDrop::into_inner(upstream)];
        connections.iter().for_each(Connection::abandon);
        U::begin(kept, connections, [from_client.as_slice(), from_upstream.as_slice()], worker);
    }
}

/// # Safety
/// Both pointers are into the same readable buffer.
unsafe fn between(start: *const u8, end: *const u8) -> Vec<u8> {
    // SAFETY: the caller guarantees one buffer, so the distance is valid and the bytes are readable
    unsafe {
        let len = usize::try_from(end.offset_from(start)).unwrap_or(0);
        std::slice::from_raw_parts(start, len).to_vec()
    }
}

/// Frees the buffers that `ngx_http_set_keepalive` frees for an idle connection.
///
/// # Safety
/// The connection is open and has no request; `hc` belongs to it.
unsafe fn free_header_buffers(client: &Connection, hc: *mut ngx::ffi::ngx_http_connection_t) {
    // SAFETY: by contract no request uses the buffers, which nginx has allocated from the
    // connection's pool
    unsafe {
        let c = client.as_ptr();
        let buffer = (*c).buffer;
        if !buffer.is_null() && !(*buffer).start.is_null() {
            ngx_pfree((*c).pool, (*buffer).start.cast());
            (*buffer).start = null_mut();
            (*buffer).pos = null_mut();
            (*buffer).last = null_mut();
        }
        for list in [&raw mut (*hc).free, &raw mut (*hc).busy] {
            let mut link = *list;
            while !link.is_null() {
                ngx_pfree((*c).pool, (*(*link).buf).start.cast());
                link = (*link).next;
            }
            *list = null_mut();
        }
        (*hc).nbusy = 0;
    }
    client.free_tls_buffer();
}
