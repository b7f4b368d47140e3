//! Orders from a script to a running process, one per line of its standard input.

use std::io::BufRead;
use std::sync::mpsc::{self, Receiver};
use std::sync::Arc;

use mio::Waker;

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Do a round (`go`), or one with this many of the sockets (`go 100`).
    Go(Option<usize>),
    /// Standard input has ended: the process ends too.
    End,
}

impl Order {
    /// The order of a line; none for an unknown line.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        if words.next() != Some("go") {
            return None;
        }
        match words.next() {
            None => Some(Self::Go(None)),
            Some(sockets) => sockets.parse().ok().map(|sockets| Self::Go(Some(sockets))),
        }
    }
}

/// Reads orders in a separate thread, so that sockets are served in between.
pub fn orders(waker: Arc<Waker>) -> Receiver<Order> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if Order::parse(&line).is_some_and(|order| sender.send(order).is_ok()) {
                let _ = waker.wake();
            }
        }
        let _ = sender.send(Order::End);
        let _ = waker.wake();
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_told_from_noise() {
        assert_eq!(Order::parse("go"), Some(Order::Go(None)));
        assert_eq!(Order::parse(" go 100\n"), Some(Order::Go(Some(100))));
        for noise in ["", "stop", "go away", "go -1"] {
            assert_eq!(Order::parse(noise), None, "{noise}");
        }
    }
}
