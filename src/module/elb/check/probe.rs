//! One check: a connection to a destination, and what comes of it.

use std::io;

use nginx::connection::{Connection, Transfer};
use nginx::log::QuietLog;
use nginx::outgoing::{Failed, Outgoing};
use nginx::peers::Address;

use crate::active_check::{CheckSettings, Failure, ProbeAnswer, Reader};

/// Bytes of an answer that are read after its status, so that the destination may finish it and
/// does not see a reset.
const REST: usize = 64 * 1024;

/// A check that is under way.
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
    /// The result is known; so much of the answer is read at most.
    Finishing {
        left: usize,
    },
}

/// How a check begins.
pub enum Begin {
    /// Its connection calls back.
    Pending(Probe),
    /// It is over.
    Failed(Failure),
    /// This process has no means to connect, which says nothing about the destination.
    Unable,
}

/// What has become of a check.
pub enum Step {
    /// It waits for an event.
    Wait,
    /// It has a result; call again if it is a status, else it is over.
    Result(Result<(), Failure>),
    /// It is over, its result is known.
    Over,
}

impl Probe {
    /// Connects to `address`. `on_event` is called at each event of the connection, one of which
    /// comes at `until`, in nginx's milliseconds, at the latest; `request` is empty where only a
    /// connection is asked for.
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
        // a worker that leaves calls back, and waits for no timer
        connection.set_idle(true);
        connection.set_cancelable();
        Begin::Pending(Self { connection, stage: Stage::Connecting { request } })
    }

    /// Whether the worker leaves, so that another one checks; asks once.
    pub fn is_called_off(&self) -> bool {
        self.connection.take_close().is_some()
    }

    /// Whether its time is over; asks once.
    pub fn is_late(&self) -> bool {
        self.connection.take_timeout()
    }

    /// Whether its result is known.
    pub fn is_decided(&self) -> bool {
        matches!(self.stage, Stage::Finishing { .. })
    }

    /// Goes on as far as it can.
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

    /// Waits for an event; where nginx cannot, the timer will tell.
    fn wait(&self, ask: impl FnOnce(&Connection) -> bool) -> Step {
        ask(&self.connection);
        Step::Wait
    }

    /// What the last system call says; nginx's functions leave it as it is.
    fn failure(&self) -> Failure {
        Failure::Connection(reason(&io::Error::last_os_error()))
    }
}

/// An error of the system in its own words.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
