//! A client after its tunnel, which is to read what it was sent.

use std::ptr::null_mut;

use ngx::ffi::ngx_event_t;

use super::connection::{Connection, Transfer};
use super::tunnel::{now, ROUNDS};
use super::worker::Worker;
use crate::guard::guarded;

/// How long bytes of a client are waited for, and dropped, after the tunnel: a socket that is
/// closed with bytes unread resets the connection and takes what the client has not read with it.
const LINGER: u64 = 5_000;

/// Closes the connection of a client, no later than at `limit`, if there is one.
pub fn close(client: Connection, limit: Option<u64>) {
    let until = (now() + LINGER).min(limit.unwrap_or(u64::MAX));
    if client.can_linger() && until > now() {
        linger(client, until);
    } else {
        client.close_client();
    }
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

/// The handler of such a connection.
pub unsafe extern "C" fn on_linger(ev: *mut ngx_event_t) {
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
