//! A tunnel: two connections and the session between them.

use std::ops::ControlFlow;

use ngx::ffi::{ngx_current_msec, ngx_exiting};
use websocket_tunnel::{End, Next, Sent, Session, SessionSettings};

use super::balancer::Share;
use super::connection::{Connection, Transfer};
use super::limit::Hold;
use super::wire::{Pending, Wire};
use super::worker::{Random, Worker};
use super::{drain, events, linger, LocationConf};
use crate::glue::zone;
use crate::tunnel_log::Head;
use nginx::bits::Bits;
use nginx::guard::guarded;
use nginx::random::Random;

/// Reads of one end in a row, before other connections have their turn.
pub const ROUNDS: usize = 8;

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
pub type Flow = ControlFlow<()>;

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
        client.set_action(c"tunnelling a WebSocket");
        client.let_tls_writes_move();
        destination.let_tls_writes_move();
        client.set_idle(true);
        let tunnel = Box::new(Self { session, pending, since: now(), parts });
        events::hand_over(tunnel, |tunnel| tunnel.begin(early, worker));
    }

    /// The client's connection and the destination's.
    #[inline]
    pub fn connections(&self) -> [Connection; 2] {
        self.parts.connections
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
    pub fn on_readable(&mut self, end: End, worker: &mut Worker) -> Flow {
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
    pub fn on_writable(&mut self, end: End, worker: &mut Worker) -> Flow {
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
    pub fn drain(&mut self, worker: &mut Worker) -> Flow {
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
    pub fn finish_now(&mut self, worker: &mut Worker) -> Flow {
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
    pub fn close(self: Box<Self>) {
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
        linger::close(client, drain::over_by(times));
    }
}
