//! Makes tunnels count as open connections for the balancer (`least_conn`, `max_conns`).

use std::sync::atomic::{AtomicBool, Ordering};

use nginx::request::Request;
use nginx::share::{Foreign, Share};

/// Counts one more connection for the peer of a request.
pub fn share(request: &Request) -> Option<Share> {
    request.upstream()?.share().unwrap_or_else(|Foreign| {
        log_once();
        None
    })
}

fn log_once() {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    if !LOGGED.swap(true, Ordering::Relaxed) {
        nginx::log::running(|log| {
            log.notice(
                "open WebSockets do not count for \"least_conn\" and \"max_conns\" of an upstream \
                 whose balancer is not one of nginx's own",
            );
        });
    }
}
