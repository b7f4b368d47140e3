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
//! # From one process to another
//!
//! [`Session::encode`] writes all that a session knows, field by field, and [`Session::decode`] reads
//! it: a session can go on where it was not begun, in the middle of a frame, of a Pong that is held
//! back, of a drain or of a Close handshake. This is the format of the state alone. How it gets to the
//! other process, with the two connections, is up to the drivers.
//!
//! | | by whom |
//! |---|---|
//! | between two calls, with nothing [due](Session::deadline): `encode` | the driver that gives it up |
//! | the session is as good as before, if nobody takes it; else it is dropped without another call | the same |
//! | `decode`, then [`Session::reconfigure`], and what its [`Next`] says | the driver that goes on |
//! | one timer for the [`deadline`](Session::deadline), none otherwise | the same |
//!
//! With the session go, from driver to driver: the connections, the bytes that are kept for an end
//! (some, if and only if it [is blocked](Session::is_blocked)), when the tunnel began, and whatever
//! the driver knows of it. Not carried are the settings, which are given anew, and what
//! [`Driver::count`] and [`Driver::event`] have told, which stays where it was counted. The
//! [`Summary`] is of the whole tunnel: its counters go on.
//!
//! - Both processes have to have one clock, such as the system's monotonic one. It may be read at
//!   different times: what was noted later than the `now` of [`Reload`] is taken for `now`.
//! - What a socket reports again, to whoever looks at it anew, is harmless: that an end has closed
//!   its side, or can be written to.
//! - The format has a version, [`Session::FORMAT`], and `decode` reads no other. All numbers have
//!   their lowest byte first, and each session takes [`Session::ENCODED_LEN`] bytes.
//! - `decode` trusts nobody: every length, number and enum is checked, and each field beside the
//!   others. A [`DecodeError`] names the field. What cannot be checked is whether the bytes belong to
//!   these two connections.
//! - The tokens of our Pings are among the bytes: whoever can read them can forge a Pong.

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
