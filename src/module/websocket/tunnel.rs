//! A tunnel: two connections and the session between them.

use std::rc::Rc;

use nginx::connection::{Connection, Transfer};
use nginx::lifecycle;
use nginx::owner::{self, Flow, Owner};
use nginx::process::{is_exiting, now};
use nginx::random::Random;
use nginx::share::Share;
use nginx::worker::Worker;
use websocket_tunnel::{End, Next, Sent, Session, SessionSettings};

use super::driver::{Pending, Wire};
use super::limit::Hold;
use super::location_conf::TunnelConf;
use super::{drain, linger};
use crate::module::counting;
use crate::tunnel_log::Head;

/// The number of consecutive reads from one end before other connections have their turn.
pub const ROUNDS: usize = 8;

/// The timer of a tunnel without a deadline, in milliseconds. An exiting worker waits for timers
/// only (`ngx_event_no_timers_left`), so every tunnel has one.
const NEVER: u64 = 24 * 60 * 60 * 1000;

/// What a tunnel takes from its request.
pub struct Parts {
    /// The configuration of the location.
    pub conf: Rc<TunnelConf>,
    /// The connection that the balancer counts.
    pub share: Option<Share>,
    /// The WebSocket that `websocket_limit_conn` counts.
    pub hold: Option<Hold>,
    /// The start of the log entry, if there is a log.
    pub head: Option<Head>,
}

/// The connections of the client and of the upstream.
type Connections = [Connection; 2];

/// A WebSocket after its handshake.
pub struct Tunnel {
    session: Session,
    /// The bytes that sockets have not accepted yet, by the end that they are for. The session
    /// knows whether an end is blocked by them.
    pending: [Option<Box<Pending>>; 2],
    /// When it began.
    since: u64,
    parts: Parts,
}

/// Creates a tunnel. `early` are the bytes that the client and the upstream have sent after the
/// handshake.
pub fn begin(parts: Parts, connections: Connections, early: [&[u8]; 2], worker: &mut Worker) {
    let mut pending = [None, None];
    let mut wire = Wire {
        connections: &connections,
        pending: &mut pending,
        slot: counting::slot(),
        random: &mut worker.random,
    };
    let session = Session::new(&parts.conf.settings, now(), &mut wire);
    counting::slot().counts.opened.add(1);
    let [client, destination] = &connections;
    client.set_action(c"tunnelling a WebSocket");
    client.let_tls_writes_move();
    destination.let_tls_writes_move();
    client.set_idle(true);
    let tunnel = Tunnel { session, pending, since: now(), parts };
    owner::hand_over(tunnel, connections, worker, |tunnel, connections, worker| {
        At { tunnel, connections }.begin(early, worker)
    });
}

/// The process exits now: sends each tunnel's Close frames as far as the sockets accept them.
pub fn finish_all() {
    owner::for_each(|tunnel: &mut Tunnel, connections, worker| {
        let _ = At { tunnel, connections }.finish_now(worker);
        Flow::Break(())
    });
}

/// Plans the close of every tunnel again. It does not become later than already planned.
pub fn drain_all() {
    owner::for_each(|tunnel: &mut Tunnel, connections, worker| {
        At { tunnel, connections }.drain(worker)
    });
}

impl Owner<2> for Tunnel {
    #[inline]
    fn readable(&mut self, connections: &Connections, number: usize, worker: &mut Worker) -> Flow {
        At { tunnel: self, connections }.on_readable(end(number), worker)
    }

    #[inline]
    fn writable(&mut self, connections: &Connections, number: usize, worker: &mut Worker) -> Flow {
        At { tunnel: self, connections }.write_on(end(number), worker)
    }

    #[cold]
    fn timer(&mut self, connections: &Connections, worker: &mut Worker) -> Flow {
        At { tunnel: self, connections }.on_timer(worker)
    }

    #[cold]
    fn shutdown(&mut self, connections: &Connections, at_once: bool, worker: &mut Worker) -> Flow {
        let mut at = At { tunnel: self, connections };
        match at_once {
            true => at.finish_now(worker),
            false => at.drain(worker),
        }
    }

    fn end(self, [client, destination]: Connections) {
        let (summary, duration) = (self.session.summary(), now().saturating_sub(self.since));
        counting::slot().counts.close(&summary, duration);
        let Parts { conf, share, hold, head } = self.parts;
        if let (Some(head), Some(log)) = (&head, &conf.log) {
            log.write(head, duration, &summary);
        }
        drop(destination);
        // not before the connections are closed: both count open connections
        drop((share, hold));
        client.delete_timers();
        client.set_idle(false);
        linger::close(client, drain::over_by(conf.drain));
    }
}

#[inline]
fn end(number: usize) -> End {
    match number {
        0 => End::Client,
        _ => End::Destination,
    }
}

/// A tunnel and its connections, during a call.
struct At<'a> {
    tunnel: &'a mut Tunnel,
    connections: &'a Connections,
}

impl At<'_> {
    fn begin(&mut self, early: [&[u8]; 2], worker: &mut Worker) -> Flow {
        self.set_timer();
        for end in End::BOTH {
            let bytes = early[end as usize];
            for chunk in bytes.chunks(worker.scratch.len()) {
                self.pass(end, chunk, &mut worker.random)?;
            }
        }
        if is_exiting() {
            self.drain(worker)?;
        }
        for end in End::BOTH {
            self.or_error(end, self.connection(end).wait_writable(), worker)?;
            self.pump(end, worker)?;
        }
        Flow::Continue(())
    }

    #[inline]
    fn connection(&self, end: End) -> &Connection {
        &self.connections[end as usize]
    }

    /// `end` may have bytes to read.
    #[inline]
    fn on_readable(&mut self, end: End, worker: &mut Worker) -> Flow {
        if self.tunnel.session.is_blocked(end.peer()) {
            return self.on_unread(end, worker);
        }
        self.pump(end, worker)
    }

    /// `end` may have bytes to read while the other end is blocked.
    #[cold]
    fn on_unread(&mut self, end: End, worker: &mut Worker) -> Flow {
        if self.connection(end).reads_by_writing() {
            // a read would make nginx restore the write event, but nothing is read now
            self.write_on(end, worker)?;
        }
        self.pump(end, worker)
    }

    /// Writes the pending bytes for `end`, if there are any.
    #[inline]
    fn write_on(&mut self, end: End, worker: &mut Worker) -> Flow {
        if self.tunnel.session.is_blocked(end) {
            return self.flush(end, worker);
        }
        self.or_error(end, self.connection(end).wait_writable(), worker)
    }

    /// Reads from `from` and passes the bytes on, until there are no more, the other end is
    /// blocked, or other connections must have their turn.
    #[inline]
    fn pump(&mut self, from: End, worker: &mut Worker) -> Flow {
        let connection = &self.connections[from as usize];
        for _ in 0..ROUNDS {
            if self.tunnel.session.is_blocked(from.peer()) {
                return self.or_error(from, connection.wait_readable(), worker);
            }
            if !connection.is_readable() {
                if self.tunnel.session.is_last(from) {
                    // nginx may not know yet of all bytes that have arrived
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

    /// A read from `from` has returned the end of the stream.
    #[cold]
    fn on_eof(&mut self, from: End, worker: &mut Worker) -> Flow {
        self.act(worker, |session, _, wire| session.on_eof(from, now(), wire))
    }

    /// A read from `from` has returned no bytes.
    #[cold]
    fn on_nothing(&mut self, from: End, worker: &mut Worker) -> Flow {
        if !self.tunnel.session.is_last(from) {
            return Flow::Continue(());
        }
        self.act(worker, |session, _, wire| session.on_rest(from, now(), wire))
    }

    /// Writes the pending bytes for `to`.
    #[cold]
    fn flush(&mut self, to: End, worker: &mut Worker) -> Flow {
        let connection = &self.connections[to as usize];
        let mut sent = match &mut self.tunnel.pending[to as usize] {
            Some(pending) => pending.write_to(connection),
            None => Sent::Written,
        };
        if sent == Sent::Written {
            self.tunnel.pending[to as usize] = None;
        }
        if sent != Sent::Failed && !connection.wait_writable() {
            sent = Sent::Failed;
        }
        self.act(worker, |session, _, wire| session.on_sent(to, sent, now(), wire))?;
        if self.tunnel.session.is_blocked(to) {
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

    /// The worker is exiting.
    #[cold]
    fn drain(&mut self, worker: &mut Worker) -> Flow {
        counting::slot().set_draining();
        let times = self.tunnel.parts.conf.drain;
        let leaving = lifecycle::begin_leaving();
        let Some(drain) = drain::plan(times, leaving, now(), &mut worker.random) else {
            return Flow::Continue(());
        };
        let next = self.tunnel.session.begin_drain(&drain);
        self.follow(next)
    }

    /// The process exits, or the time for its shutdown has expired.
    #[cold]
    fn finish_now(&mut self, worker: &mut Worker) -> Flow {
        self.act(worker, |session, _, wire| session.finish_now(now(), wire))
    }

    /// Bytes have arrived from `from`.
    #[inline]
    fn pass(&mut self, from: End, chunk: &[u8], random: &mut Random) -> Flow {
        self.act_with(random, |session, settings, wire| {
            session.on_bytes(settings, from, chunk, now(), wire)
        })
    }

    /// Reports to the session an operation that has failed on the connection of `end`.
    #[inline]
    fn or_error(&mut self, end: End, ok: bool, worker: &mut Worker) -> Flow {
        if ok {
            return Flow::Continue(());
        }
        self.on_error(end, worker)
    }

    // Separate from the functions that run for each event, like other rare cases.
    #[cold]
    fn on_error(&mut self, end: End, worker: &mut Worker) -> Flow {
        self.act(worker, |session, _, wire| session.on_error(end, now(), wire))
    }

    /// Calls the session and acts on the result.
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
        let Tunnel { session, pending, parts, .. } = &mut *self.tunnel;
        let connections = self.connections;
        let mut wire = Wire { connections, pending, slot: counting::slot(), random };
        match call(session, &parts.conf.settings, &mut wire) {
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
                let is_last = |end: &End| self.tunnel.session.is_last(*end);
                for end in End::BOTH.into_iter().filter(is_last) {
                    self.connection(end).read_later();
                }
            }
            Next::Close => return Flow::Break(()),
        }
        Flow::Continue(())
    }

    /// Sets the timer, unless it expires early enough already: expiring too early is harmless.
    fn set_timer(&mut self) {
        let client = &self.connections[End::Client as usize];
        let settings = &self.tunnel.parts.conf.settings;
        let deadline = self.tunnel.session.deadline(settings).unwrap_or(now() + NEVER);
        if client.timer().is_none_or(|at| at > deadline) {
            client.set_timer(deadline);
        }
    }
}
