//! From the command line to processes, connections and rounds.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cli::{Direction, Get, Load, Mode, Redirect, Requests, Serve, Watch};
use crate::control::Order;
use crate::fleet::{Client, Fleet, Plan, Shared, Sources};
use crate::handshake::Request;
use crate::http::{Body, Expected, Http};
use crate::processes::Processes;
use crate::serve;
use crate::stream::Tls;
use crate::tally::{Event, Line, Tally};
use crate::tasks::{BulkFrom, BulkTo, Echo, Handshake, Watched};
use crate::ws::WebSocket;

/// The action after `ready` without `--gate`.
#[derive(Clone, Copy)]
enum Then {
    Round,
    Hold(Duration),
}

/// Runs the command line; returns whether there was no error.
pub fn run(mode: Mode) -> Result<bool> {
    match mode {
        Mode::Serve(options) => destination(&options),
        Mode::Idle(options) => {
            let hold = Then::Hold(options.hold());
            clients(&options.load, "/echo", hold, |id| WebSocket::new(Echo::new(id, 64, 1)))
        }
        Mode::Echo(options) => {
            let quota = options.load.quota(options.messages);
            let size = options.size;
            clients(&options.load, "/echo", Then::Round, |id| {
                WebSocket::new(Echo::new(id, size, quota))
            })
        }
        Mode::Bulk(options) => {
            let quota = options.load.quota(options.messages);
            let size = options.size;
            match options.direction {
                Direction::To => clients(&options.load, "/bulk", Then::Round, |id| {
                    WebSocket::new(BulkTo::new(id, size, quota))
                }),
                Direction::From => clients(&options.load, "/bulk", Then::Round, |id| {
                    WebSocket::new(BulkFrom::new(id, size, quota))
                }),
            }
        }
        Mode::Reload(options) => watch(&options, true),
        Mode::Drain(options) => watch(&options, false),
        Mode::Handshakes(options) => handshakes(&options.load, options.count),
        Mode::Ping(options) => ping(&options),
        Mode::Redirect(options) => redirect(&options),
        Mode::Get(options) => get(&options),
    }
}

fn destination(options: &Serve) -> Result<bool> {
    let deadline = Instant::now() + Duration::from_secs(options.max_seconds);
    let mut report = Report::new(options.part.is_some());
    if options.processes > 1 && options.part.is_none() {
        let more: &[&str] = if options.until_eof { &[] } else { &["--until-eof"] };
        let mut processes = Processes::start(options.processes, more)?;
        report.print(processes.line()?)?;
        if options.until_eof {
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        } else {
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
        }
        processes.end()?;
        return Ok(true);
    }
    if options.until_eof {
        std::thread::spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            std::process::exit(0);
        });
    }
    let share = options.part.is_some();
    serve::run(&options.listen, share, deadline, || {
        report.print(Tally::default().take(Event::Ready, 0, Duration::ZERO))
    })?;
    Ok(true)
}

/// Opens the sockets and runs rounds in which each does its share.
fn clients<C: Client>(
    load: &Load,
    path: &str,
    then: Then,
    client: impl Fn(u32) -> C,
) -> Result<bool> {
    rounds(load, path, then, client, Fleet::round)
}

/// Opens the sockets and runs rounds on them.
fn rounds<C: Client>(
    load: &Load,
    path: &str,
    then: Then,
    client: impl Fn(u32) -> C,
    round: impl Fn(&mut Fleet<C>, Option<usize>) -> Result<Duration>,
) -> Result<bool> {
    if load.part.is_none() && load.processes() > 1 {
        return supervise(load, load.processes(), then);
    }
    let mut report = Report::new(load.part.is_some());
    let mut fleet = fleet(load, path)?;
    let began = Instant::now();
    fleet.open(load.share().map(|id| (id, client(id))))?;
    report.print(fleet.line(Event::Ready, began.elapsed()))?;
    if !load.gate {
        match then {
            Then::Round => {
                let took = round(&mut fleet, None)?;
                report.print(fleet.line(Event::Round, took))?;
            }
            Then::Hold(time) => fleet.serve_for(time)?,
        }
        return Ok(report.clean);
    }
    let orders = fleet.orders();
    while let Order::Go(sample) = fleet.wait(&orders)? {
        let took = round(&mut fleet, sample)?;
        report.print(fleet.line(Event::Round, took))?;
    }
    Ok(report.clean)
}

/// Watches sockets that the proxy is going to close.
fn watch(options: &Watch, again: bool) -> Result<bool> {
    let size = options.size;
    let every = Duration::from_millis(options.every);
    let time = Duration::from_secs(options.seconds);
    let client = move |id| WebSocket::new(Watched::new(id, size));
    rounds(&options.load, "/echo", Then::Round, client, |fleet, _| {
        let again: Option<&dyn Fn(u32) -> WebSocket<Watched>> = again.then_some(&client);
        fleet.watch(every, time, again)
    })
}

/// Opens sockets that close again, `count` in a round.
fn handshakes(load: &Load, count: u32) -> Result<bool> {
    let processes = load.processes.max(1);
    if load.part.is_none() && processes > 1 {
        return supervise(load, processes, Then::Round);
    }
    let share = Load { sockets: count, ..load.clone() }.share();
    let mut report = Report::new(load.part.is_some());
    let mut fleet = fleet(load, "/echo")?;
    report.print(fleet.line(Event::Ready, Duration::ZERO))?;
    let orders = load.gate.then(|| fleet.orders());
    loop {
        if let Some(orders) = &orders {
            if fleet.wait(orders)? == Order::End {
                return Ok(report.clean);
            }
        }
        let began = Instant::now();
        fleet.open(share.clone().map(|id| (id, WebSocket::new(Handshake::new(id)))))?;
        report.print(fleet.line(Event::Round, began.elapsed()))?;
        if orders.is_none() {
            return Ok(report.clean);
        }
    }
}

fn ping(options: &Requests) -> Result<bool> {
    requests(options, "/ping", Expected { status: 200, body: Body::Any, location: None })
}

fn redirect(options: &Redirect) -> Result<bool> {
    let load = &options.requests.load;
    let path = load.path.as_deref().unwrap_or("/a%20path?with=a&query");
    let location = Some(format!("https://{}{path}", load.host));
    let expected = Expected { status: options.status, body: Body::Any, location };
    requests(&options.requests, path, expected)
}

fn get(options: &Get) -> Result<bool> {
    let expected = Expected { status: 200, body: Body::Noise(options.size), location: None };
    requests(&options.requests, &format!("/bytes/{}", options.size), expected)
}

fn requests(options: &Requests, path: &str, expected: Expected) -> Result<bool> {
    let expected = Arc::new(expected);
    let quota = options.load.quota(options.requests);
    clients(&options.load, path, Then::Round, |_| Http::new(Arc::clone(&expected), quota))
}

fn fleet<C: Client>(load: &Load, path: &str) -> Result<Fleet<C>> {
    let plan = Plan {
        targets: load.connect.clone(),
        sources: Sources {
            addresses: load.source.clone(),
            first_port: load.source_port,
            ports: load.source_ports.into(),
        },
        tls: load.tls.then(|| Tls::new(&load.host)).transpose().context("preparing TLS")?,
        opening: load.opening.max(1),
        deadline: Instant::now() + Duration::from_secs(load.max_seconds),
    };
    let request = Request {
        path: load.path.clone().unwrap_or_else(|| path.to_owned()),
        host: load.host.clone(),
        cookie: load.cookie_bytes,
    };
    let shared = Shared { proxy: load.proxy, request, tally: Tally::default() };
    Fleet::new(plan, shared).context("preparing to poll")
}

/// Runs several processes and reports their sum.
fn supervise(load: &Load, count: u32, then: Then) -> Result<bool> {
    let more: &[&str] = if load.gate { &[] } else { &["--gate"] };
    let mut processes = Processes::start(count, more)?;
    let mut report = Report::new(false);
    report.print(processes.line()?)?;
    if load.gate {
        for line in std::io::stdin().lines() {
            let line = line?;
            if line.starts_with("go") {
                processes.go(&line)?;
                report.print(processes.line()?)?;
            }
        }
    } else {
        match then {
            Then::Round => {
                processes.go("go")?;
                report.print(processes.line()?)?;
            }
            Then::Hold(time) => std::thread::sleep(time),
        }
    }
    processes.end()?;
    Ok(report.clean)
}

/// Prints lines: complete counts for a parent process, otherwise a summary.
struct Report {
    raw: bool,
    clean: bool,
}

impl Report {
    fn new(raw: bool) -> Self {
        Self { raw, clean: true }
    }

    fn print(&mut self, line: Line) -> Result<()> {
        self.clean &= line.errors.is_empty();
        let text = match self.raw {
            true => serde_json::to_string(&line)?,
            false => line.summary().to_string(),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush().context("printing")
    }
}
