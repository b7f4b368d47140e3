//! An upgrade whose request is freed while its connections go on, in the hands of a module.
//!
//! The way there has two steps. In the header filter, where the 101 passes, nothing of the stream
//! has moved yet: the bytes behind the handshake are put aside, so that nginx's own copier, which
//! runs once when the filter returns (`ngx_http_upstream_upgrade`), finds nothing to do. Then, as
//! a posted event, with nginx's hands off the request, it is freed. Whatever gets in between, a
//! failure or something that holds on to the request, finds it as nginx left it.

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr::null_mut;

use ngx::ffi::{
    ngx_buf_t, ngx_event_t, ngx_handle_write_event, ngx_http_cleanup_add, ngx_http_core_loc_conf_t,
    ngx_http_event_handler_pt, ngx_http_finalize_request, ngx_http_free_request,
    ngx_http_output_filter, ngx_http_request_t, ngx_http_upstream_handler_pt, ngx_http_upstream_t,
    ngx_int_t, ngx_pcalloc, ngx_pfree, ngx_posted_events, NGX_AGAIN, NGX_ERROR, NGX_HTTP_AIO_OFF,
    NGX_HTTP_GET, NGX_HTTP_VERSION_11,
};
use ngx::http::{HttpModuleLocationConf, NgxHttpCoreModule};

use crate::bits::Bits;
use crate::connection::Connection;
use crate::event::{ngx_add_timer, ngx_delete_posted_event, ngx_post_event};
use crate::guard::guarded;
use crate::module::HttpModule;
use crate::request::Request;
use crate::worker::{Turn, Worker};

/// A module that takes upgraded connections over.
pub trait Upgrade: HttpModule {
    /// Why an upgrade is left to nginx's own copier.
    type Why: 'static;

    /// What is taken from a request before it is freed.
    type Kept: 'static;

    /// Why, where there is no memory for it.
    const NO_MEMORY: Self::Why;

    /// Whether the request can be freed: asked when its 101 was sent, and again when nobody is at
    /// work on it.
    ///
    /// # Errors
    /// It cannot.
    fn check(request: &Request) -> Result<(), Self::Why>;

    /// The upgrade is left to nginx's own copier.
    fn leave(request: &Request, why: Self::Why);

    /// The request is going to be freed, its upstream still being there.
    fn keep(request: &Request) -> Self::Kept;

    /// The connections of the client and of the destination are the module's, with the bytes that
    /// came from each behind the handshake.
    fn begin(
        kept: Self::Kept,
        connections: [Connection; 2],
        early: [&[u8]; 2],
        worker: &mut Worker,
    );
}

/// Takes an upgrade over whose 101 has just been sent; for a header filter.
pub fn take_over<U: Upgrade>(request: &Request) {
    let fit = U::check(request).and_then(|()| {
        // SAFETY: a live request, which `check` has let pass
        match unsafe { prepare::<U>(request.as_ptr()) } {
            true => Ok(()),
            false => Err(U::NO_MEMORY),
        }
    });
    if let Err(why) = fit {
        U::leave(request, why);
    }
}

/// What nginx still does with a request.
pub struct State {
    /// How many hold on to it (`r->count`); 1 where nobody but nginx's own copier does.
    pub count: u32,
    /// Whether its body is being read.
    pub reading_body: bool,
    /// Whether its body is being read to be dropped.
    pub discard_body: bool,
    /// Whether it waits for another thread or the disk.
    pub blocked: bool,
    /// Whether subrequests of it are under way.
    pub subrequests: bool,
    /// Whether nginx has something to do when it is over (`ngx_http_post_action`).
    pub post_action: bool,
    /// Whether it has a body.
    pub has_body: bool,
    /// Whether its location uses asynchronous reads (`aio`).
    pub has_aio: bool,
}

impl State {
    /// That of a request.
    pub fn of(request: &Request) -> Self {
        let r = request.raw();
        let core: Option<&ngx_http_core_loc_conf_t> = NgxHttpCoreModule::location_conf(r);
        let bits = r.bits();
        Self {
            count: bits.count(),
            reading_body: bits.reading_body() != 0,
            discard_body: bits.discard_body() != 0,
            blocked: bits.blocked() != 0 || bits.aio() != 0,
            subrequests: !r.posted_requests.is_null() || !r.postponed.is_null(),
            post_action: core.is_some_and(|core| !core.post_action.data.is_null()),
            has_body: r.headers_in.content_length_n > 0
                || !r.headers_in.transfer_encoding.is_null(),
            has_aio: core.is_some_and(|core| core.aio as u32 != NGX_HTTP_AIO_OFF),
        }
    }
}

impl Request<'_> {
    /// Whether it is of HTTP/1.x, where a connection has one request at a time.
    pub fn has_own_connection(&self) -> bool {
        let r = self.raw();
        r.stream.is_null() && r.http_version <= NGX_HTTP_VERSION_11 as usize
    }

    /// Whether its method is GET.
    pub fn is_get(&self) -> bool {
        self.raw().method == NGX_HTTP_GET as usize
    }
}

/// A request on its way; it lives in the request's pool.
#[repr(C)]
struct Handover {
    event: ngx_event_t,
    request: *mut ngx_http_request_t,
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

/// Puts the bytes behind the handshake aside; `false` where there is no memory.
///
/// # Safety
/// `r` is live, its answer an upgrade that has just been sent.
unsafe fn prepare<U: Upgrade>(r: *mut ngx_http_request_t) -> bool {
    // SAFETY: by contract; the pool and the list of cleanups are the request's
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

unsafe extern "C" fn on_posted<U: Upgrade>(ev: *mut ngx_event_t) {
    guarded((), || {
        // SAFETY: the event of a handover, whose request is alive: else `cancel` had removed it
        unsafe { proceed::<U>((*ev).data.cast()) }
    })
}

/// # Safety
/// The request of `handover` is alive; after the call it may not be.
unsafe fn proceed<U: Upgrade>(handover: *mut Handover) {
    // SAFETY: by contract
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

/// Lets nginx's copier go on after all.
///
/// # Safety
/// As `proceed`.
unsafe fn give_back<U: Upgrade>(handover: *mut Handover, why: U::Why) {
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
            U::leave(&request, why);
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

/// Nothing is read before the 101 is sent. Where nginx waits for states and not for changes, it
/// would call for ever (`ngx_http_block_reading`).
unsafe extern "C" fn wait(r: *mut ngx_http_request_t) {
    // SAFETY: the read handler of a live request, set in `flush_first`
    guarded((), || unsafe {
        if Connection::lent((*r).connection).is_some_and(|client| !client.wait_readable()) {
            give_up(r);
        }
    });
}

/// Nor is anything of the destination, which has its own events.
unsafe extern "C" fn wait_upstream(r: *mut ngx_http_request_t, u: *mut ngx_http_upstream_t) {
    // SAFETY: a handler of a live request's upstream, set in `flush_first`
    guarded((), || unsafe {
        let destination = Connection::lent((*u).peer.connection);
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
        if let Some(handover) = handover_of(r) {
            // not from here: the caller goes on with the request
            ngx_post_event(&raw mut (*handover).event, &raw mut ngx_posted_events);
        }
    }
}

/// What `prepare` has made of a request.
///
/// # Safety
/// `r` is live.
unsafe fn handover_of(r: *mut ngx_http_request_t) -> Option<*mut Handover> {
    let ours: unsafe extern "C" fn(*mut c_void) = cancel;
    // SAFETY: by contract; each link is null or a cleanup of the request
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
unsafe fn detach<U: Upgrade>(handover: *mut Handover, request: &Request, worker: &mut Worker) {
    // SAFETY: by contract; nothing of the request is used after it is freed
    unsafe {
        let r = (*handover).request;
        let (u, c) = ((*r).upstream, (*r).connection);
        let own = (Connection::lent(c), Connection::lent((*u).peer.connection));
        let (Some(client), Some(destination)) = own else {
            return give_back::<U>(handover, U::NO_MEMORY);
        };
        let from_client = between((*handover).header_in, (*(*r).header_in).last);
        let from_destination = between((*handover).buffer.pos, (*handover).buffer.last);
        let kept = U::keep(request);

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
        free_header_buffers(&client, hc);

        // no request and no upstream has them any more
        let connections = [ManuallyDrop::into_inner(client), ManuallyDrop::into_inner(destination)];
        U::begin(kept, connections, [from_client.as_slice(), from_destination.as_slice()], worker);
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
unsafe fn free_header_buffers(client: &Connection, hc: *mut ngx::ffi::ngx_http_connection_t) {
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
