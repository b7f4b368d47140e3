//! One check: a connection to a destination, and what comes of it.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{size_of, zeroed};

use ngx::ffi::{
    getsockopt, ngx_connection_log_error_e_NGX_ERROR_ERR, ngx_event_connect_peer,
    ngx_event_get_peer, ngx_event_handler_pt, ngx_log_t, ngx_peer_connection_t, ngx_str_t,
    NGX_AGAIN, NGX_DECLINED, NGX_OK, SOL_SOCKET, SO_ERROR,
};

use super::connection::{Connection, Transfer};
use super::Address;
use crate::check::{Answer, Failure, Reader, Settings};
use nginx::bits::Bits;

/// Bytes of an answer that are read after its status, so that the destination may finish it and
/// does not see a reset.
const REST: usize = 64 * 1024;

/// A check that is under way.
pub struct Probe {
    connection: Connection,
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
    /// Connects to `address`. `data` and `handler` are those of the connection's events, one of
    /// which comes after `timeout` milliseconds at the latest; `request` is empty where only a
    /// connection is asked for.
    ///
    /// # Safety
    /// `log` outlives the result.
    pub unsafe fn begin(
        address: &Address,
        request: Vec<u8>,
        until: u64,
        log: *mut ngx_log_t,
        data: *mut c_void,
        handler: ngx_event_handler_pt,
    ) -> Begin {
        let mut name = ngx_str_t::default();
        // SAFETY: all-zero is a valid value of the C struct
        let mut peer: ngx_peer_connection_t = unsafe { zeroed() };
        peer.sockaddr = address.0.as_ptr().cast_mut().cast();
        peer.socklen = address.0.len() as _;
        peer.name = &raw mut name;
        peer.get = Some(ngx_event_get_peer);
        peer.log = log;
        peer.bits_mut().set_log_error(ngx_connection_log_error_e_NGX_ERROR_ERR);
        // SAFETY: filled in as nginx wants it; of all that it keeps the log alone
        let rc = unsafe { ngx_event_connect_peer(&raw mut peer) };
        // the last system call that failed is connect()
        let error = io::Error::last_os_error();
        if rc == NGX_DECLINED as isize {
            return Begin::Failed(Failure::Connect(reason(&error)));
        }
        // SAFETY: null or the connection, open until the result is dropped
        let connection = unsafe { Connection::from_ptr(peer.connection) };
        let Some(connection) = connection.filter(|_| [NGX_OK as _, NGX_AGAIN as _].contains(&rc))
        else {
            return Begin::Unable;
        };
        connection.adopt(data, handler, handler);
        connection.set_timer(until);
        // a worker that leaves calls the handler, and waits for no timer
        connection.set_idle(true);
        // SAFETY: the event of an open connection
        unsafe { (*(*connection.as_ptr()).read).bits_mut().set_cancelable(1) };
        Begin::Pending(Self { connection, stage: Stage::Connecting { request } })
    }

    /// The connection, as nginx has it.
    pub fn connection(&self) -> Connection {
        self.connection
    }

    /// Whether its result is known.
    pub fn is_decided(&self) -> bool {
        matches!(self.stage, Stage::Finishing { .. })
    }

    /// Goes on as far as it can.
    pub fn step(&mut self, settings: &Settings) -> Step {
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

    fn read_status(&mut self, settings: &Settings) -> Step {
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
                Answer::More => {}
                Answer::Malformed => return Step::Result(Err(Failure::Malformed)),
                Answer::TooLong => return Step::Result(Err(Failure::TooLong)),
                Answer::Status(status) => {
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
    fn wait(&self, ask: impl FnOnce(Connection) -> bool) -> Step {
        ask(self.connection);
        Step::Wait
    }

    /// What the last system call says; nginx's functions leave it as it is.
    fn failure(&self) -> Failure {
        Failure::Connection(reason(&io::Error::last_os_error()))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.connection.close_destination();
    }
}

impl Connection {
    /// Why it failed, if it did: an attempt to connect, for example.
    fn error(self) -> Option<io::Error> {
        let (mut error, mut len): (c_int, _) = (0, size_of::<c_int>() as u32);
        // SAFETY: an open socket; the kernel writes an int
        let rc = unsafe {
            let fd = (*self.as_ptr()).fd;
            getsockopt(fd, SOL_SOCKET as _, SO_ERROR as _, (&raw mut error).cast(), &raw mut len)
        };
        match (rc, error) {
            (0, 0) => None,
            (0, error) => Some(io::Error::from_raw_os_error(error)),
            _ => Some(io::Error::last_os_error()),
        }
    }

    /// Whether a write may be tried: the connection has come about.
    fn is_writable(self) -> bool {
        // SAFETY: an open connection has both events
        unsafe { (*(*self.as_ptr()).write).bits().ready() != 0 }
    }
}

/// An error of the system in its own words.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
