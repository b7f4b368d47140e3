//! Connections of nginx that a module owns.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::ManuallyDrop;
use std::ptr::{null_mut, NonNull};

use ngx::ffi::{
    getsockopt, ioctl, ngx_close_connection, ngx_connection_t, ngx_current_msec, ngx_destroy_pool,
    ngx_event_flags, ngx_event_handler_pt, ngx_event_t, ngx_handle_read_event,
    ngx_handle_write_event, ngx_http_close_connection, ngx_posted_next_events, ngx_ssl_free_buffer,
    ngx_ssl_shutdown, shutdown, socklen_t, SSL_ctrl, FIONREAD, IPPROTO_TCP, NGX_AGAIN,
    NGX_CLOSE_EVENT, NGX_OK, NGX_USE_CLEAR_EVENT, SHUT_WR, SOL_SOCKET, SO_ERROR, SSL_CTRL_MODE,
    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, TCP_INFO, TIOCOUTQ,
};

use crate::bits::Bits;
use crate::event::{ngx_add_timer, ngx_del_timer, ngx_post_event};
use crate::guard::guarded;
use crate::log::Log;
use crate::process::is_exiting;

/// An open connection. Dropping it closes it: a client connection like `ngx_http_close_connection`,
/// an upstream or own connection like `ngx_http_upstream_finalize_request`.
///
/// [`Owner`](crate::owner::Owner) receives its events. Methods may be called on nginx's thread
/// only, at any time while the value exists; `&self` methods change nginx's structures through
/// references that end before any other call, because nginx holds pointers to the same structures.
#[repr(transparent)]
pub struct Connection(NonNull<ngx_connection_t>);

/// The result of a read or a write.
pub enum Transfer {
    /// The number of bytes moved, at least 1.
    Bytes(usize),
    /// Nothing can be moved now; nginx calls the handler when it can. This does not imply that the
    /// event is not ready: TLS may have to write before it can read, or to read before it can
    /// write.
    Again,
    /// The peer has closed its sending side. Only a read returns this.
    Eof,
    /// The connection has failed; nginx has logged the error.
    Error,
}

impl Connection {
    /// Takes ownership of a connection.
    ///
    /// # Safety
    /// `c` is null or an open connection that nobody else will close: a client connection without a
    /// request, or an upstream connection that its upstream no longer refers to.
    pub(crate) unsafe fn own(c: *mut ngx_connection_t) -> Option<Self> {
        NonNull::new(c).map(Self)
    }

    /// Borrows a connection that somebody else owns, for the duration of a call.
    ///
    /// # Safety
    /// `c` is null or an open connection that stays open while the result is used.
    pub(crate) unsafe fn lent(c: *mut ngx_connection_t) -> Option<ManuallyDrop<Self>> {
        NonNull::new(c).map(|c| ManuallyDrop::new(Self(c)))
    }

    /// nginx's structure.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut ngx_connection_t {
        self.0.as_ptr()
    }

    /// nginx's structure.
    #[expect(clippy::mut_from_ref, reason = "nginx's structures are shared and mutable")]
    #[inline]
    fn raw(&self) -> &mut ngx_connection_t {
        // SAFETY: open by the contract of `own` and `lent`; nginx is single-threaded, and no caller
        // holds the reference across a call into nginx
        unsafe { &mut *self.0.as_ptr() }
    }

    #[expect(clippy::mut_from_ref, reason = "nginx's structures are shared and mutable")]
    #[inline]
    fn read_event(&self) -> &mut ngx_event_t {
        // SAFETY: an open connection has a read event; no caller holds the reference across a call
        // into nginx
        unsafe { &mut *self.raw().read }
    }

    #[expect(clippy::mut_from_ref, reason = "nginx's structures are shared and mutable")]
    #[inline]
    fn write_event(&self) -> &mut ngx_event_t {
        // SAFETY: an open connection has a write event; no caller holds the reference across a call
        // into nginx
        unsafe { &mut *self.raw().write }
    }

    /// Installs the event handlers and the `data` that they find in the connection, and removes the
    /// handlers of nginx that would interpret `data` as their own.
    pub(crate) fn adopt(
        &self,
        data: *mut c_void,
        on_readable: ngx_event_handler_pt,
        on_writable: ngx_event_handler_pt,
    ) {
        let c = self.raw();
        c.data = data;
        self.read_event().handler = on_readable;
        self.write_event().handler = on_writable;
        // SAFETY: null or the TLS state of an open connection
        if let Some(ssl) = unsafe { c.ssl.as_mut() } {
            // TLS reinstalls these when it can continue after a write that a read needed, or a read
            // that a write needed (ngx_ssl_handle_recv, ngx_ssl_write)
            ssl.saved_read_handler = None;
            ssl.saved_write_handler = None;
            // called when a session ticket arrives, which can be at any time
            // (ngx_ssl_new_client_session)
            ssl.save_session = None;
        }
    }

    /// Removes the handlers of an owner or a request that no longer has the connection.
    pub(crate) fn abandon(&self) {
        self.adopt(null_mut(), Some(ignore), Some(ignore));
    }

    /// The read handler, even while nginx has replaced it because TLS has to read before it can
    /// write (`ngx_ssl_read_handler`).
    pub(crate) fn handler(&self) -> ngx_event_handler_pt {
        // SAFETY: null or the TLS state of an open connection
        let ssl = unsafe { self.raw().ssl.as_ref() };
        ssl.and_then(|ssl| ssl.saved_read_handler).or(self.read_event().handler)
    }

    /// Whether a call of the read handler may be for a write event: TLS had to write before it
    /// could read (`ngx_ssl_write_handler`), and can write again.
    pub fn reads_by_writing(&self) -> bool {
        // SAFETY: null or the TLS state of an open connection
        let ssl = unsafe { self.raw().ssl.as_ref() };
        ssl.is_some_and(|ssl| ssl.saved_write_handler.is_some())
            && self.write_event().bits().ready() != 0
    }

    /// Whether a read may return bytes, the end of the stream or an error.
    #[inline]
    pub fn is_readable(&self) -> bool {
        self.read_event().bits().ready() != 0
    }

    /// Reads available bytes into `buf`, which must not be empty.
    #[inline]
    pub fn recv(&self, buf: &mut [u8]) -> Transfer {
        let Some(recv) = self.raw().recv else { return Transfer::Error };
        // SAFETY: the connection is open and its `recv` function writes at most `buf.len()` bytes
        // to `buf`
        match unsafe { recv(self.as_ptr(), buf.as_mut_ptr(), buf.len()) } {
            n if n > 0 => Transfer::Bytes(n as usize),
            0 => Transfer::Eof,
            n if n == NGX_AGAIN as isize => Transfer::Again,
            _ => Transfer::Error,
        }
    }

    /// Writes as many of `bytes` as the socket accepts; `bytes` must not be empty.
    #[inline]
    pub fn send(&self, bytes: &[u8]) -> Transfer {
        if self.write_event().bits().ready() == 0 {
            return Transfer::Again;
        }
        let Some(send) = self.raw().send else { return Transfer::Error };
        // SAFETY: the connection is open and its `send` function only reads the bytes
        match unsafe { send(self.as_ptr(), bytes.as_ptr().cast_mut(), bytes.len()) } {
            n if n > 0 => Transfer::Bytes(n as usize),
            n if n == NGX_AGAIN as isize || n == 0 => Transfer::Again,
            _ => Transfer::Error,
        }
    }

    /// Whether bytes from the peer are waiting to be read, in OpenSSL or in the socket (tcp(7),
    /// `SIOCINQ`). If a signal such as SIGCONT wakes nginx, it runs timers before it learns about
    /// the sockets, so `is_readable` alone can be out of date.
    pub fn has_unread(&self) -> bool {
        let mut bytes: std::ffi::c_int = 0;
        // SAFETY: an open socket; the kernel writes an int
        let rc = unsafe { ioctl(self.raw().fd, FIONREAD.into(), &raw mut bytes) };
        self.is_readable() || (rc == 0 && bytes > 0)
    }

    /// The number of bytes sent that the peer's host has not acknowledged (tcp(7), `SIOCOUTQ`); 0
    /// if the socket does not report it.
    pub fn unacknowledged(&self) -> u64 {
        let mut bytes: std::ffi::c_int = 0;
        // SAFETY: an open socket; the kernel writes an int
        let rc = unsafe { ioctl(self.raw().fd, TIOCOUTQ.into(), &raw mut bytes) };
        if rc == 0 {
            u64::try_from(bytes).unwrap_or(0)
        } else {
            0
        }
    }

    /// Whether the peer's host responds but its receive window is full: no data is in flight, and
    /// at most the latest window probe is unanswered (tcp(7), `TCP_INFO`). Always true for a socket
    /// without this information, such as a Unix socket, whose peer is on this host.
    pub fn is_held_off(&self) -> bool {
        // offsets into the kernel's struct tcp_info, whose fourth byte is tcpi_probes
        const PROBES: usize = 3;
        const UNACKED: usize = 24;
        let mut info = [0u8; UNACKED + size_of::<u32>()];
        let mut len = info.len() as socklen_t;
        // SAFETY: an open socket; the kernel writes at most `len` bytes
        let rc = unsafe {
            let info = info.as_mut_ptr().cast();
            getsockopt(self.raw().fd, IPPROTO_TCP as _, TCP_INFO as _, info, &raw mut len)
        };
        let is_waiting = info[UNACKED..] != [0; size_of::<u32>()];
        rc != 0 || !(is_waiting || info[PROBES] > 1)
    }

    /// Whether a write may be attempted: the connection is established and the socket accepts
    /// bytes.
    pub fn is_writable(&self) -> bool {
        self.write_event().bits().ready() != 0
    }

    /// The pending error of the socket, for example of a failed connection attempt. Reading it
    /// clears it.
    pub fn error(&self) -> Option<io::Error> {
        let (mut error, mut len): (c_int, _) = (0, size_of::<c_int>() as socklen_t);
        // SAFETY: an open socket; the kernel writes an int
        let rc = unsafe {
            let error = (&raw mut error).cast();
            getsockopt(self.raw().fd, SOL_SOCKET as _, SO_ERROR as _, error, &raw mut len)
        };
        match (rc, error) {
            (0, 0) => None,
            (0, error) => Some(io::Error::from_raw_os_error(error)),
            _ => Some(io::Error::last_os_error()),
        }
    }

    /// Makes an exiting worker not wait for the timer of this connection.
    pub fn set_cancelable(&self) {
        self.read_event().bits_mut().set_cancelable(1);
    }

    /// The connection's log, which adds the context of the connection to messages.
    pub fn log(&self) -> Log<'_> {
        // SAFETY: nginx sets a log for every open connection
        unsafe { Log::from_ptr(self.raw().log) }
    }

    /// Arms the read event, so that nginx calls the handler when bytes arrive. With level-triggered
    /// event methods, disarms it while unread bytes are already known, and after the end of the
    /// stream or an error. Call this when a read returns [`Transfer::Again`] and when reading
    /// pauses. Returns `false` if nginx fails to change the event; the connection is then unusable.
    #[inline]
    pub fn wait_readable(&self) -> bool {
        let event = self.read_event();
        let at_end = event.bits().eof() != 0 || event.bits().error() != 0;
        if !at_end && is_armed_for_edges(event) {
            return true;
        }
        let flags = if at_end { NGX_CLOSE_EVENT } else { 0 };
        // nginx would add the event of a connection at its end if it is not active
        // SAFETY: the read event of an open connection
        (at_end && event.bits().active() == 0)
            || unsafe { ngx_handle_read_event(event, flags as usize) == NGX_OK as isize }
    }

    /// Arms the write event, so that nginx calls the handler when the socket accepts bytes again;
    /// with level-triggered event methods (`poll`, `select`), disarms it while the socket accepts
    /// them already, as it would fire continuously. Returns `false` if nginx fails to change the
    /// event; the connection is then unusable.
    #[inline]
    pub fn wait_writable(&self) -> bool {
        // SAFETY: the write event of an open connection
        is_armed_for_edges(self.write_event())
            || unsafe { ngx_handle_write_event(self.write_event(), 0) == NGX_OK as isize }
    }

    /// Schedules a call of the read handler in the next iteration of the event loop, after other
    /// connections.
    pub fn read_later(&self) {
        // SAFETY: the read event of an open connection; the queue is nginx's
        unsafe { ngx_post_event(self.read_event(), &raw mut ngx_posted_next_events) };
    }

    /// When the timer expires, on nginx's clock in milliseconds; `None` if it is not set.
    pub fn timer(&self) -> Option<u64> {
        let event = self.read_event();
        (event.bits().timer_set() != 0).then_some(event.timer.key as u64)
    }

    /// Sets the timer to expire at `at`, on nginx's clock in milliseconds
    /// ([`now`](crate::process::now)), and replaces an earlier setting. A time in the past expires
    /// at once.
    pub fn set_timer(&self, at: u64) {
        if self.read_event().bits().timer_set() != 0 {
            // nginx ignores a change of less than 300 ms (NGX_TIMER_LAZY_DELAY)
            // SAFETY: the condition has found it set
            unsafe { ngx_del_timer(self.read_event()) };
        }
        // SAFETY: only nginx's thread writes the clock
        let wait = at.saturating_sub(unsafe { ngx_current_msec } as u64);
        // SAFETY: the read event of an open connection; nginx deletes its timer when it closes the
        // connection
        unsafe { ngx_add_timer(self.read_event(), wait as usize) };
    }

    /// Whether the timer has expired; clears the flag.
    #[inline]
    pub fn take_timeout(&self) -> bool {
        let event = self.read_event();
        let due = event.bits().timedout() != 0;
        if due {
            event.bits_mut().set_timedout(0);
        }
        due
    }

    /// Deletes all timers of both events, those of nginx included.
    pub fn delete_timers(&self) {
        for event in [self.read_event(), self.write_event()] {
            if event.bits().timer_set() != 0 {
                // SAFETY: the condition has found it set
                unsafe { ngx_del_timer(event) };
            }
            event.bits_mut().set_timedout(0);
            event.bits_mut().set_delayed(0);
        }
    }

    /// Sets whether nginx calls the read handler when the worker begins to exit
    /// (`ngx_close_idle_connections`). An exiting worker does not wait for an idle connection.
    pub fn set_idle(&self, idle: bool) {
        self.raw().bits_mut().set_idle(idle.into());
    }

    /// Whether nginx asks to close the connection; clears the flag. `Some(true)`: at once
    /// (`ngx_shutdown_timer_handler`); `Some(false)`: when convenient.
    #[inline]
    pub fn take_close(&self) -> Option<bool> {
        let c = self.raw();
        if c.bits().close() == 0 {
            return None;
        }
        c.bits_mut().set_close(0);
        Some(c.bits().error() != 0)
    }

    /// Whether nginx has seen the end of the stream or an error of the connection.
    pub fn is_over(&self) -> bool {
        let event = self.read_event();
        event.bits().eof() != 0 || event.bits().error() != 0 || self.raw().bits().error() != 0
    }

    /// Whether there are unread bytes and the connection is open, so that closing it now would
    /// reset it and lose data that the client has not read.
    pub fn can_linger(&self) -> bool {
        self.is_readable() && !self.is_over()
    }

    /// Shuts down the sending side (`SHUT_WR`).
    pub fn shut_down_sending(&self) {
        // SAFETY: an open socket
        unsafe { shutdown(self.raw().fd, SHUT_WR as _) };
    }

    /// Frees the write buffer of a TLS connection. OpenSSL allocates it again when needed. No
    /// effect without TLS.
    pub fn free_tls_buffer(&self) {
        if !self.raw().ssl.is_null() {
            // SAFETY: the condition has found a TLS connection
            unsafe { ngx_ssl_free_buffer(self.as_ptr()) };
        }
    }

    /// Allows a TLS write that was not completed to be retried from another buffer
    /// (`SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER`): the first attempt is from the worker's buffer, the
    /// next from a buffer of the owner. No effect without TLS.
    pub fn let_tls_writes_move(&self) {
        // SAFETY: null or the TLS state of an open connection
        if let Some(ssl) = unsafe { self.raw().ssl.as_ref() } {
            let mode = SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER;
            // SAFETY: an open TLS connection; the call is the expansion of the macro SSL_set_mode
            unsafe { SSL_ctrl(ssl.connection, SSL_CTRL_MODE as _, mode.into(), null_mut()) };
        }
    }

    /// Whether nginx has buffered output for the connection.
    pub fn has_buffered(&self) -> bool {
        self.raw().bits().buffered() != 0
    }

    /// Sets the action that nginx's messages about the connection name (`while ...`).
    pub fn set_action(&self, action: &'static std::ffi::CStr) {
        // SAFETY: nginx sets a log for every open connection; the string is static
        unsafe { (*self.raw().log).action = action.as_ptr().cast_mut() };
    }

    /// Ends TLS at once, with a `close_notify` if the socket accepts it. Later reads return raw
    /// bytes. No effect without TLS.
    pub fn end_tls(&self) {
        let c = self.raw();
        // SAFETY: null or the TLS state of an open connection; ngx_ssl_shutdown may free it, and
        // `ssl` is not used afterwards
        unsafe {
            let Some(ssl) = c.ssl.as_mut() else { return };
            ssl.bits_mut().set_no_wait_shutdown(1);
            if ngx_ssl_shutdown(self.as_ptr()) == NGX_AGAIN as isize {
                // the socket is full: nginx would wait for it, and would not free the state if the
                // connection is closed first
                c.bits_mut().set_timedout(1);
                ngx_ssl_shutdown(self.as_ptr());
                c.bits_mut().set_timedout(0);
            }
        }
    }

    /// Whether nginx has accepted the connection, rather than opened it.
    fn is_accepted(&self) -> bool {
        !self.raw().listening.is_null()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_accepted() {
            if is_exiting() {
                // nginx may take a few seconds for a TLS connection with a full socket
                self.end_tls();
            }
            // SAFETY: the value owns the connection, which is open until this call and has no
            // request
            return unsafe { ngx_http_close_connection(self.as_ptr()) };
        }
        self.end_tls();
        let c = self.raw();
        // SAFETY: the value owns the connection, which is open until this call, and its pool
        unsafe {
            if !c.pool.is_null() {
                ngx_destroy_pool(c.pool);
                c.pool = null_mut();
            }
            ngx_close_connection(self.as_ptr());
        }
    }
}

/// Whether nginx already gets edge-triggered notifications for the event, so that there is nothing
/// to arm (`ngx_handle_read_event`, `ngx_handle_write_event` with `NGX_USE_CLEAR_EVENT`, as with
/// epoll).
#[inline]
fn is_armed_for_edges(event: &ngx_event_t) -> bool {
    // SAFETY: nginx sets this global before the event loop starts
    let by_changes = unsafe { ngx_event_flags } & NGX_USE_CLEAR_EVENT as usize != 0;
    by_changes && event.bits().active() != 0
}

/// The handler of a connection without an owner.
unsafe extern "C" fn ignore(_: *mut ngx_event_t) {
    guarded((), || {});
}
