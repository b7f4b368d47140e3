//! A connection of nginx that a module has to itself.

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
use crate::log::Log;
use crate::process::is_exiting;

/// An open connection. It is closed when dropped: that of a client as `http` does it, one to a
/// server as `ngx_http_upstream_finalize_request` does.
///
/// Its events reach its owner as [`Owner`](crate::owner::Owner) has it. nginx's structures behind it
/// are read and written through references that end before anything else is called; so much of nginx
/// refers to them that no borrow could say it.
#[repr(transparent)]
pub struct Connection(NonNull<ngx_connection_t>);

/// What a read or a write came to.
pub enum Transfer {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing now; nginx calls the handler when there is more to do. That says nothing about
    /// `ready`: TLS may have to write before it can read, or to read before it can write.
    Again,
    /// The other side has closed its sending side; only a read finds this.
    Eof,
    /// The connection failed; nginx has logged it.
    Error,
}

impl Connection {
    /// Takes a connection over.
    ///
    /// # Safety
    /// `c` is null or an open connection that nobody else closes: one of a client without a request,
    /// or one to a server that no upstream has any more.
    pub(crate) unsafe fn own(c: *mut ngx_connection_t) -> Option<Self> {
        NonNull::new(c).map(Self)
    }

    /// A connection that somebody else owns, for a call.
    ///
    /// # Safety
    /// `c` is null or open, and stays so while the result is used.
    pub(crate) unsafe fn lent(c: *mut ngx_connection_t) -> Option<ManuallyDrop<Self>> {
        NonNull::new(c).map(|c| ManuallyDrop::new(Self(c)))
    }

    /// nginx's own structure.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut ngx_connection_t {
        self.0.as_ptr()
    }

    /// nginx's own structure.
    #[expect(clippy::mut_from_ref, reason = "nginx's structures are shared and mutable")]
    #[inline]
    fn raw(&self) -> &mut ngx_connection_t {
        // SAFETY: open by the contract of from_ptr; nginx is single-threaded and no reference is
        // held over a call into it
        unsafe { &mut *self.0.as_ptr() }
    }

    #[expect(clippy::mut_from_ref, reason = "as above")]
    #[inline]
    fn read_event(&self) -> &mut ngx_event_t {
        // SAFETY: an open connection has both events
        unsafe { &mut *self.raw().read }
    }

    #[expect(clippy::mut_from_ref, reason = "as above")]
    #[inline]
    fn write_event(&self) -> &mut ngx_event_t {
        // SAFETY: as above
        unsafe { &mut *self.raw().write }
    }

    /// Makes these the handlers of the connection's events and `data` what they find there, and
    /// takes off what nginx has left that would take `data` for its own.
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
            // put back when TLS can go on with what it has to write before it reads, or to read
            // before it writes (ngx_ssl_handle_recv, ngx_ssl_write)
            ssl.saved_read_handler = None;
            ssl.saved_write_handler = None;
            // called with a ticket, which may come at any time (ngx_ssl_new_client_session)
            ssl.save_session = None;
        }
    }

    /// The handler of read events, also while nginx has put it aside: TLS has to read before it can
    /// write then (`ngx_ssl_read_handler`).
    pub(crate) fn handler(&self) -> ngx_event_handler_pt {
        // SAFETY: null or the TLS state of an open connection
        let ssl = unsafe { self.raw().ssl.as_ref() };
        ssl.and_then(|ssl| ssl.saved_read_handler).or(self.read_event().handler)
    }

    /// Whether what seems a read event may be one for writing: TLS has to write before it can read
    /// (`ngx_ssl_write_handler`), and may do so again.
    pub fn reads_by_writing(&self) -> bool {
        // SAFETY: null or the TLS state of an open connection
        let ssl = unsafe { self.raw().ssl.as_ref() };
        ssl.is_some_and(|ssl| ssl.saved_write_handler.is_some())
            && self.write_event().bits().ready() != 0
    }

    /// Whether a read may find something.
    #[inline]
    pub fn is_readable(&self) -> bool {
        self.read_event().bits().ready() != 0
    }

    /// Reads into `buf` what is there.
    #[inline]
    pub fn recv(&self, buf: &mut [u8]) -> Transfer {
        let Some(recv) = self.raw().recv else { return Transfer::Error };
        // SAFETY: the buffer is writable for its length
        match unsafe { recv(self.as_ptr(), buf.as_mut_ptr(), buf.len()) } {
            n if n > 0 => Transfer::Bytes(n as usize),
            0 => Transfer::Eof,
            n if n == NGX_AGAIN as isize => Transfer::Again,
            _ => Transfer::Error,
        }
    }

    /// Writes what the socket takes of `bytes`.
    #[inline]
    pub fn send(&self, bytes: &[u8]) -> Transfer {
        if self.write_event().bits().ready() == 0 {
            return Transfer::Again;
        }
        let Some(send) = self.raw().send else { return Transfer::Error };
        // SAFETY: nginx only reads the bytes
        match unsafe { send(self.as_ptr(), bytes.as_ptr().cast_mut(), bytes.len()) } {
            n if n > 0 => Transfer::Bytes(n as usize),
            n if n == NGX_AGAIN as isize || n == 0 => Transfer::Again,
            _ => Transfer::Error,
        }
    }

    /// Whether bytes of the peer lie unread, in OpenSSL or in the socket (tcp(7), `SIOCINQ`). nginx
    /// runs timers before it hears of sockets where a signal has woken it, as SIGCONT does.
    pub fn has_unread(&self) -> bool {
        let mut bytes: std::ffi::c_int = 0;
        // SAFETY: an open socket; the kernel writes an int
        let rc = unsafe { ioctl(self.raw().fd, FIONREAD.into(), &raw mut bytes) };
        self.is_readable() || (rc == 0 && bytes > 0)
    }

    /// How many bytes the peer's host has not acknowledged (tcp(7), `SIOCOUTQ`).
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

    /// Whether the peer's host answers, and has no room for more: nothing that was sent to it is on
    /// its way, and not more than the latest question for room (tcp(7), `TCP_INFO`). On a Unix
    /// socket there is no host but this.
    pub fn is_held_off(&self) -> bool {
        // the beginning of the kernel's tcp_info: the fourth byte is tcpi_probes
        const PROBES: usize = 3;
        const UNACKED: usize = 24;
        let mut info = [0u8; UNACKED + size_of::<u32>()];
        let mut len = info.len() as socklen_t;
        // SAFETY: an open socket; the kernel writes at most len bytes
        let rc = unsafe {
            let info = info.as_mut_ptr().cast();
            getsockopt(self.raw().fd, IPPROTO_TCP as _, TCP_INFO as _, info, &raw mut len)
        };
        let is_waiting = info[UNACKED..] != [0; size_of::<u32>()];
        rc != 0 || !(is_waiting || info[PROBES] > 1)
    }

    /// Whether a write may be tried: the connection has come about, and the socket takes bytes.
    pub fn is_writable(&self) -> bool {
        self.write_event().bits().ready() != 0
    }

    /// Why it failed, if it did: an attempt to connect, for example.
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

    /// Has no worker that leaves wait for its timer.
    pub fn set_cancelable(&self) {
        self.read_event().bits_mut().set_cancelable(1);
    }

    /// Where messages about it go.
    pub fn log(&self) -> Log<'_> {
        // SAFETY: a connection has a log
        unsafe { Log::from_ptr(self.raw().log) }
    }

    /// Asks for a call when there is something to read, or, where `ready` says that nobody wants
    /// to know, or nothing can come any more, for none.
    #[inline]
    pub fn wait_readable(&self) -> bool {
        let event = self.read_event();
        let over = event.bits().eof() != 0 || event.bits().error() != 0;
        if !over && hears_of_changes(event) {
            return true;
        }
        let flags = if over { NGX_CLOSE_EVENT } else { 0 };
        // nginx would ask for the event of a connection that is over if it were not active
        // SAFETY: the event of an open connection
        (over && event.bits().active() == 0)
            || unsafe { ngx_handle_read_event(event, flags as usize) == NGX_OK as isize }
    }

    /// Asks for a call when the socket takes bytes again, or, where it does so already, for none:
    /// methods that wait for states (`poll`, `select`) would call for ever.
    #[inline]
    pub fn wait_writable(&self) -> bool {
        // SAFETY: the event of an open connection
        hears_of_changes(self.write_event())
            || unsafe { ngx_handle_write_event(self.write_event(), 0) == NGX_OK as isize }
    }

    /// Has the read handler called again, after the other connections had their turn.
    pub fn read_later(&self) {
        // SAFETY: the event of an open connection; nginx's queue
        unsafe { ngx_post_event(self.read_event(), &raw mut ngx_posted_next_events) };
    }

    /// When the timer will fire, in nginx's milliseconds, if it is set.
    pub fn timer(&self) -> Option<u64> {
        let event = self.read_event();
        (event.bits().timer_set() != 0).then_some(event.timer.key as u64)
    }

    /// Sets the timer to `at`, in nginx's milliseconds.
    pub fn set_timer(&self, at: u64) {
        if self.read_event().bits().timer_set() != 0 {
            // nginx leaves one alone that is set to within 300 ms (NGX_TIMER_LAZY_DELAY)
            // SAFETY: it is set
            unsafe { ngx_del_timer(self.read_event()) };
        }
        // SAFETY: a global of nginx
        let wait = at.saturating_sub(unsafe { ngx_current_msec } as u64);
        // SAFETY: the event of an open connection
        unsafe { ngx_add_timer(self.read_event(), wait as usize) };
    }

    /// Whether the call of the handler is due to the timer; asks once.
    #[inline]
    pub fn take_timeout(&self) -> bool {
        let event = self.read_event();
        let due = event.bits().timedout() != 0;
        if due {
            event.bits_mut().set_timedout(0);
        }
        due
    }

    /// Removes the timers that nginx has set.
    pub fn delete_timers(&self) {
        for event in [self.read_event(), self.write_event()] {
            if event.bits().timer_set() != 0 {
                // SAFETY: it is set
                unsafe { ngx_del_timer(event) };
            }
            event.bits_mut().set_timedout(0);
            event.bits_mut().set_delayed(0);
        }
    }

    /// Has nginx call the read handler when the worker begins to leave
    /// (`ngx_close_idle_connections`).
    pub fn set_idle(&self, idle: bool) {
        self.raw().bits_mut().set_idle(idle.into());
    }

    /// Whether nginx wants the connection closed; asks once. `Some(true)` is at once
    /// (`ngx_shutdown_timer_handler`), `Some(false)` as soon as it suits.
    #[inline]
    pub fn take_close(&self) -> Option<bool> {
        let c = self.raw();
        if c.bits().close() == 0 {
            return None;
        }
        c.bits_mut().set_close(0);
        Some(c.bits().error() != 0)
    }

    /// Whether the other side has closed, or the connection failed.
    pub fn is_over(&self) -> bool {
        let event = self.read_event();
        event.bits().eof() != 0 || event.bits().error() != 0 || self.raw().bits().error() != 0
    }

    /// Whether bytes of the peer are left unread, and it makes sense to wait for it to read ours.
    pub fn can_linger(&self) -> bool {
        self.is_readable() && !self.is_over()
    }

    /// Tells the peer that nothing more comes.
    pub fn shut_down_sending(&self) {
        // SAFETY: an open socket
        unsafe { shutdown(self.raw().fd, SHUT_WR as _) };
    }

    /// Frees the buffer of a TLS connection; it comes back by itself when needed.
    pub fn free_tls_buffer(&self) {
        if !self.raw().ssl.is_null() {
            // SAFETY: a TLS connection
            unsafe { ngx_ssl_free_buffer(self.as_ptr()) };
        }
    }

    /// Lets a TLS write that did not fit be tried again from other memory: the first try is from
    /// the worker's buffer, the next from the tunnel's own.
    pub fn let_tls_writes_move(&self) {
        // SAFETY: null or the TLS state of an open connection
        if let Some(ssl) = unsafe { self.raw().ssl.as_ref() } {
            let mode = SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER;
            // SAFETY: an open TLS connection; this is what the macro SSL_set_mode stands for
            unsafe { SSL_ctrl(ssl.connection, SSL_CTRL_MODE as _, mode.into(), null_mut()) };
        }
    }

    /// Whether bytes wait in nginx's output.
    pub fn has_buffered(&self) -> bool {
        self.raw().bits().buffered() != 0
    }

    /// What error messages say is being done.
    pub fn set_action(&self, action: &'static std::ffi::CStr) {
        // SAFETY: a connection has a log
        unsafe { (*self.raw().log).action = action.as_ptr().cast_mut() };
    }

    /// Ends TLS at once, with a `close_notify` where that can be written; what comes then is raw.
    pub fn end_tls(&self) {
        let c = self.raw();
        // SAFETY: null or the TLS state of an open connection, which is freed here
        unsafe {
            let Some(ssl) = c.ssl.as_mut() else { return };
            ssl.bits_mut().set_no_wait_shutdown(1);
            if ngx_ssl_shutdown(self.as_ptr()) == NGX_AGAIN as isize {
                // the socket is full; nginx would wait for it and free nothing if it is closed
                c.bits_mut().set_timedout(1);
                ngx_ssl_shutdown(self.as_ptr());
                c.bits_mut().set_timedout(0);
            }
        }
    }

    /// Whether nginx has accepted it, and not made it.
    fn is_accepted(&self) -> bool {
        !self.raw().listening.is_null()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_accepted() {
            if is_exiting() {
                // one with TLS whose socket is full may take nginx a few seconds
                self.end_tls();
            }
            // SAFETY: open until here, and no request is left on it
            return unsafe { ngx_http_close_connection(self.as_ptr()) };
        }
        self.end_tls();
        let c = self.raw();
        // SAFETY: open until here; its pool is its own
        unsafe {
            if !c.pool.is_null() {
                ngx_destroy_pool(c.pool);
                c.pool = null_mut();
            }
            ngx_close_connection(self.as_ptr());
        }
    }
}

/// Whether nginx is told of the event's changes already, so that there is nothing to ask for
/// (`ngx_handle_read_event`, `ngx_handle_write_event` with `NGX_USE_CLEAR_EVENT`, as epoll has it).
#[inline]
fn hears_of_changes(event: &ngx_event_t) -> bool {
    // SAFETY: a global that nginx sets before it serves
    let by_changes = unsafe { ngx_event_flags } & NGX_USE_CLEAR_EVENT as usize != 0;
    by_changes && event.bits().active() != 0
}
