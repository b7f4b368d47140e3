//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::handshake::Proxy;

/// Each process may have a limited number of open files, commonly 20,000; some are needed for other
/// purposes.
const SOCKETS_A_PROCESS: u32 = 15_000;

/// Load for a WebSocket proxy and the destination behind it. Every byte that returns is verified.
/// Prints JSON lines: `ready` when all sockets are open, `round` after each round; exits with 1 if
/// there was an error.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    /// The mode.
    #[command(subcommand)]
    pub mode: Mode,
}

/// The mode.
#[derive(Subcommand)]
pub enum Mode {
    /// Run the destination: /echo, /bulk, and GET /bytes/N.
    Serve(Serve),
    /// Open WebSockets and hold them.
    Idle(Idle),
    /// One message at a time on each WebSocket; the next is sent after the echo.
    Echo(Echo),
    /// Messages at full speed in one direction, each acknowledged.
    Bulk(Bulk),
    /// Send messages periodically and reopen ended sockets, for --seconds; for reloads under load.
    Reload(Watch),
    /// Send messages periodically until all sockets have ended, and report how and when.
    Drain(Watch),
    /// Open, echo one message, close; the latency is that of the handshake.
    Handshakes(Handshakes),
    /// GET PATH (/ping) on keepalive connections, answered with 200.
    Ping(Requests),
    /// GET on keepalive connections, answered with a redirect to https.
    Redirect(Redirect),
    /// GET of this many bytes from the destination on keepalive connections.
    Get(Get),
}

/// Options of the destination.
#[derive(Args)]
pub struct Serve {
    /// The listen address.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9000")]
    pub listen: Vec<SocketAddr>,
    /// Number of processes that share the work.
    #[arg(long, default_value_t = 1)]
    pub processes: u32,
    /// End when standard input ends.
    #[arg(long)]
    pub until_eof: bool,
    /// End after this time in any case.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub max_seconds: u64,
    /// The number of this process among several.
    #[arg(long, hide = true)]
    pub part: Option<Part>,
}

/// Options of every client.
#[derive(Args, Clone)]
pub struct Load {
    /// The proxy, or several in turn.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8444")]
    pub connect: Vec<SocketAddr>,
    /// The PROXY header at the start of each connection.
    #[arg(long, value_enum, default_value = "v1")]
    pub proxy: Proxy,
    /// TLS after that header; certificates are not verified.
    #[arg(long)]
    pub tls: bool,
    /// The Host header.
    #[arg(long, default_value = "app.example.org")]
    pub host: String,
    /// Path of the request instead of the mode's default.
    #[arg(long)]
    pub path: Option<String>,
    /// Length of a Cookie header.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub cookie_bytes: usize,
    /// Number of connections.
    #[arg(long, default_value_t = 1)]
    pub sockets: u32,
    /// How many connections each process opens concurrently.
    #[arg(long, default_value_t = 32)]
    pub opening: usize,
    /// Number of processes that share the sockets; 0: as many as the limit of open files requires.
    #[arg(long, default_value_t = 0)]
    pub processes: u32,
    /// Source addresses instead of the kernel's choice, each with --source-ports.
    #[arg(long, value_name = "ADDRESS")]
    pub source: Vec<IpAddr>,
    /// First port of each source address.
    #[arg(long, default_value_t = 10_000)]
    pub source_port: u16,
    /// Number of ports used of each source address.
    #[arg(long, default_value_t = 50_000)]
    pub source_ports: u16,
    /// Do one round for each line `go` on standard input (`go 100`: with 100 sockets of each
    /// process), end with it; sockets stay open in between.
    #[arg(long)]
    pub gate: bool,
    /// Give up after this time.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub max_seconds: u64,
    /// The number of this process among several.
    #[arg(long, hide = true)]
    pub part: Option<Part>,
}

impl Load {
    /// The number of processes required.
    pub fn processes(&self) -> u32 {
        match self.processes {
            0 => self.sockets.div_ceil(SOCKETS_A_PROCESS).max(1),
            processes => processes.min(self.sockets.max(1)),
        }
    }

    /// The numbers of the sockets of this process.
    pub fn share(&self) -> std::ops::Range<u32> {
        let Some(Part { index, of }) = self.part else { return 0..self.sockets };
        let before =
            |index: u32| (u64::from(self.sockets) * u64::from(index) / u64::from(of)) as u32;
        before(index)..before(index + 1)
    }

    /// The share of each socket in `total` messages, at least one.
    pub fn quota(&self, total: u64) -> u64 {
        total.div_ceil(u64::from(self.sockets.max(1))).max(1)
    }
}

/// One of several processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 0.
    pub index: u32,
    /// The number of processes.
    pub of: u32,
}

impl std::str::FromStr for Part {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once('/')
            .and_then(|(index, of)| Some(Self { index: index.parse().ok()?, of: of.parse().ok()? }))
            .filter(|part| part.index < part.of)
            .ok_or("not INDEX/OF")
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// Options of `idle`.
#[derive(Args)]
pub struct Idle {
    /// Options of every client.
    #[command(flatten)]
    pub load: Load,
    /// How long to hold the sockets (with --gate: until standard input ends).
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub hold: u64,
}

impl Idle {
    /// How long to hold the sockets.
    pub fn hold(&self) -> Duration {
        Duration::from_secs(self.hold)
    }
}

/// Options of `echo`.
#[derive(Args)]
pub struct Echo {
    /// Options of every client.
    #[command(flatten)]
    pub load: Load,
    /// Payload bytes of a message, at least 8.
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    pub size: usize,
    /// Messages per round, over all sockets.
    #[arg(long, default_value_t = 10_000)]
    pub messages: u64,
}

/// The direction of bulk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// To the destination.
    To,
    /// From the destination.
    From,
}

/// Options of `bulk`.
#[derive(Args)]
pub struct Bulk {
    /// Options of every client.
    #[command(flatten)]
    pub load: Load,
    /// Payload bytes of a message, at least 8.
    #[arg(long, value_name = "BYTES", default_value_t = 1_000_000)]
    pub size: usize,
    /// Messages per round, over all sockets.
    #[arg(long, default_value_t = 1000)]
    pub messages: u64,
    /// The direction.
    #[arg(long, value_enum, default_value = "to")]
    pub direction: Direction,
}

/// Options of `reload` and `drain`.
#[derive(Args)]
pub struct Watch {
    /// Options of every client.
    #[command(flatten)]
    pub load: Load,
    /// Payload bytes of a message, at least 8.
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    pub size: usize,
    /// The interval between messages of a socket, 0: no messages.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1000)]
    pub every: u64,
    /// The maximum duration.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
}

/// Options of `handshakes`.
#[derive(Args)]
pub struct Handshakes {
    /// Options of every client; --opening sets how many handshakes run concurrently.
    #[command(flatten)]
    pub load: Load,
    /// Handshakes per round.
    #[arg(long, default_value_t = 1000)]
    pub count: u32,
}

/// Options of plain requests.
#[derive(Args)]
pub struct Requests {
    /// Options of every client.
    #[command(flatten)]
    pub load: Load,
    /// Requests per round, over all connections.
    #[arg(long, default_value_t = 10_000)]
    pub requests: u64,
}

/// Options of `redirect`.
#[derive(Args)]
pub struct Redirect {
    /// Options of plain requests.
    #[command(flatten)]
    pub requests: Requests,
    /// The status of the redirect.
    #[arg(long, default_value_t = 301)]
    pub status: u16,
}

/// Options of `get`.
#[derive(Args)]
pub struct Get {
    /// Options of plain requests.
    #[command(flatten)]
    pub requests: Requests,
    /// Number of bytes of the body.
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    pub size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn every_socket_is_in_exactly_one_share() {
        for (sockets, of) in [(1, 1), (7, 3), (100_001, 7), (5, 5)] {
            let text = format!("--sockets={sockets}");
            let Mode::Echo(mut echo) = Cli::parse_from(["wsload", "echo", &text]).mode else {
                unreachable!()
            };
            let mut next = 0;
            for index in 0..of {
                echo.load.part = Some(Part { index, of });
                let share = echo.load.share();
                assert_eq!(share.start, next, "{index} of {of} for {sockets}");
                next = share.end;
            }
            assert_eq!(next, sockets);
        }
    }
}
