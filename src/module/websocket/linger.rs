//! Closes a client connection after its tunnel so that the client can read everything sent to it.

use nginx::connection::{Connection, Transfer};
use nginx::owner::{self, Flow, Owner};
use nginx::process::now;
use nginx::worker::Worker;

use super::tunnel::ROUNDS;

/// How long bytes from a client are read and discarded after the tunnel, in milliseconds. Closing a
/// socket with unread bytes resets the connection, and the client loses what it has not read.
const LINGER: u64 = 5_000;

/// Closes a client connection, lingering until `limit` at most, if there is one.
pub fn close(client: Connection, limit: Option<u64>) {
    let until = (now() + LINGER).min(limit.unwrap_or(u64::MAX));
    if client.can_linger() && until > now() {
        linger(client, until);
    }
}

/// Waits for the client to read everything (`ngx_http_set_lingering_close`).
fn linger(client: Connection, until: u64) {
    client.end_tls();
    client.set_idle(true);
    client.set_timer(until);
    client.shut_down_sending();
    client.read_later();
    owner::give(Linger, [client]);
}

/// The owner of a lingering connection.
pub struct Linger;

impl Owner<1> for Linger {
    fn readable(&mut self, [client]: &[Connection; 1], _: usize, worker: &mut Worker) -> Flow {
        if !client.wait_writable() {
            return Flow::Break(());
        }
        for _ in 0..ROUNDS {
            match client.recv(&mut worker.scratch) {
                Transfer::Bytes(_) => {}
                Transfer::Again if client.wait_readable() => return Flow::Continue(()),
                _ => return Flow::Break(()),
            }
        }
        client.read_later();
        Flow::Continue(())
    }

    fn writable(&mut self, client: &[Connection; 1], number: usize, worker: &mut Worker) -> Flow {
        self.readable(client, number, worker)
    }

    fn timer(&mut self, _: &[Connection; 1], _: &mut Worker) -> Flow {
        Flow::Break(())
    }

    fn shutdown(&mut self, _: &[Connection; 1], _: bool, _: &mut Worker) -> Flow {
        Flow::Break(())
    }

    fn end(self, _: [Connection; 1]) {}
}
