//! One check: a connection to a peer, and its result.

use std::io;

use nginx::connection::{Connection, Transfer};
use nginx::log::QuietLog;
use nginx::outgoing::{Failed, Outgoing};
use nginx::peers::Address;

use crate::active_check::{CheckSettings, Failure, ProbeAnswer, Reader};

/// The maximum number of bytes of a response that are read after its status, so that the peer can
/// complete it and does not get a reset.
const REST: usize = 64 * 1024;

/// A check in progress.
pub struct Probe {
    connection: Outgoing,
    stage: Stage,
}

enum Stage {
    Connecting {
        request: Vec<u8>,
    },
    Sending {
        request: Vec<u8>,
        sent: usize,
    },
    Reading {
        reader: Reader,
    },
    /// The result is known; at most `left` further bytes of the response are read.
    Finishing {
        left: usize,
    },
}

/// The outcome of starting a check.
pub enum Begin {
    /// Its connection calls back.
    Pending(Probe),
    /// It has failed.
    Failed(Failure),
    /// This process lacks a resource that it needs to connect, which says nothing about the peer.
    Unable,
}

/// The outcome of a step.
pub enum Step {
    /// The check waits for an event.
    Wait,
    /// The result. After a status, call `step` again; otherwise the check has ended.
    Result(Result<(), Failure>),
    /// The check has ended; its result is known.
    Over,
}

impl Probe {
    /// Connects to `address`. `on_event` is called at each event of the connection, at the latest
    /// at `until`, on nginx's clock in milliseconds. `request` is empty if only the connection is
    /// checked.
    pub fn begin(
        address: &Address,
        request: Vec<u8>,
        until: u64,
        log: &QuietLog,
        on_event: impl FnMut() + 'static,
    ) -> Begin {
        let connection = match Outgoing::connect(address, log, on_event) {
            Ok(connection) => connection,
            Err(Failed::Refused(error)) => return Begin::Failed(Failure::Connect(reason(&error))),
            Err(Failed::Unable) => return Begin::Unable,
        };
        connection.set_timer(until);
        // an exiting worker calls the handler of an idle connection, and does not wait for a
        // cancelable timer
        connection.set_idle(true);
        connection.set_cancelable();
        Begin::Pending(Self { connection, stage: Stage::Connecting { request } })
    }

    /// Whether the worker is exiting, so that another one checks; clears the flag.
    pub fn is_called_off(&self) -> bool {
        self.connection.take_close().is_some()
    }

    /// Whether the time is over; clears the flag.
    pub fn is_late(&self) -> bool {
        self.connection.take_timeout()
    }

    /// Whether the result is known.
    pub fn is_decided(&self) -> bool {
        matches!(self.stage, Stage::Finishing { .. })
    }

    /// Continues as far as possible.
    pub fn step(&mut self, settings: &CheckSettings) -> Step {
        loop {
            let next = match &mut self.stage {
                Stage::Connecting { request } => {
                    if let Some(error) = self.connection.error() {
                        return Step::Result(Err(Failure::Connect(reason(&error))));
                    }
                    if !self.connection.is_writable() {
                        return Step::Wait;
                    }
                    if request.is_empty() {
                        return Step::Result(Ok(()));
                    }
                    Stage::Sending { request: std::mem::take(request), sent: 0 }
                }
                Stage::Sending { request, sent } => {
                    match self.connection.send(request.get(*sent..).unwrap_or_default()) {
                        Transfer::Bytes(bytes) => *sent += bytes,
                        Transfer::Again => return self.wait(Connection::wait_writable),
                        Transfer::Eof | Transfer::Error => {
                            return Step::Result(Err(self.failure()))
                        }
                    }
                    if *sent < request.len() {
                        continue;
                    }
                    self.connection.wait_writable();
                    Stage::Reading { reader: Reader::default() }
                }
                Stage::Reading { .. } => return self.read_status(settings),
                Stage::Finishing { .. } => return self.read_rest(),
            };
            self.stage = next;
        }
    }

    fn read_status(&mut self, settings: &CheckSettings) -> Step {
        let mut buffer = [0; 4096];
        loop {
            let Stage::Reading { reader } = &mut self.stage else { return Step::Over };
            let read = match self.connection.recv(&mut buffer) {
                Transfer::Bytes(read) => read,
                Transfer::Again => return self.wait(Connection::wait_readable),
                Transfer::Eof => return Step::Result(Err(Failure::Closed)),
                Transfer::Error => return Step::Result(Err(self.failure())),
            };
            match reader.read(buffer.get(..read).unwrap_or_default()) {
                ProbeAnswer::More => {}
                ProbeAnswer::Malformed => return Step::Result(Err(Failure::Malformed)),
                ProbeAnswer::TooLong => return Step::Result(Err(Failure::TooLong)),
                ProbeAnswer::Status(status) => {
                    self.stage = Stage::Finishing { left: REST };
                    return Step::Result(match settings.statuses.contains(status) {
                        true => Ok(()),
                        false => Err(Failure::Status(status)),
                    });
                }
            }
        }
    }

    fn read_rest(&mut self) -> Step {
        let mut buffer = [0; 4096];
        loop {
            let Stage::Finishing { left } = &mut self.stage else { return Step::Over };
            match self.connection.recv(&mut buffer) {
                Transfer::Bytes(read) if read < *left => *left -= read,
                Transfer::Again => return self.wait(Connection::wait_readable),
                Transfer::Bytes(_) | Transfer::Eof | Transfer::Error => return Step::Over,
            }
        }
    }

    /// Waits for an event. If nginx fails to arm it, the timer ends the check.
    fn wait(&self, ask: impl FnOnce(&Connection) -> bool) -> Step {
        ask(&self.connection);
        Step::Wait
    }

    /// The failure of the last system call; nginx's functions do not change `errno` after it.
    fn failure(&self) -> Failure {
        Failure::Connection(reason(&io::Error::last_os_error()))
    }
}

/// An error as text, without the number that Rust appends.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
