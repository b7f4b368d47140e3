//! What the balancer knows of a tunnel: `least_conn` and `max_conns` count live connections.

use std::sync::atomic::{AtomicBool, Ordering};

use nginx::request::Request;
use nginx::share::{Foreign, Share};

/// Takes a share of the peer that a request is connected to.
pub fn share(request: &Request) -> Option<Share> {
    request.upstream()?.share().unwrap_or_else(|Foreign| {
        tell_once();
        None
    })
}

fn tell_once() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        nginx::log::running(|log| {
            log.notice(
                "open WebSockets do not count for \"least_conn\" and \"max_conns\" of an upstream \
                 whose balancer is not one of nginx's own",
            );
        });
    }
}
