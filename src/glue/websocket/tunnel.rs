//! A tunnel: two connections and the session between them.

use std::ops::ControlFlow;
use std::ptr::null_mut;

use ngx::ffi::{ngx_connection_t, ngx_event_handler_pt, ngx_event_t, ngx_exiting};
use websocket_tunnel::{End, Next, Session, Settings};

use super::balancer::Share;
use super::connection::{Connection, Io};
use super::drain;
use super::limit::Hold;
use super::wire::{Pending, Wire};
use super::worker::Worker;
use super::LocationConf;
use crate::glue::zone;
use crate::tunnel_log::Head;
use nginx::bits::Bits;
use nginx::guard::guarded;
use nginx::random::Random;

/// Reads of one end in a row, before other connections have their turn.
const ROUNDS: usize = 8;

/// How long bytes of a client are waited for, and dropped, after the tunnel: a socket that is
/// closed with bytes unread resets the connection and takes what the client has not read with it.
const LINGER: u64 = 5_000;

/// A timer for tunnels without one, in milliseconds: a worker that leaves waits for nothing else
/// (`ngx_event_no_timers_left`).
const NEVER: u64 = 24 * 60 * 60 * 1000;

/// What a request leaves to its tunnel.
pub struct Parts {
    /// The client's connection and the destination's, which nobody else handles any more.
    pub connections: [Connection; 2],
    /// The configuration; it lives as long as the connections, see [`LocationConf`].
    pub conf: *const LocationConf,
    /// What the balancer counts.
    pub share: Option<Share>,
    /// What `websocket_limit_conn` counts.
    pub hold: Option<Hold>,
    /// What the line in the log begins with, where there is a log.
    pub head: Option<Head>,
}

/// A WebSocket after its handshake.
pub struct Tunnel {
    session: Session,
    /// By the end they go to; while there are any, nothing is read from the other end.
    pending: [Option<Box<Pending>>; 2],
    /// When it began.
    since: u64,
    parts: Parts,
}

/// Goes on, or ends the tunnel.
type Flow = ControlFlow<()>;

pub use nginx::process::now;

impl Tunnel {
    /// Makes a tunnel. `early` is what came from the client and from the destination behind the
    /// handshake.
    pub fn start(parts: Parts, early: [&[u8]; 2], worker: &mut Worker) {
        let mut pending = [None, None];
        let mut wire = Wire {
            chunk: &[],
            connections: parts.connections,
            pending: &mut pending,
            slot: zone::slot(),
            random: &mut worker.random,
            failed: [false; 2],
        };
        // SAFETY: as in `settings`
        let settings = unsafe { &(*parts.conf).settings };
        let session = Session::new(settings, now(), &mut wire);
        zone::slot().counts.opened.add(1);
        let [client, destination] = parts.connections;
        let tunnel = Box::into_raw(Box::new(Self { session, pending, since: now(), parts }));
        client.adopt(tunnel.cast(), Some(on_event));
        destination.adopt(tunnel.cast(), Some(on_event));
        client.set_action(c"tunnelling a WebSocket");
        client.let_tls_writes_move();
        destination.let_tls_writes_move();
        client.set_idle(true);

        // SAFETY: made above; what runs may end it, so it is not used after
        unsafe { run(tunnel, |tunnel| tunnel.begin(early, worker)) };
    }

    fn begin(&mut self, early: [&[u8]; 2], worker: &mut Worker) -> Flow {
        self.set_timer();
        for end in End::BOTH {
            let bytes = early[end as usize];
            for chunk in bytes.chunks(worker.scratch.len()) {
                self.act(worker, Some(chunk), |session, settings, chunk, wire| {
                    session.on_bytes(settings, end, chunk, now(), wire)
                })?;
            }
        }
        // SAFETY: a global of nginx
        if unsafe { ngx_exiting } != 0 {
            self.drain(worker)?;
        }
        for end in End::BOTH {
            self.or_error(end, self.parts.connections[end as usize].wait_writable(), worker)?;
            self.pump(end, worker)?;
        }
        Flow::Continue(())
    }

    fn settings(&self) -> &Settings {
        // SAFETY: the configuration lives as long as its connections, see `LocationConf`
        unsafe { &(*self.parts.conf).settings }
    }

    /// Something happened to the connection of `end`.
    fn on_event(&mut self, end: End, write: bool, worker: &mut Worker) -> Flow {
        let connection = self.parts.connections[end as usize];
        match connection.take_close() {
            Some(true) => {
                return self.act(worker, None, |session, _, _, wire| session.finish_now(wire))
            }
            Some(false) => return self.drain(worker),
            None => {}
        }
        if connection.take_timeout() {
            return self.on_timer(worker);
        }
        if write {
            return self.flush(end, worker);
        }
        if connection.reads_by_writing() && self.pending[end.peer() as usize].is_some() {
            // a read would have nginx give the write event back, but there is none now
            self.flush(end, worker)?;
        }
        self.pump(end, worker)
    }

    /// Reads what `from` has sent and passes it on, until nothing is left, the other end takes no
    /// more, or others want their turn.
    fn pump(&mut self, from: End, worker: &mut Worker) -> Flow {
        let connection = self.parts.connections[from as usize];
        for _ in 0..ROUNDS {
            if self.pending[from.peer() as usize].is_some() {
                return self.or_error(from, connection.wait_readable(), worker);
            }
            if !connection.is_readable() {
                if self.session.is_last(from) {
                    // nginx may not have heard of all that is there
                    break;
                }
                return self.or_error(from, connection.wait_readable(), worker);
            }
            match connection.recv(&mut worker.scratch) {
                Io::Bytes(n) => self.act_on_scratch(worker, n, from)?,
                Io::Again if self.session.is_last(from) => {
                    self.act(worker, None, |session, _, _, io| session.on_rest(from, now(), io))?;
                    return self.or_error(from, connection.wait_readable(), worker);
                }
                Io::Again => return self.or_error(from, connection.wait_readable(), worker),
                Io::Eof => {
                    self.or_error(from, connection.wait_readable(), worker)?;
                    return self.act(worker, None, |session, _, _, wire| {
                        session.on_eof(from, now(), wire)
                    });
                }
                Io::Error => return self.or_error(from, false, worker),
            }
        }
        connection.read_later();
        Flow::Continue(())
    }

    fn act_on_scratch(&mut self, worker: &mut Worker, n: usize, from: End) -> Flow {
        let Worker { scratch, random, .. } = worker;
        let chunk = scratch.get(..n).unwrap_or_default();
        self.act_with(random, chunk, |session, settings, chunk, wire| {
            session.on_bytes(settings, from, chunk, now(), wire)
        })
    }

    /// Writes what waits for `to`.
    fn flush(&mut self, to: End, worker: &mut Worker) -> Flow {
        let connection = self.parts.connections[to as usize];
        let Some(pending) = &mut self.pending[to as usize] else {
            return self.or_error(to, connection.wait_writable(), worker);
        };
        while !pending.rest().is_empty() {
            match connection.send(pending.rest()) {
                Io::Bytes(n) => pending.advance(n),
                Io::Again => {
                    self.session.on_progress(to, now());
                    if connection.wait_writable() {
                        return Flow::Continue(());
                    }
                    return self.drop_pending(to, worker);
                }
                Io::Eof | Io::Error => return self.drop_pending(to, worker),
            }
        }
        self.pending[to as usize] = None;
        self.or_error(to, connection.wait_writable(), worker)?;
        let next = self.session.on_drained(to, now());
        self.follow(next)?;
        self.pump(to.peer(), worker)
    }

    /// What waits for `to` cannot be written.
    fn drop_pending(&mut self, to: End, worker: &mut Worker) -> Flow {
        self.pending[to as usize] = None;
        let next = self.session.on_unwritable(to);
        self.follow(next)?;
        self.pump(to.peer(), worker)
    }

    fn on_timer(&mut self, worker: &mut Worker) -> Flow {
        self.act(worker, None, |session, settings, _, wire| {
            session.on_timer(settings, now(), wire)
        })?;
        self.set_timer();
        Flow::Continue(())
    }

    /// The worker is leaving.
    fn drain(&mut self, worker: &mut Worker) -> Flow {
        // SAFETY: as in `settings`
        let drain = unsafe { (*self.parts.conf).drain };
        zone::slot().set_draining();
        let Some(drain) = drain::plan(drain, now(), &mut worker.random) else {
            return Flow::Continue(());
        };
        let next = self.session.begin_drain(&drain);
        self.follow(next)
    }

    /// Calls the session with `chunk`, and sees to what came of it.
    fn act(
        &mut self,
        worker: &mut Worker,
        chunk: Option<&[u8]>,
        call: impl FnOnce(&mut Session, &Settings, &[u8], &mut Wire) -> Next,
    ) -> Flow {
        self.act_with(&mut worker.random, chunk.unwrap_or_default(), call)
    }

    #[inline]
    fn act_with(
        &mut self,
        random: &mut Random,
        chunk: &[u8],
        call: impl FnOnce(&mut Session, &Settings, &[u8], &mut Wire) -> Next,
    ) -> Flow {
        // SAFETY: as in `settings`, without borrowing the tunnel
        let settings = unsafe { &(*self.parts.conf).settings };
        let mut wire = Wire {
            chunk,
            connections: self.parts.connections,
            pending: &mut self.pending,
            slot: zone::slot(),
            random,
            failed: [false; 2],
        };
        let next = call(&mut self.session, settings, chunk, &mut wire);
        let is_written = wire.pending.iter().all(Option::is_none) && wire.failed == [false; 2];
        if is_written {
            return self.follow(next);
        }
        let told = End::BOTH.map(|end| after_sends(&mut self.session, end, &mut wire));
        self.follow(next)?;
        told.into_iter().try_for_each(|next| self.follow(next))
    }

    #[inline]
    fn follow(&mut self, next: Next) -> Flow {
        match next {
            Next::Keep => Flow::Continue(()),
            Next::Timer => {
                self.set_timer();
                Flow::Continue(())
            }
            Next::Rest(end) => {
                self.set_timer();
                self.parts.connections[end as usize].read_later();
                Flow::Continue(())
            }
            Next::Close => Flow::Break(()),
        }
    }

    /// Sets the timer, unless it fires early enough as it is: firing too early is harmless.
    fn set_timer(&mut self) {
        let client = self.parts.connections[End::Client as usize];
        let deadline = self.session.deadline(self.settings()).unwrap_or(now() + NEVER);
        if client.timer().is_none_or(|at| at > deadline) {
            client.set_timer(deadline);
        }
    }

    /// Tells the session where an operation on the connection of `end` has failed.
    fn or_error(&mut self, end: End, ok: bool, worker: &mut Worker) -> Flow {
        if ok {
            return Flow::Continue(());
        }
        self.act(worker, None, |session, _, _, io| session.on_error(end, now(), io))
    }

    /// Closes both connections.
    fn close(self: Box<Self>) {
        let (summary, duration) = (self.session.summary(), now().saturating_sub(self.since));
        zone::slot().counts.close(&summary, duration);
        // SAFETY: as in `settings`
        if let (Some(head), Some(log)) = (&self.parts.head, unsafe { &(*self.parts.conf).log }) {
            log.write(head, duration, &summary);
        }
        let Parts { connections: [client, destination], share, hold, .. } = self.parts;
        destination.close_destination();
        // not before: what they count is open connections
        drop((share, hold));
        client.delete_timers();
        client.set_idle(false);
        // SAFETY: as in `settings`
        let times = unsafe { (*self.parts.conf).drain };
        let until = drain::over_by(times).map_or(now() + LINGER, |end| end.min(now() + LINGER));
        if client.can_linger() && until > now() {
            linger(client, until);
        } else {
            client.close_client();
        }
    }
}

/// Tells the session what has become of all that was sent towards `end`, where that was not just
/// written.
fn after_sends(session: &mut Session, end: End, wire: &mut Wire) -> Next {
    let at = end as usize;
    let kept = wire.pending[at].is_some();
    let failed = wire.failed[at] || (kept && !wire.connections[at].wait_writable());
    if failed || session.is_deaf(end) {
        wire.pending[at] = None;
    }
    match wire.pending[at] {
        _ if failed => session.on_unwritable(end),
        Some(_) => session.on_blocked(end, now(), wire),
        None => Next::Keep,
    }
}

/// Runs a part of a tunnel's life, and ends the tunnel where that says so or panics: a fault of
/// ours costs one tunnel, not the worker.
///
/// # Safety
/// `tunnel` came from `Tunnel::start`, is alive, and is not used by the caller after.
unsafe fn run(tunnel: *mut Tunnel, part: impl FnOnce(&mut Tunnel) -> Flow) {
    // SAFETY: alive and exclusive by contract
    if guarded(Flow::Break(()), || part(unsafe { &mut *tunnel })).is_continue() {
        return;
    }
    // SAFETY: made by Box::into_raw in `start`; both connections forget it in `close`
    unsafe { Box::from_raw(tunnel) }.close();
}

/// The handler of both connections of a tunnel.
unsafe extern "C" fn on_event(ev: *mut ngx_event_t) {
    // SAFETY: nginx passes an event of a connection that `Tunnel::start` has adopted; where the
    // tunnel is to end, it is still there. One guard for what happens on each event, and another
    // for the end, which is rare: a second one around both would cost every message.
    guarded(Flow::Break(()), || unsafe { handle(ev) })
        .break_value()
        .map_or((), |()| guarded((), || unsafe { Box::from_raw(tunnel_of(ev)) }.close()))
}

/// # Safety
/// `ev` is an event of a connection of a tunnel.
unsafe fn tunnel_of(ev: *mut ngx_event_t) -> *mut Tunnel {
    // SAFETY: the data of an event is its connection, whose data is the tunnel (`Tunnel::start`)
    unsafe { (*(*ev).data.cast::<ngx_connection_t>()).data.cast() }
}

/// # Safety
/// As of `tunnel_of`.
unsafe fn handle(ev: *mut ngx_event_t) -> Flow {
    // SAFETY: by contract; the worker's state is taken here alone, and nobody else holds the tunnel
    unsafe {
        let (tunnel, write) = (&mut *tunnel_of(ev), (*ev).bits().write() != 0);
        let is_client =
            tunnel.parts.connections[End::Client as usize].as_ptr() == (*ev).data.cast();
        let end = if is_client { End::Client } else { End::Destination };
        let Some(worker) = Worker::get() else { return Flow::Continue(()) };
        tunnel.on_event(end, write, worker)
    }
}

/// Waits a while for the client to have read all (`ngx_http_set_lingering_close`).
fn linger(client: Connection, until: u64) {
    client.end_tls();
    client.adopt(null_mut(), Some(on_linger));
    client.set_idle(true);
    client.set_timer(until);
    client.shut_down_sending();
    client.read_later();
}

unsafe extern "C" fn on_linger(ev: *mut ngx_event_t) {
    // SAFETY: nginx passes an event of the connection that `linger` has adopted
    guarded((), || unsafe { read_on(ev) })
}

/// # Safety
/// `ev` is such an event.
unsafe fn read_on(ev: *mut ngx_event_t) {
    // SAFETY: nginx passes an event of the connection that `linger` has adopted
    let client = unsafe { Connection::from_ptr((*ev).data.cast()) };
    // SAFETY: taken here alone
    let (Some(client), Some(worker)) = (client, unsafe { Worker::get() }) else { return };
    if client.take_close().is_none() && !client.take_timeout() && client.wait_writable() {
        for _ in 0..ROUNDS {
            match client.recv(&mut worker.scratch) {
                Io::Bytes(_) => {}
                Io::Again if client.wait_readable() => return,
                _ => return client.close_client(),
            }
        }
        return client.read_later();
    }
    client.close_client();
}

/// The process ends at once: every tunnel gets what can be written of its Closes.
pub fn finish_all() {
    // SAFETY: nginx calls `exit_process`, and no tunnel is at work
    unsafe {
        for_each(|tunnel, worker| {
            let _ = tunnel.act(worker, None, |session, _, _, wire| session.finish_now(wire));
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
    let ours: [unsafe extern "C" fn(*mut ngx_event_t); 2] = [on_event, on_linger];
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
    let ours: unsafe extern "C" fn(*mut ngx_event_t) = on_event;
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
            let is_client = (*tunnel).parts.connections[End::Client as usize].as_ptr() == c;
            if let (true, Some(worker)) = (is_client, Worker::get()) {
                run(tunnel, |tunnel| part(tunnel, worker));
            }
        }
    }
}
