//! One WebSocket between two connections as a state machine: bytes, time and write progress in,
//! actions out.
//!
//! A [`Session`] follows the frames of both directions (RFC 6455) and forwards them unchanged. At
//! frame boundaries it inserts Pings, and Closes when the tunnel is to end. It detects dead, idle
//! and stuck ends, and drains a tunnel without cutting a message. It does nothing else: the
//! handshake happens before it, and TLS, sockets and logs belong to its driver.
//!
//! # The contract
//!
//! A session owns no socket, clock or memory. Its driver owns the two connections and reports each
//! event to it:
//!
//! | event | call |
//! |---|---|
//! | a chunk was read | [`Session::on_bytes`], in order |
//! | a read returned the end of the stream, or failed | [`Session::on_eof`], [`Session::on_error`]
//! |
//! | buffered bytes were written, some or all, or the write failed | [`Session::on_sent`] |
//! | the [`deadline`](Session::deadline) is reached | [`Session::on_timer`] |
//! | a read of an end that [`is_last`](Session::is_last) found nothing more | [`Session::on_rest`]
//! |
//! | the tunnel is to end, soon or now | [`Session::begin_drain`], [`Session::finish_now`] |
//!
//! During each call the session sends bytes through the [`Driver`]. Each call returns a [`Next`]:
//! what the driver does after the call.
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
//! Many state machines without I/O are polled: the driver asks for the bytes to send. This one
//! calls its driver, because of the common case. A chunk of plain data is forwarded in one call,
//! from the memory it was read into, and the session knows before that call returns whether the
//! chunk was written. A polled session would have to store the chunk, or a queue of its parts,
//! until the next poll. So nothing here allocates, and a [`Session`] takes at most 256 bytes.
//!
//! # What is sent
//!
//! The bytes to one end are a single ordered stream. Each [`Driver::send`] appends to it and
//! returns the result: all bytes are [written](Sent::Written), or some are [buffered](Sent::Kept)
//! because the socket takes no more, or the socket has [failed](Sent::Failed). The driver writes
//! buffered bytes later, in order, and calls [`Session::on_sent`] with one of the same three
//! results. A session never asks for bytes back; when nothing more is to be written to an end, it
//! calls [`Driver::discard`].
//!
//! So the session knows which end is blocked, and the driver asks it: while [`Session::is_blocked`]
//! is true for one end, the driver does not read the other end, and the session does not count the
//! other end's silence against it.
//!
//! # The last bytes of an end
//!
//! Two kinds of ends are read one last time, until a read finds nothing: an end that can no longer
//! be written to, and the end whose peer has closed its connection. [`Next::Rest`] asks for this.
//! The driver reads each end for which [`Session::is_last`] is true, and calls [`Session::on_rest`]
//! once a read has found nothing.
//!
//! # The timer
//!
//! One timer is enough. [`Session::deadline`] returns when [`Session::on_timer`] is due. Ask after
//! every `on_timer` and after every call that returned anything but [`Next::Keep`], and move the
//! timer only if it would fire too late. Firing too early is harmless. Bytes that merely pass never
//! move the timer: the session stores the time, and `on_timer` compares.
//!
//! # Moving a session to another process
//!
//! [`Session::encode`] writes the whole state of a session, field by field, and [`Session::decode`]
//! reads it. The session continues where it was: in the middle of a frame, with a Pong held back,
//! in a drain or in a Close handshake. The crate only defines this format. How the bytes and the
//! two connections reach the other process is up to the drivers.
//!
//! | driver | step |
//! |---|---|
//! | sender | call [`on_timer`](Session::on_timer) if the [`deadline`](Session::deadline) has come |
//! | sender | `encode`, between two calls |
//! | sender | if the other process does not take the session, continue with it: `encode` changes nothing; else drop it |
//! | receiver | `decode`; check that bytes are buffered for exactly the ends that are [blocked](Session::is_blocked) |
//! | receiver | [`Session::reconfigure`], and act on the [`Next`] that it returns |
//! | receiver | set the timer for the `deadline`, and read both ends as usual |
//!
//! The drivers transfer what the session does not know: the connections, the buffered bytes, when
//! the tunnel began. Not encoded are the settings, which the receiver passes anew, and what
//! [`Driver::count`] and [`Driver::event`] were told, which stays where it was counted. The
//! [`Summary`] continues: it is about the whole tunnel.
//!
//! - Both processes use the same clock, such as the monotonic clock of the system. One may have
//!   read it later than the other: times after [`Reload::now`] are taken for that time.
//! - A socket may report again in the receiver what the sender has seen, such as the end of the
//!   input or that it is writable. That is harmless.
//! - The first byte is the version of the format, [`Session::FORMAT`]; `decode` reads no other.
//!   Numbers are little-endian, and a session always takes [`Session::ENCODED_LEN`] bytes.
//! - `decode` never panics. It checks every number, length and enum, alone and against the other
//!   fields, and a [`DecodeError`] names the field. It cannot check whether the bytes belong to
//!   these two connections.
//! - The bytes contain the secret of our Ping tokens: whoever reads them can forge a Pong.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod encoding;
pub mod frame;
mod session;

pub use encoding::{DecodeError, Field};
pub use session::{
    Drain, Driver, End, Event, Next, Proof, Reason, Reload, Sent, Session, SessionSettings,
    Summary, Traffic,
};
