//! A connection that this process opens itself.

use std::cell::RefCell;
use std::io;
use std::mem::zeroed;
use std::ops::Deref;
use std::rc::Rc;

use ngx::ffi::{
    ngx_connection_log_error_e_NGX_ERROR_ERR, ngx_connection_t, ngx_event_connect_peer,
    ngx_event_get_peer, ngx_event_t, ngx_peer_connection_t, ngx_str_t, sockaddr_storage, NGX_AGAIN,
    NGX_DECLINED, NGX_OK,
};

use crate::bits::Bits;
use crate::connection::Connection;
use crate::guard::guarded;
use crate::log::QuietLog;
use crate::peers::Address;

/// A connection that this process has opened, closed when dropped.
pub struct Outgoing {
    /// Its data is what `on_event` points to, which is dropped after it.
    connection: Connection,
    _on_event: Rc<OnEvent>,
}

struct OnEvent {
    work: RefCell<Box<dyn FnMut()>>,
    /// The connection's.
    _log: QuietLog,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Failed {
    /// The system refuses it at once.
    Refused(io::Error),
    /// This process has no means to connect, which says nothing about the other side.
    Unable,
}

impl Outgoing {
    /// Connects to the address of a peer, and calls `work` at each event of the connection: when it
    /// has come about or failed, when there is something to read or room to write, when the timer has
    /// fired, and when nginx wants it closed. That is never before this call is over. `work` may drop
    /// the connection.
    ///
    /// An event costs a call by a pointer: [`Owner`](crate::owner::Owner) is for connections of which
    /// there are many events.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn connect(
        address: &Address,
        log: &QuietLog,
        work: impl FnMut() + 'static,
    ) -> Result<Self, Failed> {
        let (bytes, mut name) = (address.as_bytes(), ngx_str_t::default());
        // SAFETY: all-zero is a valid value of both C structs
        let (mut sockaddr, mut peer): (sockaddr_storage, ngx_peer_connection_t) =
            unsafe { (zeroed(), zeroed()) };
        if bytes.len() > size_of::<sockaddr_storage>() {
            return Err(Failed::Unable);
        }
        // SAFETY: room for as much, as just seen
        unsafe {
            (&raw mut sockaddr).cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        peer.sockaddr = (&raw mut sockaddr).cast();
        peer.socklen = bytes.len() as _;
        peer.name = &raw mut name;
        peer.get = Some(ngx_event_get_peer);
        peer.log = log.as_ptr();
        peer.bits_mut().set_log_error(ngx_connection_log_error_e_NGX_ERROR_ERR);
        // SAFETY: filled in as nginx wants it; of all that it keeps the log alone, which the result
        // has with it
        let rc = unsafe { ngx_event_connect_peer(&raw mut peer) };
        // the last system call that failed is connect()
        let error = io::Error::last_os_error();
        if rc == NGX_DECLINED as isize {
            return Err(Failed::Refused(error));
        }
        if ![NGX_OK as _, NGX_AGAIN as _].contains(&rc) {
            return Err(Failed::Unable);
        }
        // SAFETY: just made, for nobody else
        let connection = unsafe { Connection::own(peer.connection) }.ok_or(Failed::Unable)?;
        let work: RefCell<Box<dyn FnMut()>> = RefCell::new(Box::new(work));
        let on_event = Rc::new(OnEvent { work, _log: log.clone() });
        let data = Rc::as_ptr(&on_event).cast_mut().cast();
        connection.adopt(data, Some(self::on_event), Some(self::on_event));
        Ok(Self { connection, _on_event: on_event })
    }
}

impl Deref for Outgoing {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

unsafe extern "C" fn on_event(ev: *mut ngx_event_t) {
    guarded((), || {
        // SAFETY: nginx passes an event of an open connection, whose data is what
        // `Outgoing::connect` has put there and which is closed before that goes; the reference keeps
        // it should the work drop the connection
        let on_event = unsafe {
            let connection = (*ev).data.cast::<ngx_connection_t>();
            let on_event = (*connection).data.cast_const().cast::<OnEvent>();
            Rc::increment_strong_count(on_event);
            Rc::from_raw(on_event)
        };
        if let Ok(mut work) = on_event.work.try_borrow_mut() {
            work();
        };
    })
}
