//! Connections that a module opens itself.

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

/// A connection that a module has opened. Dropping it closes it.
pub struct Outgoing {
    /// Its `data` points to `_on_event`, which is dropped after it.
    connection: Connection,
    _on_event: Rc<OnEvent>,
}

struct OnEvent {
    work: RefCell<Box<dyn FnMut()>>,
    /// The log of the connection.
    _log: QuietLog,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Failed {
    /// The system has refused to connect.
    Refused(io::Error),
    /// This process lacks a resource that it needs to connect, which says nothing about the peer.
    Unable,
}

impl Outgoing {
    /// Connects to the address of a peer. `work` is called at each event of the connection: when it
    /// is established or has failed, when it can be read or written, when its timer has expired and
    /// when nginx asks to close it. It is never called before this function returns. A panic of
    /// `work` is caught. `work` may drop the connection. To be called in a process that runs
    /// nginx's event loop.
    ///
    /// Each event costs an indirect call; [`Owner`](crate::owner::Owner) is meant for connections
    /// with many events.
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
        // SAFETY: the length has been checked, and the regions do not overlap
        unsafe {
            (&raw mut sockaddr).cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        peer.sockaddr = (&raw mut sockaddr).cast();
        peer.socklen = bytes.len() as _;
        peer.name = &raw mut name;
        peer.get = Some(ngx_event_get_peer);
        peer.log = log.as_ptr();
        peer.bits_mut().set_log_error(ngx_connection_log_error_e_NGX_ERROR_ERR);
        // SAFETY: the structure has what ngx_event_connect_peer reads; nginx stores only the log,
        // which the result keeps alive
        let rc = unsafe { ngx_event_connect_peer(&raw mut peer) };
        // connect() is the last system call that has failed
        let error = io::Error::last_os_error();
        if rc == NGX_DECLINED as isize {
            return Err(Failed::Refused(error));
        }
        if ![NGX_OK as _, NGX_AGAIN as _].contains(&rc) {
            return Err(Failed::Unable);
        }
        // SAFETY: nginx has just opened it, and nobody else has it
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
        // SAFETY: nginx passes an event of an open connection that `Outgoing::connect` has set up;
        // `data` is valid until the connection is closed. The additional reference keeps it alive
        // if `work` drops the connection
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
