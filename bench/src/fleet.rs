//! The client connections of one process: opened a few at a time, then used in rounds.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::mpsc::Receiver;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};

use crate::control::{self, Order};
use crate::handshake::{Proxy, Request};
use crate::link::{Buffers, End, Link, Outbox, Session};
use crate::stream::Tls;
use crate::tally::{Event, Line, Tally};

const WAKER: Token = Token(usize::MAX);

/// Data shared by the sessions of a process.
pub struct Shared {
    /// The PROXY header at the start of each connection.
    pub proxy: Proxy,
    /// The texts of each request.
    pub request: Request,
    /// The results.
    pub tally: Tally,
}

/// The client's side of a protocol.
pub trait Client: Session<Shared = Shared> {
    /// The connection is established.
    fn greet(&mut self, out: &mut Outbox, shared: &mut Shared);

    /// Whether the session is open and waits for rounds.
    fn waits(&self) -> bool;

    /// A round begins.
    fn start(&mut self, out: &mut Outbox, shared: &mut Shared);

    /// A watched socket should send a message.
    fn tick(&mut self, _out: &mut Outbox) {}

    /// Code and time of the Close from the proxy.
    fn farewell(&self) -> Option<(u16, Instant)> {
        None
    }

    /// Messages sent that have not returned.
    fn unanswered(&self) -> u64 {
        0
    }
}

/// The source addresses of connections: by default chosen by the kernel.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Source addresses, each with a range of ports from `first_port`.
    pub addresses: Vec<std::net::IpAddr>,
    /// First port of each address.
    pub first_port: u16,
    /// Number of ports of each address.
    pub ports: u32,
}

impl Sources {
    /// The source of the connection numbered `index`.
    fn of(&self, index: u32) -> Option<SocketAddr> {
        if self.addresses.is_empty() || self.ports == 0 {
            return None;
        }
        let address = self.addresses[(index / self.ports) as usize % self.addresses.len()];
        Some(SocketAddr::new(address, self.first_port + (index % self.ports) as u16))
    }
}

/// The limits of a run.
pub struct Plan {
    /// The proxies, in turn.
    pub targets: Vec<SocketAddr>,
    /// The sources of connections.
    pub sources: Sources,
    /// TLS, after the PROXY header.
    pub tls: Option<Tls>,
    /// How many connections are opened concurrently.
    pub opening: usize,
    /// When the process gives up.
    pub deadline: Instant,
}

/// The connections of one process.
pub struct Fleet<C> {
    plan: Plan,
    poll: Poll,
    waker: Arc<Waker>,
    links: Slab<Entry<C>>,
    buffers: Buffers,
    /// Data shared by the sessions.
    pub shared: Shared,
    opening: usize,
    lost: u64,
    /// Start of a watch: ends of connections are expected, and counted by kind and time.
    watch: Option<Instant>,
    /// Numbers of the watched sockets that have ended.
    ended: Vec<u32>,
}

struct Entry<C> {
    index: u32,
    link: Link<C>,
    connected: bool,
    waits: bool,
}

impl<C: Client> Fleet<C> {
    /// A fleet without connections.
    pub fn new(plan: Plan, shared: Shared) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Self {
            plan,
            poll,
            waker,
            links: Slab::new(),
            buffers: Buffers::default(),
            shared,
            opening: 0,
            lost: 0,
            watch: None,
            ended: Vec::new(),
        })
    }

    /// Orders from standard input.
    pub fn orders(&self) -> Receiver<Order> {
        control::orders(Arc::clone(&self.waker))
    }

    /// Open connections.
    pub fn len(&self) -> u64 {
        self.links.len() as u64
    }

    /// Opens `clients`, each with the number of its source, and returns when each of them waits or
    /// has ended.
    pub fn open(&mut self, clients: impl IntoIterator<Item = (u32, C)>) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut clients = clients.into_iter();
        loop {
            while self.opening < self.plan.opening {
                let Some((index, client)) = clients.next() else { break };
                self.connect(index, client)?;
            }
            if self.opening == 0 {
                return Ok(());
            }
            self.turn(&mut events, Duration::from_millis(100))?;
        }
    }

    /// Runs a round on every open connection, or on `sample` of them, and returns its duration.
    pub fn round(&mut self, sample: Option<usize>) -> Result<Duration> {
        let mut events = Events::with_capacity(1024);
        let began = Instant::now();
        self.lost = 0;
        let count = sample.unwrap_or(self.links.len()).clamp(1, self.links.len().max(1));
        let step = self.links.len().max(1) / count;
        let keys: Vec<usize> =
            self.links.iter().map(|(key, _)| key).step_by(step.max(1)).take(count).collect();
        let sockets = keys.len() as u64;
        for key in keys {
            self.with(key, |link, buffers, shared| {
                link.speak(buffers, shared, |session, out, shared| {
                    session.start(out, shared);
                    Ok(())
                })
            });
        }
        while self.shared.tally.finished + self.lost < sockets {
            self.turn(&mut events, Duration::from_millis(100))?;
        }
        Ok(began.elapsed())
    }

    /// Serves the connections until an order arrives.
    pub fn wait(&mut self, orders: &Receiver<Order>) -> Result<Order> {
        let mut events = Events::with_capacity(1024);
        loop {
            if let Ok(order) = orders.try_recv() {
                return Ok(order);
            }
            self.turn(&mut events, Duration::from_millis(500))?;
        }
    }

    /// Serves the connections for this time.
    pub fn serve_for(&mut self, time: Duration) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.turn(&mut events, left)?;
        }
    }

    /// Makes every socket send a message each `every`, for `time` or until all have ended; ended
    /// ones are reopened if `again` makes another client.
    pub fn watch(
        &mut self,
        every: Duration,
        time: Duration,
        again: Option<&dyn Fn(u32) -> C>,
    ) -> Result<Duration> {
        let mut events = Events::with_capacity(1024);
        let began = Instant::now();
        self.watch = Some(began);
        let mut ticks = 0;
        while began.elapsed() < time && (again.is_some() || !self.links.is_empty()) {
            self.turn(&mut events, Duration::from_millis(5))?;
            for index in std::mem::take(&mut self.ended) {
                if let Some(again) = again {
                    self.connect(index, again(index))?;
                }
            }
            if !every.is_zero() {
                let sockets = self.links.capacity().max(1);
                let due = began.elapsed().as_secs_f64() / every.as_secs_f64() * sockets as f64;
                for tick in ticks..due as usize {
                    self.tick(tick % sockets);
                }
                ticks = due as usize;
            }
        }
        self.watch = None;
        Ok(began.elapsed())
    }

    fn tick(&mut self, key: usize) {
        self.with(key, |link, buffers, shared| {
            link.speak(buffers, shared, |session, out, _| {
                session.tick(out);
                Ok(())
            })
        });
    }

    /// The counts since the last line.
    pub fn line(&mut self, event: Event, took: Duration) -> Line {
        let sockets = self.len();
        self.shared.tally.take(event, sockets, took)
    }

    fn connect(&mut self, index: u32, client: C) -> Result<()> {
        let target = self.plan.targets[index as usize % self.plan.targets.len()];
        let stream = dial(target, self.plan.sources.of(index))
            .with_context(|| format!("connecting to {target}"))?;
        let link = Link::new(stream.into(), client);
        let key = self.links.insert(Entry { index, link, connected: false, waits: false });
        let stream = self.links[key].link.stream.tcp();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(stream, Token(key), interest)?;
        self.opening += 1;
        Ok(())
    }

    fn turn(&mut self, events: &mut Events, timeout: Duration) -> Result<()> {
        if Instant::now() > self.plan.deadline {
            bail!("out of time, {} connections open, {} opening", self.len(), self.opening);
        }
        match self.poll.poll(events, Some(timeout)) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in events.iter().filter(|event| event.token() != WAKER) {
            let key = event.token().0;
            match self.links.get_mut(key) {
                Some(entry) if !entry.connected => {
                    entry.connected = true;
                    self.connected(key);
                }
                _ => self.with(key, |link, buffers, shared| link.ready(event, buffers, shared)),
            }
        }
        Ok(())
    }

    /// A connection is established, or has failed.
    fn connected(&mut self, key: usize) {
        let tls = self.plan.tls.take();
        self.with(key, |link, buffers, shared| {
            greet(link, tls.as_ref(), shared.proxy).map_err(|_| End::Unreachable)?;
            link.speak(buffers, shared, |session, out, shared| {
                session.greet(out, shared);
                Ok(())
            })
        });
        self.plan.tls = tls;
    }

    /// Passes an event to a connection and handles the result.
    fn with(
        &mut self,
        key: usize,
        act: impl FnOnce(&mut Link<C>, &mut Buffers, &mut Shared) -> Result<(), End>,
    ) {
        let Some(entry) = self.links.get_mut(key) else { return };
        let result = act(&mut entry.link, &mut self.buffers, &mut self.shared);
        if !entry.waits && entry.link.session.waits() {
            entry.waits = true;
            self.opening -= 1;
        }
        if let Err(end) = result {
            let entry = self.links.remove(key);
            if entry.waits {
                self.lost += 1;
            } else {
                self.opening -= 1;
            }
            let session = &entry.link.session;
            if let Some(began) = self.watch {
                self.ended.push(entry.index);
                if entry.waits && !matches!(end, End::Fault(_)) {
                    let (code, time) = session.farewell().unzip();
                    let after = time.unwrap_or_else(Instant::now) - began;
                    self.shared.tally.ended(end, code, after, session.unanswered());
                    return;
                }
            }
            // a socket that was to be closed has ended correctly if both sides sent a Close
            if entry.waits || end != End::Orderly {
                self.shared.tally.lost(end);
            }
        }
    }
}

/// Writes the PROXY header, which a new connection always accepts in one write, and starts TLS.
fn greet<C>(link: &mut Link<C>, tls: Option<&Tls>, proxy: Proxy) -> io::Result<()> {
    let tcp = link.stream.tcp();
    if let Some(error) = tcp.take_error()? {
        return Err(error);
    }
    let mut header = Vec::new();
    proxy.append(&mut header, tcp.local_addr()?, tcp.peer_addr()?);
    tcp.write_all(&header)?;
    if let Some(tls) = tls {
        link.stream.begin_tls(tls)?;
    }
    Ok(())
}

/// Starts a connection.
fn dial(target: SocketAddr, source: Option<SocketAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        socket.set_reuse_address(true)?;
        socket.bind(&source.into())?;
    }
    match socket.connect(&target.into()) {
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
        other => other?,
    }
    Ok(TcpStream::from_std(socket.into()))
}
