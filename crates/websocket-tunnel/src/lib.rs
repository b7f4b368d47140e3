//! One WebSocket between two connections as a state machine: bytes, time and write progress in,
//! actions out.
//!
//! A [`Session`] follows the frames of both directions (RFC 6455) and forwards them as they are.
//! Where a frame of its own may stand, it puts in Pings, and Closes when the tunnel is to end. It
//! finds dead, idle and stuck ends, and drains a tunnel without cutting a message. It does nothing
//! else: the handshake comes before it, and TLS, sockets and logs are its owner's.
//!
//! # The contract
//!
//! A session knows no socket, clock or memory. Whoever owns the two connections calls it with what
//! happened:
//!
//! - [`Session::on_bytes`] with each chunk that was read, in order;
//! - [`Session::on_timer`] when it is due;
//! - [`Session::on_eof`] and [`Session::on_error`] when a connection ends;
//! - [`Session::begin_drain`] when the owner wants the tunnel to end;
//! - and with write progress, as below.
//!
//! The session calls back through [`Io`] with what is to be sent, and returns a [`Next`].
//!
//! It calls out, and is not polled for what to send, for the sake of the common case: a chunk of
//! plain data is forwarded whole, with one call, from the memory it was read into. A session that
//! is polled would have to keep the chunk, or a queue of its parts, until asked. So nothing here
//! allocates, and a tunnel is at most 256 bytes.
//!
//! # The output of an end
//!
//! What a session sends towards one end is a single ordered stream of bytes: each
//! [`Io::forward`] and [`Io::insert`] appends to it, in the order of the calls. The owner writes
//! at once what the socket takes and keeps the rest, in that order; a session never asks for
//! bytes back. While anything towards an end is kept ("blocked"), the owner
//!
//! - says so once with [`Session::on_blocked`], then [`Session::on_progress`] whenever the
//!   socket took some of it, and [`Session::on_drained`] once all is written;
//! - does not read the other end, so a session does not judge that end's silence.
//!
//! Where the socket fails, the owner drops what is kept and says [`Session::on_unwritable`].
//!
//! # The end of the input of an end
//!
//! An end that can be written to no longer, and the other end of one that has closed its
//! connection, are read once more, to where nothing is left: [`Next::Rest`] asks for that, and the
//! owner says [`Session::on_rest`] once a read has found nothing.
//!
//! # The timer
//!
//! One timer is enough. [`Session::deadline`] says when [`Session::on_timer`] is due; ask after
//! every `on_timer`, and whenever a call returned [`Next::Timer`], and move the timer only if
//! it would fire too late. Firing too early is harmless. Bytes that merely pass never move
//! a deadline forward in the tree: they store the time, and `on_timer` finds out.
//!
//! ```
//! use std::ops::Range;
//! use websocket_tunnel::{End, Io, Next, Session, Settings};
//!
//! struct Ends {
//!     chunk: Vec<u8>,
//!     sent: [Vec<u8>; 2],
//! }
//!
//! impl Io for Ends {
//!     type Count = ();
//!
//!     fn forward(&mut self, to: End, part: Range<usize>) {
//!         self.sent[to as usize].extend_from_slice(&self.chunk[part]);
//!     }
//!     fn insert(&mut self, to: End, bytes: &[u8]) {
//!         self.sent[to as usize].extend_from_slice(bytes);
//!     }
//!     fn random(&mut self) -> u64 {
//!         4 // a real one comes from the system
//!     }
//!     fn count(&self, _from: End) -> &() {
//!         &()
//!     }
//! }
//!
//! let settings = Settings { ping: 25_000, ..Settings::default() };
//! let chunk = b"\x81\x05Hello".to_vec();
//! let mut ends = Ends { chunk: chunk.clone(), sent: [vec![], vec![]] };
//! let mut session = Session::new(&settings, 1_000, &mut ends);
//!
//! let next = session.on_bytes(&settings, End::Destination, &chunk, 2_000, &mut ends);
//! assert_eq!((next, &ends.sent[0]), (Next::Keep, &chunk));
//!
//! // the client has been silent since the start
//! assert_eq!(session.deadline(&settings), Some(26_000));
//! session.on_timer(&settings, 26_000, &mut ends);
//! assert_eq!(ends.sent[0][chunk.len()..][..2], *b"\x89\x08");
//! ```
//!
//! `examples/proxy.rs` is a whole proxy over blocking sockets.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod frame;
mod session;

pub use session::{
    Drain, End, Event, Io, Next, Proof, Reason, Session, Settings, Summary, Traffic,
};
