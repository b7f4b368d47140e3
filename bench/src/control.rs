//! What a script tells a running process, line by line on its standard input.

use std::io::BufRead;
use std::sync::mpsc::{self, Receiver};
use std::sync::Arc;

use mio::Waker;

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Do a round (`go`).
    Go,
    /// Standard input ended: so does the process.
    End,
}

/// Reads orders in a thread of their own, so that sockets are served while none comes.
pub fn orders(waker: Arc<Waker>) -> Receiver<Order> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if line.trim() == "go" && sender.send(Order::Go).is_ok() {
                let _ = waker.wake();
            }
        }
        let _ = sender.send(Order::End);
        let _ = waker.wake();
    });
    receiver
}
