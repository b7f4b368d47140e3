//! One WebSocket between two connections as a state machine: bytes, time and write progress in,
//! actions out.
//!
//! A [`Session`] follows the frames of both directions (RFC 6455) and forwards them as they are.
//! Where a frame of its own may stand, it puts in Pings, and Closes when the tunnel is to end. It
//! finds dead, idle and stuck ends, and drains a tunnel without cutting a message. It does nothing
//! else: the handshake comes before it, and TLS, sockets and logs belong to its driver.
//!
//! # The contract
//!
//! A session knows no socket, clock or memory. Its driver owns the two connections and calls it with
//! what happened:
//!
//! | what happened | call |
//! |---|---|
//! | a chunk was read | [`Session::on_bytes`], in order |
//! | a read found the end, or failed | [`Session::on_eof`], [`Session::on_error`] |
//! | bytes that were kept are written, or some of them, or cannot be | [`Session::on_sent`] |
//! | the [`deadline`](Session::deadline) has come | [`Session::on_timer`] |
//! | a read found nothing more of an end that [`is_last`](Session::is_last) | [`Session::on_rest`] |
//! | the tunnel should end, soon or now | [`Session::begin_drain`], [`Session::finish_now`] |
//!
//! In each call the session says through the [`Driver`] what is to be sent, and each returns a
//! [`Next`]: what the driver does once the call is over.
//!
//! ```
//! use websocket_tunnel::{Driver, End, Next, Sent, Session, SessionSettings};
//!
//! #[derive(Default)]
//! struct Wire {
//!     to_client: Vec<u8>,
//!     to_destination: Vec<u8>,
//! }
//!
//! impl Driver for Wire {
//!     type Count = (); // frames are not counted
//!
//!     fn count(&self, _from: End) -> &() {
//!         &()
//!     }
//!     fn send(&mut self, to: End, bytes: &[u8]) -> Sent {
//!         match to {
//!             End::Client => self.to_client.extend_from_slice(bytes),
//!             End::Destination => self.to_destination.extend_from_slice(bytes),
//!         }
//!         Sent::Written // a real one writes to a socket, and keeps what that does not take
//!     }
//!     fn random(&mut self) -> u64 {
//!         4 // a real one asks the system
//!     }
//! }
//!
//! let settings = SessionSettings { ping: 25_000, ..SessionSettings::default() };
//! let mut wire = Wire::default();
//! let mut session = Session::new(&settings, 1_000, &mut wire);
//!
//! let hello = b"\x81\x05Hello";
//! let next = session.on_bytes(&settings, End::Destination, hello, 2_000, &mut wire);
//! assert_eq!((next, &wire.to_client[..]), (Next::Keep, &hello[..]));
//!
//! // the client has been silent since the start: it gets a Ping with eight bytes
//! assert_eq!(session.deadline(&settings), Some(26_000));
//! assert_eq!(session.on_timer(&settings, 26_000, &mut wire), Next::Timer);
//! assert_eq!(wire.to_client[hello.len()..][..2], *b"\x89\x08");
//! ```
//!
//! `examples/proxy.rs` is a whole proxy over blocking sockets, in less than 150 lines.
//!
//! # Why it calls out
//!
//! A state machine without I/O is often polled: one asks it what it has to send. This one calls its
//! driver, for the sake of the common case. A chunk of plain data is forwarded whole, by one call,
//! from the memory it was read into, and whether it could be written is known before the call
//! returns. A session that is polled would have to keep the chunk, or a queue of its parts, until
//! somebody asks. So nothing here allocates, and a [`Session`] is at most 256 bytes.
//!
//! # What is sent
//!
//! What goes to one end is a single ordered stream of bytes. Each [`Driver::send`] appends to it,
//! and returns what the driver did: the bytes are [written](Sent::Written), or some are
//! [kept](Sent::Kept) because the socket takes no more, or the socket has
//! [failed](Sent::Failed). What is kept the driver writes later, in order, and calls
//! [`Session::on_sent`] with the same three answers. A session never asks for bytes back; where
//! nothing more is to be written to an end, it calls [`Driver::discard`].
//!
//! The session thereby knows which end is blocked, and the driver asks it: while
//! [`Session::is_blocked`] says so of one end, the driver does not read the other, and the session
//! does not judge that one's silence.
//!
//! # The end of the input of an end
//!
//! An end that can be written to no longer, and the other end of one that has closed its
//! connection, are read once more, to where nothing is left: [`Next::Rest`] asks for that. The
//! driver reads each end that [`Session::is_last`] names, and calls [`Session::on_rest`] once a read
//! has found nothing.
//!
//! # The timer
//!
//! One timer is enough. [`Session::deadline`] says when [`Session::on_timer`] is due; ask after
//! every `on_timer`, and whenever a call returned anything but [`Next::Keep`], and move the timer
//! only if it would fire too late. Firing too early is harmless. Bytes that merely pass never move
//! the timer: the session stores the time, and `on_timer` finds out.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod frame;
mod session;

pub use session::{
    Drain, Driver, End, Event, Next, Proof, Reason, Sent, Session, SessionSettings, Summary,
    Traffic,
};
