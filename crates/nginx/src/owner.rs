//! Owners of connections, and how nginx calls them.

use std::ops::ControlFlow;

use ngx::ffi::{ngx_connection_t, ngx_event_handler_pt, ngx_event_t, ngx_posted_next_events};

use crate::connection::Connection;
use crate::event::ngx_post_event;
use crate::guard::guarded;
use crate::worker::{Turn, Worker};

/// Goes on, or ends the connections.
pub type Flow = ControlFlow<()>;

/// What has `N` connections to itself, and is called with what happens to them: from
/// [`hand_over`] on, until it says [`Flow::Break`] or panics. A fault of its own costs its own
/// connections and not the worker.
pub trait Owner<const N: usize>: Sized + 'static {
    /// There may be something to read of the connection with this number.
    fn readable(
        &mut self,
        connections: &[Connection; N],
        number: usize,
        worker: &mut Worker,
    ) -> Flow;

    /// The socket of the connection with this number may take bytes again.
    fn writable(
        &mut self,
        connections: &[Connection; N],
        number: usize,
        worker: &mut Worker,
    ) -> Flow;

    /// The timer of a connection has fired.
    fn timer(&mut self, connections: &[Connection; N], worker: &mut Worker) -> Flow;

    /// The worker is leaving and asks connections that are idle to end
    /// (`ngx_close_idle_connections`), or wants all to end at once (`ngx_shutdown_timer_handler`).
    fn shutdown(
        &mut self,
        connections: &[Connection; N],
        at_once: bool,
        worker: &mut Worker,
    ) -> Flow;

    /// The end: connections are closed as they are dropped.
    fn end(self, connections: [Connection; N]);
}

/// What the data of each connection points to.
struct Link<O, const N: usize> {
    connections: [Connection; N],
    owner: O,
}

/// Gives connections to an owner, and has nginx call it.
pub fn give<O: Owner<N>, const N: usize>(owner: O, connections: [Connection; N]) {
    adopt(owner, connections);
}

/// As [`give`]; `first` is the first part of its life.
pub fn hand_over<O: Owner<N>, const N: usize>(
    owner: O,
    connections: [Connection; N],
    worker: &mut Worker,
    first: impl FnOnce(&mut O, &[Connection; N], &mut Worker) -> Flow,
) {
    let link = adopt(owner, connections);
    // SAFETY: just made; what runs may end it, so it is not used after
    unsafe { run(link, |link| first(&mut link.owner, &link.connections, worker)) };
}

fn adopt<O: Owner<N>, const N: usize>(owner: O, connections: [Connection; N]) -> *mut Link<O, N> {
    let link = Box::into_raw(Box::new(Link { connections, owner }));
    // SAFETY: just made
    for connection in unsafe { &(*link).connections } {
        let (on_readable, on_writable) = (on_readable::<O, N>, on_writable::<O, N>);
        connection.adopt(link.cast(), Some(on_readable), Some(on_writable));
    }
    link
}

/// Runs a part of an owner's life, and ends it where that says so or panics.
///
/// # Safety
/// `link` came from `hand_over`, is alive, and is not used by the caller after.
unsafe fn run<O: Owner<N>, const N: usize>(
    link: *mut Link<O, N>,
    part: impl FnOnce(&mut Link<O, N>) -> Flow,
) {
    // SAFETY: alive and exclusive by contract
    if guarded(Flow::Break(()), || part(unsafe { &mut *link })).is_break() {
        // SAFETY: as above
        unsafe { end(link) };
    }
}

/// The handler of read events, and of all that nginx reports as one. Here and below, one guard for
/// what happens on each event, and another for the end, which is rare: a second one around both would
/// cost every message.
unsafe extern "C" fn on_readable<O: Owner<N>, const N: usize>(ev: *mut ngx_event_t) {
    // SAFETY: nginx passes an event of a connection that `hand_over` has adopted; where its owner is
    // to end, it is still there
    guarded(Flow::Break(()), || unsafe { handle::<O, N>(ev, O::readable) })
        .break_value()
        // SAFETY: as above
        .map_or((), |()| unsafe { end(link_of::<O, N>(ev)) })
}

/// The handler of write events.
unsafe extern "C" fn on_writable<O: Owner<N>, const N: usize>(ev: *mut ngx_event_t) {
    // SAFETY: as above
    guarded(Flow::Break(()), || unsafe { handle::<O, N>(ev, O::writable) })
        .break_value()
        // SAFETY: as above
        .map_or((), |()| unsafe { end(link_of::<O, N>(ev)) })
}

/// # Safety
/// `ev` is an event of a connection that `hand_over` has adopted.
#[inline]
unsafe fn handle<O: Owner<N>, const N: usize>(
    ev: *mut ngx_event_t,
    part: impl FnOnce(&mut O, &[Connection; N], usize, &mut Worker) -> Flow,
) -> Flow {
    // SAFETY: by contract; nobody else holds the owner, as whoever works has the turn
    unsafe {
        let Some(mut turn) = Turn::take() else { return later(ev) };
        let Link { connections, owner } = &mut *link_of::<O, N>(ev);
        // the last one where it is none before
        let before = |connection: &&Connection| connection.as_ptr() != (*ev).data.cast();
        let number = connections[..N - 1].iter().take_while(before).count();
        let connection = &connections[number];
        // nginx calls for no event of the socket where it leaves or the timer has fired. It calls the
        // read handler then, and that stands for the other while TLS has to read before it can write
        if let Some(at_once) = connection.take_close() {
            return owner.shutdown(connections, at_once, turn.worker());
        }
        if connection.take_timeout() {
            return owner.timer(connections, turn.worker());
        }
        part(owner, connections, number, turn.worker())
    }
}

/// An owner is at work, and has done something that nginx calls another one for.
///
/// # Safety
/// As of `handle`.
#[cold]
unsafe fn later(ev: *mut ngx_event_t) -> Flow {
    // SAFETY: the event of an open connection; nginx's queue
    unsafe { ngx_post_event(ev, &raw mut ngx_posted_next_events) };
    Flow::Continue(())
}

/// # Safety
/// The owner is alive, and is not used after.
#[cold]
unsafe fn end<O: Owner<N>, const N: usize>(link: *mut Link<O, N>) {
    guarded((), || {
        // SAFETY: by contract; made by Box::into_raw in `adopt`
        let Link { connections, owner } = *unsafe { Box::from_raw(link) };
        owner.end(connections);
    });
}

/// # Safety
/// As of `handle`.
#[inline]
unsafe fn link_of<O, const N: usize>(ev: *mut ngx_event_t) -> *mut Link<O, N> {
    // SAFETY: the data of an event is its connection, whose data is what `hand_over` has made
    unsafe { (*(*ev).data.cast::<ngx_connection_t>()).data.cast() }
}

/// Whether a connection is one of such an owner.
///
/// # Safety
/// `c` is null or an open connection of nginx.
pub(crate) unsafe fn is_owned<O: Owner<N>, const N: usize>(c: *mut ngx_connection_t) -> bool {
    let ours: unsafe extern "C" fn(*mut ngx_event_t) = on_readable::<O, N>;
    // SAFETY: by contract
    let handler: ngx_event_handler_pt = unsafe {
        match Connection::lent(c) {
            Some(connection) if !(*c).read.is_null() => connection.handler(),
            _ => None,
        }
    };
    handler.is_some_and(|handler| std::ptr::fn_addr_eq(handler, ours))
}

/// Runs a part of the life of every owner of this type. Not while one is at work, which has no need
/// to: nothing happens then.
pub fn for_each<O: Owner<N>, const N: usize>(
    part: impl Fn(&mut O, &[Connection; N], &mut Worker) -> Flow,
) {
    // SAFETY: whoever calls it was called by nginx, and has the turn or nobody has. A connection in
    // use has a read event, and where that has our handler, the data is a link, seen here by its
    // first connection. What runs may free connections, so nothing is kept over it.
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
