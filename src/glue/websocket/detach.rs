//! From a request to a tunnel: the 101 is sent, the request is freed, its connections go on.
//!
//! The way there has two steps. In the header filter, where the 101 passes, nothing of the stream
//! has moved yet: the bytes behind the handshake are put aside, so that nginx's own copier, which
//! runs once when the filter returns (`ngx_http_upstream_upgrade`), finds nothing to do. Then, as
//! a posted event, with nginx's hands off the request, it is freed. Whatever gets in between, a
//! failure or something that holds on to the request, finds it as nginx left it.

use std::ffi::c_void;
use std::ptr::{null_mut, NonNull};

use ngx::ffi::{
    ngx_buf_t, ngx_event_t, ngx_handle_write_event, ngx_http_cleanup_add, ngx_http_core_loc_conf_t,
    ngx_http_event_handler_pt, ngx_http_finalize_request, ngx_http_free_request,
    ngx_http_output_filter, ngx_http_request_t, ngx_http_upstream_handler_pt, ngx_http_upstream_t,
    ngx_int_t, ngx_pcalloc, ngx_pfree, ngx_posted_events, NGX_AGAIN, NGX_ERROR,
};
use ngx::http::{HttpModuleLocationConf, NgxHttpCoreModule};

use super::balancer::Share;
use super::connection::Connection;
use super::context::{self, Fate};
use super::handshake::{self, NO_MEMORY};
use super::tunnel::{Parts, Tunnel};
use super::worker::Worker;
use super::{LocationConf, WebSocket};
use nginx::bits::Bits;
use nginx::event::{ngx_add_timer, ngx_delete_posted_event, ngx_post_event};
use nginx::guard::guarded;
use nginx::request::Request;

/// A request on its way to be a tunnel; it lives in the request's pool.
#[repr(C)]
pub struct Handover {
    event: ngx_event_t,
    request: *mut ngx_http_request_t,
    conf: *const LocationConf,
    /// The buffers of nginx's copier as they were.
    buffer: ngx_buf_t,
    header_in: *mut u8,
    /// Whether the rest of the 101 is being sent first; the copier's handlers are aside then.
    is_flushing: bool,
    copier: Handlers,
}

/// What a request and its upstream do with their events, reading and writing.
#[repr(C)]
struct Handlers {
    request: [ngx_http_event_handler_pt; 2],
    upstream: [ngx_http_upstream_handler_pt; 2],
}

impl Handlers {
    /// Those of the rest of a 101.
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

/// Where the copier's buffers point meanwhile: no byte, and no room for one.
static mut NOTHING: [u8; 1] = [0];

/// The 101 of a request has just been sent.
pub fn begin(request: &Request) {
    let Some(conf) = request.location::<WebSocket>() else { return };
    let fit = request.upstream().ok_or(NO_MEMORY).and_then(|u| handshake::check(request, &u));
    // SAFETY: checked
    let fit = fit.and_then(|()| match unsafe { prepare(request.as_ptr(), conf) } {
        true => Ok(()),
        false => Err(NO_MEMORY),
    });
    if let Err(why) = fit {
        handshake::leave(request, why);
    }
}

/// Prepares the request of a 101 that has just been sent; `false` where nginx goes on alone.
///
/// # Safety
/// `r` is live, its answer an upgrade that `handshake::check` has let pass.
unsafe fn prepare(r: *mut ngx_http_request_t, conf: &LocationConf) -> bool {
    // SAFETY: by contract; the pool and the list of cleanups are the request's
    unsafe {
        let handover = ngx_pcalloc((*r).pool, size_of::<Handover>()).cast::<Handover>();
        let cleanup = ngx_http_cleanup_add(r, 0);
        if handover.is_null() || cleanup.is_null() {
            return false;
        }
        (*cleanup).handler = Some(cancel);
        (*cleanup).data = handover.cast();

        let u = (*r).upstream;
        (*handover).request = r;
        (*handover).conf = conf;
        (*handover).buffer = (*u).buffer;
        (*handover).header_in = (*(*r).header_in).pos;
        empty(&mut (*u).buffer);
        empty(&mut (*u).from_client);
        (*(*r).header_in).pos = (*(*r).header_in).last;

        (*handover).event.data = handover.cast();
        (*handover).event.handler = Some(on_posted);
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

/// The request ends before its tunnel begins.
unsafe extern "C" fn cancel(data: *mut c_void) {
    guarded((), || {
        let handover = data.cast::<Handover>();
        // SAFETY: the data of the cleanup, in the pool of the request that ends
        unsafe {
            if (*handover).event.bits().posted() != 0 {
                ngx_delete_posted_event(&raw mut (*handover).event);
            }
        }
    })
}

unsafe extern "C" fn on_posted(ev: *mut ngx_event_t) {
    guarded((), || {
        // SAFETY: the event of a handover, whose request is alive: else `cancel` had removed it
        unsafe { proceed((*ev).data.cast()) }
    })
}

/// # Safety
/// The request of `handover` is alive; after the call it may not be.
unsafe fn proceed(handover: *mut Handover) {
    // SAFETY: by contract
    unsafe {
        let r = (*handover).request;
        let u = (*r).upstream;
        let Some(request) = Request::from_ptr(r) else { return };
        let upstream = request.upstream().ok_or(NO_MEMORY);
        if let Err(why) = upstream.and_then(|upstream| handshake::check(&request, &upstream)) {
            return give_back(handover, why);
        }
        let client = Connection::from_ptr((*r).connection);
        let destination = Connection::from_ptr((*u).peer.connection);
        let (Some(client), Some(destination)) = (client, destination) else {
            return give_back(handover, NO_MEMORY);
        };
        if !(*r).out.is_null() || client.has_buffered() {
            return flush_first(handover);
        }
        detach(handover, client, destination);
    }
}

/// Lets nginx's copier go on after all.
///
/// # Safety
/// As `proceed`.
unsafe fn give_back(handover: *mut Handover, why: handshake::Why) {
    // SAFETY: by contract; what was put aside is still in the request's memory
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
            handshake::leave(&request, why);
        }
        // a write event has the copier send what is in its buffers, a read event read on
        for connection in [(*u).peer.connection, (*r).connection] {
            if !connection.is_null() {
                ngx_post_event((*connection).write, &raw mut ngx_posted_events);
                ngx_post_event((*connection).read, &raw mut ngx_posted_events);
            }
        }
    }
}

/// The client has not taken the whole 101 yet, and what is left of it is in the request's memory.
///
/// # Safety
/// As `proceed`.
unsafe fn flush_first(handover: *mut Handover) {
    // SAFETY: by contract
    unsafe {
        let r = (*handover).request;
        let u = (*r).upstream;
        if let Some(context) = Request::from_ptr(r).as_ref().and_then(Request::context::<WebSocket>)
        {
            context.handover.set(NonNull::new(handover));
        }
        if !(*handover).is_flushing {
            (*handover).is_flushing = true;
            (*handover).copier = Handlers::of(&*r, &*u);
            Handlers::FLUSH.put(&mut *r, &mut *u);
        }
        for connection in [(*r).connection, (*u).peer.connection] {
            if let Some(connection) = Connection::from_ptr(connection) {
                connection.delete_timers();
            }
        }
        flush(r);
    }
}

/// Nothing is read before the 101 is sent. Where nginx waits for states and not for changes, it
/// would call for ever (`ngx_http_block_reading`).
unsafe extern "C" fn wait(r: *mut ngx_http_request_t) {
    // SAFETY: the read handler of a live request, set in `flush_first`
    guarded((), || unsafe {
        if Connection::from_ptr((*r).connection).is_some_and(|client| !client.wait_readable()) {
            give_up(r);
        }
    });
}

/// Nor is anything of the destination, which has its own events.
unsafe extern "C" fn wait_upstream(r: *mut ngx_http_request_t, u: *mut ngx_http_upstream_t) {
    // SAFETY: a handler of a live request's upstream, set in `flush_first`
    guarded((), || unsafe {
        let destination = Connection::from_ptr((*u).peer.connection);
        if destination.is_some_and(|peer| !peer.wait_readable() || !peer.wait_writable()) {
            give_up(r);
        }
    });
}

unsafe extern "C" fn flush(r: *mut ngx_http_request_t) {
    // SAFETY: nginx passes a live request, or `flush_first` does
    guarded((), || unsafe { write_on(r) })
}

/// # Safety
/// As of `proceed`, with its request.
unsafe fn write_on(r: *mut ngx_http_request_t) {
    // SAFETY: the write handler of a live request, set in `flush_first`
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
        if let Some(handover) = Request::from_ptr(r)
            .as_ref()
            .and_then(Request::context::<WebSocket>)
            .and_then(|context| context.handover.get())
        {
            // not from here: the caller goes on with the request
            ngx_post_event(&raw mut (*handover.as_ptr()).event, &raw mut ngx_posted_events);
        }
    }
}

/// Ends a request whose 101 cannot be written.
///
/// # Safety
/// `r` is live; after the call it may not be.
unsafe fn give_up(r: *mut ngx_http_request_t) {
    // SAFETY: by contract; the count is raised as ngx_http_request_handler does before it
    // terminates a request, whose cleanup takes one off
    unsafe {
        (*r).bits_mut().set_count((*r).bits().count() + 1);
        ngx_http_finalize_request(r, NGX_ERROR as ngx_int_t);
    }
}

/// # Safety
/// As `proceed`; nothing of nginx waits for the request any more.
unsafe fn detach(handover: *mut Handover, client: Connection, destination: Connection) {
    // SAFETY: by contract; nothing of the request is used after it is freed
    unsafe {
        let r = (*handover).request;
        let u = (*r).upstream;
        let c = client.as_ptr();
        let Some(worker) = Worker::get() else { return give_back(handover, NO_MEMORY) };
        let Some(conf) = (*handover).conf.as_ref() else { return give_back(handover, NO_MEMORY) };

        let header_in = (*r).header_in;
        let from_client = between((*handover).header_in, (*header_in).last);
        let from_destination = between((*handover).buffer.pos, (*handover).buffer.last);
        let share = Share::take(&*u);
        let Some(request) = Request::from_ptr(r) else { return };
        let hold = request.context::<WebSocket>().and_then(|context| context.hold.take());
        context::note(&request, Fate::Tunnelled);
        let head = conf.log.as_ref().map(|log| log.head(&request));

        client.delete_timers();
        destination.delete_timers();
        // as ngx_http_upstream_finalize_request does where it finds the connection
        if let Some(state) = (*u).state.as_mut() {
            state.bytes_sent = (*destination.as_ptr()).sent;
        }
        (*u).peer.connection = null_mut();

        // the realip module gives the balancer's address back when the request's pool goes; the
        // text of the client's is in the connection's pool
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
        free_header_buffers(client, hc);

        let early = [from_client.as_slice(), from_destination.as_slice()];
        let parts = Parts { connections: [client, destination], conf, share, hold, head };
        Tunnel::start(parts, early, worker);
    }
}

/// # Safety
/// Both point into one buffer, or there is none between them.
unsafe fn between(start: *const u8, end: *const u8) -> Vec<u8> {
    // SAFETY: by contract
    unsafe {
        let len = usize::try_from(end.offset_from(start)).unwrap_or(0);
        std::slice::from_raw_parts(start, len).to_vec()
    }
}

/// Frees what `ngx_http_set_keepalive` frees of an idle connection.
///
/// # Safety
/// The connection has no request any more; `hc` is its own.
unsafe fn free_header_buffers(client: Connection, hc: *mut ngx::ffi::ngx_http_connection_t) {
    // SAFETY: by contract; the buffers were allocated from the connection's pool
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
