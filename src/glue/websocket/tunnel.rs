//! A tunnel: two connections and the session between them.

use std::ops::ControlFlow;
use std::ptr::null_mut;

use ngx::ffi::{
    ngx_connection_t, ngx_current_msec, ngx_event_handler_pt, ngx_event_t, ngx_exiting,
};
use websocket_tunnel::{End, Next, Sent, Session, SessionSettings};

use super::balancer::Share;
use super::connection::{Connection, Transfer};
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

impl Parts {
    fn conf(&self) -> &LocationConf {
        // SAFETY: it lives as long as the connections, which are open as long as there are parts
        unsafe { &*self.conf }
    }
}

/// A WebSocket after its handshake.
pub struct Tunnel {
    session: Session,
    /// What sockets have not taken yet, by the end it goes to. Whether an end is blocked for it, the
    /// session knows.
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
            connections: &parts.connections,
            pending: &mut pending,
            slot: zone::slot(),
            random: &mut worker.random,
        };
        let session = Session::new(&parts.conf().settings, now(), &mut wire);
        zone::slot().counts.opened.add(1);
        let [client, destination] = parts.connections;
        let tunnel = Box::into_raw(Box::new(Self { session, pending, since: now(), parts }));
        client.adopt(tunnel.cast(), Some(on_readable), Some(on_writable));
        destination.adopt(tunnel.cast(), Some(on_readable), Some(on_writable));
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
                self.pass(end, chunk, &mut worker.random)?;
            }
        }
        // SAFETY: a global of nginx
        if unsafe { ngx_exiting } != 0 {
            self.drain(worker)?;
        }
        for end in End::BOTH {
            self.or_error(end, self.connection(end).wait_writable(), worker)?;
            self.pump(end, worker)?;
        }
        Flow::Continue(())
    }

    #[inline]
    fn connection(&self, end: End) -> Connection {
        self.parts.connections[end as usize]
    }

    /// There may be something to read of `end`.
    #[inline]
    fn on_readable(&mut self, end: End, worker: &mut Worker) -> Flow {
        if let Some(flow) = self.on_request(end, worker) {
            return flow;
        }
        if self.session.is_blocked(end.peer()) {
            return self.on_unread(end, worker);
        }
        self.pump(end, worker)
    }

    /// The socket of `end` may take bytes again.
    #[inline]
    fn on_writable(&mut self, end: End, worker: &mut Worker) -> Flow {
        match self.on_request(end, worker) {
            Some(flow) => flow,
            None => self.write_on(end, worker),
        }
    }

    /// There may be something to read of `end`, and the other one takes nothing now.
    #[cold]
    fn on_unread(&mut self, end: End, worker: &mut Worker) -> Flow {
        if self.connection(end).reads_by_writing() {
            // a read would have nginx give the write event back, but there is none now
            self.write_on(end, worker)?;
        }
        self.pump(end, worker)
    }

    /// Does what nginx wants where it calls for no event of the socket: it is leaving, or the timer
    /// has fired. It calls the read handler then, and that stands for the other while TLS has to
    /// read before it can write.
    #[inline]
    fn on_request(&mut self, end: End, worker: &mut Worker) -> Option<Flow> {
        let connection = self.connection(end);
        match connection.take_close() {
            Some(true) => return Some(self.finish_now(worker)),
            Some(false) => return Some(self.drain(worker)),
            None => {}
        }
        connection.take_timeout().then(|| self.on_timer(worker))
    }

    /// Writes what waits for `end`, if anything does.
    #[inline]
    fn write_on(&mut self, end: End, worker: &mut Worker) -> Flow {
        if self.session.is_blocked(end) {
            return self.flush(end, worker);
        }
        self.or_error(end, self.connection(end).wait_writable(), worker)
    }

    /// Reads what `from` has sent and passes it on, until nothing is left, the other end takes no
    /// more, or others want their turn.
    #[inline]
    fn pump(&mut self, from: End, worker: &mut Worker) -> Flow {
        let connection = self.connection(from);
        for _ in 0..ROUNDS {
            if self.session.is_blocked(from.peer()) {
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
                Transfer::Bytes(n) => {
                    let chunk = worker.scratch.get(..n).unwrap_or_default();
                    self.pass(from, chunk, &mut worker.random)?;
                }
                Transfer::Again => {
                    self.or_error(from, connection.wait_readable(), worker)?;
                    return self.on_nothing(from, worker);
                }
                Transfer::Eof => {
                    self.or_error(from, connection.wait_readable(), worker)?;
                    return self.on_eof(from, worker);
                }
                Transfer::Error => return self.on_error(from, worker),
            }
        }
        connection.read_later();
        Flow::Continue(())
    }

    /// A read of `from` has found the end.
    #[cold]
    fn on_eof(&mut self, from: End, worker: &mut Worker) -> Flow {
        self.act(worker, |session, _, wire| session.on_eof(from, now(), wire))
    }

    /// A read of `from` has found nothing.
    #[cold]
    fn on_nothing(&mut self, from: End, worker: &mut Worker) -> Flow {
        if !self.session.is_last(from) {
            return Flow::Continue(());
        }
        self.act(worker, |session, _, wire| session.on_rest(from, now(), wire))
    }

    /// Writes what waits for `to`.
    #[cold]
    fn flush(&mut self, to: End, worker: &mut Worker) -> Flow {
        let connection = self.connection(to);
        let mut sent = match &mut self.pending[to as usize] {
            Some(pending) => pending.write_to(connection),
            None => Sent::Written,
        };
        if sent == Sent::Written {
            self.pending[to as usize] = None;
        }
        if sent != Sent::Failed && !connection.wait_writable() {
            sent = Sent::Failed;
        }
        self.act(worker, |session, _, wire| session.on_sent(to, sent, now(), wire))?;
        if self.session.is_blocked(to) {
            return Flow::Continue(());
        }
        self.pump(to.peer(), worker)
    }

    #[cold]
    fn on_timer(&mut self, worker: &mut Worker) -> Flow {
        self.act(worker, |session, settings, wire| session.on_timer(settings, now(), wire))?;
        self.set_timer();
        Flow::Continue(())
    }

    /// The worker is leaving.
    #[cold]
    fn drain(&mut self, worker: &mut Worker) -> Flow {
        zone::slot().set_draining();
        let times = self.parts.conf().drain;
        let Some(drain) = drain::plan(times, now(), &mut worker.random) else {
            return Flow::Continue(());
        };
        let next = self.session.begin_drain(&drain);
        self.follow(next)
    }

    /// The process or the time of a shutdown ends.
    #[cold]
    fn finish_now(&mut self, worker: &mut Worker) -> Flow {
        self.act(worker, |session, _, wire| session.finish_now(now(), wire))
    }

    /// Bytes came from `from`.
    #[inline]
    fn pass(&mut self, from: End, chunk: &[u8], random: &mut Random) -> Flow {
        self.act_with(random, |session, settings, wire| {
            session.on_bytes(settings, from, chunk, now(), wire)
        })
    }

    /// Tells the session where an operation on the connection of `end` has failed.
    #[inline]
    fn or_error(&mut self, end: End, ok: bool, worker: &mut Worker) -> Flow {
        if ok {
            return Flow::Continue(());
        }
        self.on_error(end, worker)
    }

    // Kept out of the functions that each event runs through, as other rare things are.
    #[cold]
    fn on_error(&mut self, end: End, worker: &mut Worker) -> Flow {
        self.act(worker, |session, _, wire| session.on_error(end, now(), wire))
    }

    /// Calls the session, and sees to what came of it.
    fn act(
        &mut self,
        worker: &mut Worker,
        call: impl FnOnce(&mut Session, &SessionSettings, &mut Wire) -> Next,
    ) -> Flow {
        self.act_with(&mut worker.random, call)
    }

    #[inline]
    fn act_with(
        &mut self,
        random: &mut Random,
        call: impl FnOnce(&mut Session, &SessionSettings, &mut Wire) -> Next,
    ) -> Flow {
        let Self { session, pending, parts, .. } = self;
        let connections = &parts.connections;
        let mut wire = Wire { connections, pending, slot: zone::slot(), random };
        match call(session, &parts.conf().settings, &mut wire) {
            Next::Keep => Flow::Continue(()),
            next => self.follow(next),
        }
    }

    fn follow(&mut self, next: Next) -> Flow {
        match next {
            Next::Keep => {}
            Next::Timer => self.set_timer(),
            Next::Rest => {
                self.set_timer();
                let is_last = |end: &End| self.session.is_last(*end);
                for end in End::BOTH.into_iter().filter(is_last) {
                    self.connection(end).read_later();
                }
            }
            Next::Close => return Flow::Break(()),
        }
        Flow::Continue(())
    }

    /// Sets the timer, unless it fires early enough as it is: firing too early is harmless.
    fn set_timer(&mut self) {
        let client = self.connection(End::Client);
        let settings = &self.parts.conf().settings;
        let deadline = self.session.deadline(settings).unwrap_or(now() + NEVER);
        if client.timer().is_none_or(|at| at > deadline) {
            client.set_timer(deadline);
        }
    }

    /// Closes both connections.
    fn close(self: Box<Self>) {
        let (summary, duration) = (self.session.summary(), now().saturating_sub(self.since));
        zone::slot().counts.close(&summary, duration);
        let (log, times) = (self.parts.conf().log, self.parts.conf().drain);
        if let (Some(head), Some(log)) = (&self.parts.head, log) {
            log.write(head, duration, &summary);
        }
        let Parts { connections: [client, destination], share, hold, .. } = self.parts;
        destination.close_destination();
        // not before: what they count is open connections
        drop((share, hold));
        client.delete_timers();
        client.set_idle(false);
        let until = drain::over_by(times).map_or(now() + LINGER, |end| end.min(now() + LINGER));
        if client.can_linger() && until > now() {
            linger(client, until);
        } else {
            client.close_client();
        }
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

/// The handler of read events, and of all that nginx reports as one. Here and below, one guard for
/// what happens on each event, and another for the end, which is rare: a second one around both would
/// cost every message.
unsafe extern "C" fn on_readable(ev: *mut ngx_event_t) {
    // SAFETY: nginx passes an event of a connection that `Tunnel::start` has adopted; where the
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
        let is_client = tunnel.connection(End::Client).as_ptr() == (*ev).data.cast();
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
    // SAFETY: by contract; made by Box::into_raw in `start`
    guarded((), || unsafe { Box::from_raw(tunnel_of(ev)) }.close());
}

/// # Safety
/// As of `handle`.
#[inline]
unsafe fn tunnel_of(ev: *mut ngx_event_t) -> *mut Tunnel {
    // SAFETY: the data of an event is its connection, whose data is the tunnel (`Tunnel::start`)
    unsafe { (*(*ev).data.cast::<ngx_connection_t>()).data.cast() }
}

/// Waits a while for the client to have read all (`ngx_http_set_lingering_close`).
fn linger(client: Connection, until: u64) {
    client.end_tls();
    client.adopt(null_mut(), Some(on_linger), Some(on_linger));
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
                Transfer::Bytes(_) => {}
                Transfer::Again if client.wait_readable() => return,
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
            let is_client = (*tunnel).parts.connections[End::Client as usize].as_ptr() == c;
            if let (true, Some(worker)) = (is_client, Worker::get()) {
                run(tunnel, |tunnel| part(tunnel, worker));
            }
        }
    }
}
