//! Where nginx calls tunnels: one by the events of its connections, or all of them.

use ngx::ffi::{ngx_connection_t, ngx_event_handler_pt, ngx_event_t};
use websocket_tunnel::End;

use super::connection::Connection;
use super::linger::on_linger;
use super::tunnel::{Flow, Tunnel};
use super::worker::Worker;
use crate::guard::guarded;

/// Gives a tunnel to nginx, which calls it with what happens to its connections until it ends.
/// `first` is the first part of its life.
pub fn hand_over(tunnel: Box<Tunnel>, first: impl FnOnce(&mut Tunnel) -> Flow) {
    let connections = tunnel.connections();
    let tunnel = Box::into_raw(tunnel);
    for connection in connections {
        connection.adopt(tunnel.cast(), Some(on_readable), Some(on_writable));
    }
    // SAFETY: made above; what runs may end it, so it is not used after
    unsafe { run(tunnel, first) };
}

/// Runs a part of a tunnel's life, and ends the tunnel where that says so or panics: a fault of
/// ours costs one tunnel, not the worker.
///
/// # Safety
/// `tunnel` came from `hand_over`, is alive, and is not used by the caller after.
unsafe fn run(tunnel: *mut Tunnel, part: impl FnOnce(&mut Tunnel) -> Flow) {
    // SAFETY: alive and exclusive by contract
    if guarded(Flow::Break(()), || part(unsafe { &mut *tunnel })).is_continue() {
        return;
    }
    // SAFETY: made by Box::into_raw in `hand_over`; both connections forget it in `close`
    unsafe { Box::from_raw(tunnel) }.close();
}

/// The handler of read events, and of all that nginx reports as one. Here and below, one guard for
/// what happens on each event, and another for the end, which is rare: a second one around both would
/// cost every message.
unsafe extern "C" fn on_readable(ev: *mut ngx_event_t) {
    // SAFETY: nginx passes an event of a connection that `hand_over` has adopted; where the
    // tunnel is to end, it is still there
    guarded(Flow::Break(()), || unsafe { handle(ev, Tunnel::on_readable) })
        .break_value()
        // SAFETY: as above
        .map_or((), |()| unsafe { end(ev) })
}

/// The handler of write events.
unsafe extern "C" fn on_writable(ev: *mut ngx_event_t) {
    // SAFETY: as above
    guarded(Flow::Break(()), || unsafe { handle(ev, Tunnel::on_writable) })
        .break_value()
        // SAFETY: as above
        .map_or((), |()| unsafe { end(ev) })
}

/// # Safety
/// `ev` is an event of a connection of a tunnel.
#[inline]
unsafe fn handle(
    ev: *mut ngx_event_t,
    part: impl FnOnce(&mut Tunnel, End, &mut Worker) -> Flow,
) -> Flow {
    // SAFETY: by contract; the worker's state is taken here alone, and nobody else holds the tunnel
    unsafe {
        let tunnel = &mut *tunnel_of(ev);
        let [client, _] = tunnel.connections();
        let is_client = client.as_ptr() == (*ev).data.cast();
        let end = if is_client { End::Client } else { End::Destination };
        let Some(worker) = Worker::get() else { return Flow::Continue(()) };
        part(tunnel, end, worker)
    }
}

/// Ends a tunnel.
///
/// # Safety
/// As of `handle`; the tunnel is not used after.
#[cold]
unsafe fn end(ev: *mut ngx_event_t) {
    // SAFETY: by contract; made by Box::into_raw in `hand_over`
    guarded((), || unsafe { Box::from_raw(tunnel_of(ev)) }.close());
}

/// # Safety
/// As of `handle`.
#[inline]
unsafe fn tunnel_of(ev: *mut ngx_event_t) -> *mut Tunnel {
    // SAFETY: the data of an event is its connection, whose data is the tunnel (`hand_over`)
    unsafe { (*(*ev).data.cast::<ngx_connection_t>()).data.cast() }
}

/// The process ends at once: every tunnel gets what can be written of its Closes.
///
/// # Safety
/// Called from nginx's `exit_process`.
pub unsafe fn finish_all() {
    // SAFETY: the caller's
    unsafe {
        for_each(|tunnel, worker| {
            let _ = tunnel.finish_now(worker);
            Flow::Break(())
        });
    }
}

/// Plans the end of every tunnel anew; none comes later than it was planned.
///
/// # Safety
/// Called by the handler of an event that is not a tunnel's.
pub unsafe fn drain_all() {
    // SAFETY: the caller's
    unsafe { for_each(Tunnel::drain) };
}

/// Whether a connection is one end of a tunnel, or a client's after it.
///
/// # Safety
/// `c` is an open connection of nginx.
pub unsafe fn is_tunnel(c: *const ngx_connection_t) -> bool {
    let ours: [unsafe extern "C" fn(*mut ngx_event_t); 2] = [on_readable, on_linger];
    let is_ours = |handler: ngx_event_handler_pt| {
        handler.is_some_and(|handler| ours.iter().any(|ours| std::ptr::fn_addr_eq(handler, *ours)))
    };
    // SAFETY: by contract; an open connection has a read event, and null or its state of TLS, which
    // takes the place of the handler while a write has to wait for a read
    unsafe {
        (*c).read.as_ref().is_some_and(|read| is_ours(read.handler))
            || (*c).ssl.as_ref().is_some_and(|ssl| is_ours(ssl.saved_read_handler))
    }
}

/// Runs a part of every tunnel's life.
///
/// # Safety
/// No tunnel is at work.
unsafe fn for_each(part: impl Fn(&mut Tunnel, &mut Worker) -> Flow) {
    let ours: unsafe extern "C" fn(*mut ngx_event_t) = on_readable;
    // SAFETY: the caller's; a connection in use has a read event, and where that has our handler,
    // the data is a tunnel, seen here by its client's connection. What runs may free connections,
    // so nothing is kept over it.
    unsafe {
        let Some((connections, count)) = Worker::get().map(|worker| worker.connections) else {
            return;
        };
        for index in 0..count {
            let c = connections.add(index);
            if (*c).fd == -1 {
                continue;
            }
            let handler = match Connection::from_ptr(c) {
                Some(connection) if !(*c).read.is_null() => connection.handler(),
                _ => None,
            };
            if !handler.is_some_and(|handler| std::ptr::fn_addr_eq(handler, ours)) {
                continue;
            }
            let tunnel = (*c).data.cast::<Tunnel>();
            let [client, _] = (*tunnel).connections();
            if let (true, Some(worker)) = (client.as_ptr() == c, Worker::get()) {
                run(tunnel, |tunnel| part(tunnel, worker));
            }
        }
    }
}
