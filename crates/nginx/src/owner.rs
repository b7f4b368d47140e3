//! Owners of connections: state whose methods nginx calls on the events of its connections.

use std::ops::ControlFlow;

use ngx::ffi::{ngx_connection_t, ngx_event_handler_pt, ngx_event_t, ngx_posted_next_events};

use crate::connection::Connection;
use crate::event::ngx_post_event;
use crate::guard::guarded;
use crate::worker::{Turn, Worker};

/// `Continue` to go on, `Break` to end the owner and close its connections.
pub type Flow = ControlFlow<()>;

/// State that owns `N` connections and handles their events, from [`hand_over`] or [`give`] until a
/// method returns [`Flow::Break`] or panics. [`end`](Self::end) is then called once. A panic ends
/// this owner and not the worker.
///
/// nginx calls the methods, one at a time in each worker: while one runs, no method of any other
/// owner is called.
pub trait Owner<const N: usize>: Sized + 'static {
    /// Connection `number` may have bytes to read.
    fn readable(
        &mut self,
        connections: &[Connection; N],
        number: usize,
        worker: &mut Worker,
    ) -> Flow;

    /// The socket of connection `number` may accept bytes again.
    fn writable(
        &mut self,
        connections: &[Connection; N],
        number: usize,
        worker: &mut Worker,
    ) -> Flow;

    /// The timer of a connection has expired ([`Connection::set_timer`]).
    fn timer(&mut self, connections: &[Connection; N], worker: &mut Worker) -> Flow;

    /// The worker is exiting. With `at_once` false it asks idle connections to close when
    /// convenient (`ngx_close_idle_connections`); with `at_once` true `worker_shutdown_timeout` has
    /// expired and they must close now (`ngx_shutdown_timer_handler`). Only connections marked with
    /// [`Connection::set_idle`] get the first call.
    fn shutdown(
        &mut self,
        connections: &[Connection; N],
        at_once: bool,
        worker: &mut Worker,
    ) -> Flow;

    /// Ends the owner. Connections are closed when they are dropped.
    fn end(self, connections: [Connection; N]);
}

/// The target of `data` of each connection.
struct Link<O, const N: usize> {
    connections: [Connection; N],
    owner: O,
}

/// Transfers connections to `owner`, whose methods nginx calls from now on. To be called on nginx's
/// thread, with connections whose reads and writes are already scheduled: this function calls no
/// method.
pub fn give<O: Owner<N>, const N: usize>(owner: O, connections: [Connection; N]) {
    adopt(owner, connections);
}

/// Like [`give`], then runs `first` on the owner. If `first` returns [`Flow::Break`] or panics, the
/// owner ends at once.
pub fn hand_over<O: Owner<N>, const N: usize>(
    owner: O,
    connections: [Connection; N],
    worker: &mut Worker,
    first: impl FnOnce(&mut O, &[Connection; N], &mut Worker) -> Flow,
) {
    let link = adopt(owner, connections);
    // SAFETY: `adopt` has just made the link; `run` may free it, and it is not used afterwards
    unsafe { run(link, |link| first(&mut link.owner, &link.connections, worker)) };
}

fn adopt<O: Owner<N>, const N: usize>(owner: O, connections: [Connection; N]) -> *mut Link<O, N> {
    let link = Box::into_raw(Box::new(Link { connections, owner }));
    // SAFETY: the link has just been allocated and nothing has freed it
    for connection in unsafe { &(*link).connections } {
        let (on_readable, on_writable) = (on_readable::<O, N>, on_writable::<O, N>);
        connection.adopt(link.cast(), Some(on_readable), Some(on_writable));
    }
    link
}

/// Runs `part` on an owner and ends the owner if `part` returns `Break` or panics.
///
/// # Safety
/// `link` was made by `adopt` and is live; nobody else uses it during the call, and the caller does
/// not use it afterwards.
unsafe fn run<O: Owner<N>, const N: usize>(
    link: *mut Link<O, N>,
    part: impl FnOnce(&mut Link<O, N>) -> Flow,
) {
    // SAFETY: the caller guarantees that the link is live and not aliased
    if guarded(Flow::Break(()), || part(unsafe { &mut *link })).is_break() {
        // SAFETY: still live, since only `end` frees it; the caller does not use it afterwards
        unsafe { end(link) };
    }
}

/// The handler of read events, and of timers and shutdown, which nginx reports as read events. Here
/// and in `on_writable`, one guard protects the event and a second one the rare end; a guard around
/// both would cost time for every message.
unsafe extern "C" fn on_readable<O: Owner<N>, const N: usize>(ev: *mut ngx_event_t) {
    // SAFETY: nginx passes an event of an open connection that `adopt` has set up, so its link is
    // live
    guarded(Flow::Break(()), || unsafe { handle::<O, N>(ev, O::readable) })
        .break_value()
        // SAFETY: `handle` does not free the link, so it is live; nothing uses it after `end`
        .map_or((), |()| unsafe { end(link_of::<O, N>(ev)) })
}

/// The handler of write events.
unsafe extern "C" fn on_writable<O: Owner<N>, const N: usize>(ev: *mut ngx_event_t) {
    // SAFETY: as in `on_readable`
    guarded(Flow::Break(()), || unsafe { handle::<O, N>(ev, O::writable) })
        .break_value()
        // SAFETY: as in `on_readable`
        .map_or((), |()| unsafe { end(link_of::<O, N>(ev)) })
}

/// # Safety
/// `ev` is an event of an open connection that `adopt` has set up for an `O`.
#[inline]
unsafe fn handle<O: Owner<N>, const N: usize>(
    ev: *mut ngx_event_t,
    part: impl FnOnce(&mut O, &[Connection; N], usize, &mut Worker) -> Flow,
) -> Flow {
    // SAFETY: by contract the link is live; the turn guarantees that no other callback uses an
    // owner
    unsafe {
        let Some(mut turn) = Turn::take() else { return later(ev) };
        let Link { connections, owner } = &mut *link_of::<O, N>(ev);
        // the last one where it is none before
        let before = |connection: &&Connection| connection.as_ptr() != (*ev).data.cast();
        let number = connections[..N - 1].iter().take_while(before).count();
        let connection = &connections[number];
        // nginx sets these flags and calls the read handler. Such a call says nothing about the
        // socket. While TLS must read before it can write, nginx calls the write handler in its
        // place
        if let Some(at_once) = connection.take_close() {
            return owner.shutdown(connections, at_once, turn.worker());
        }
        if connection.take_timeout() {
            return owner.timer(connections, turn.worker());
        }
        part(owner, connections, number, turn.worker())
    }
}

/// Postpones an event that nginx reports while another owner is at work, as a result of that work.
///
/// # Safety
/// As for `handle`.
#[cold]
unsafe fn later(ev: *mut ngx_event_t) -> Flow {
    // SAFETY: by contract an event of an open connection; the queue is nginx's
    unsafe { ngx_post_event(ev, &raw mut ngx_posted_next_events) };
    Flow::Continue(())
}

/// # Safety
/// `link` was made by `adopt` and is live; nobody uses it afterwards.
#[cold]
unsafe fn end<O: Owner<N>, const N: usize>(link: *mut Link<O, N>) {
    guarded((), || {
        // SAFETY: by contract live and not used afterwards; allocated by `Box::into_raw` in `adopt`
        let Link { connections, owner } = *unsafe { Box::from_raw(link) };
        // they may outlive this call
        connections.iter().for_each(Connection::abandon);
        owner.end(connections);
    });
}

/// # Safety
/// As for `handle`.
#[inline]
unsafe fn link_of<O, const N: usize>(ev: *mut ngx_event_t) -> *mut Link<O, N> {
    // SAFETY: nginx stores the connection in `data` of its events; `adopt` has stored the link in
    // `data` of the connection
    unsafe { (*(*ev).data.cast::<ngx_connection_t>()).data.cast() }
}

/// Whether an owner of this type owns the connection.
///
/// # Safety
/// `c` is null or an open connection of nginx.
pub(crate) unsafe fn is_owned<O: Owner<N>, const N: usize>(c: *mut ngx_connection_t) -> bool {
    let ours: unsafe extern "C" fn(*mut ngx_event_t) = on_readable::<O, N>;
    // SAFETY: the caller guarantees null or an open connection
    let handler: ngx_event_handler_pt = unsafe {
        match Connection::lent(c) {
            Some(connection) if !(*c).read.is_null() => connection.handler(),
            _ => None,
        }
    };
    handler.is_some_and(|handler| std::ptr::fn_addr_eq(handler, ours))
}

/// Runs `part` on every owner of this type in this worker, and ends those for which it returns
/// [`Flow::Break`] or panics. Does nothing if called from a method of an owner, or in a process
/// that serves no connections.
pub fn for_each<O: Owner<N>, const N: usize>(
    part: impl Fn(&mut O, &[Connection; N], &mut Worker) -> Flow,
) {
    // SAFETY: called on nginx's thread; the turn guarantees that no callback uses an owner. An open
    // connection has a read event. If the handler of that is ours, `data` is a link; each is
    // visited at its first connection only. `part` may close connections, so no reference is held
    // from one iteration to the next
    unsafe {
        let Some(mut turn) = Turn::take() else { return };
        let (connections, count) = turn.worker().connections;
        for index in 0..count {
            let c = connections.add(index);
            if (*c).fd == -1 || !is_owned::<O, N>(c) {
                continue;
            }
            let link = (*c).data.cast::<Link<O, N>>();
            if (*link).connections.first().is_some_and(|first| first.as_ptr() == c) {
                run(link, |link| part(&mut link.owner, &link.connections, turn.worker()));
            }
        }
    }
}
