//! The first bytes of connections, looked at before core reads them: addresses at which a connection
//! may begin with a header of the PROXY protocol or without one.
//!
//! Core listens there without `proxy_protocol`. The handler of such a listening socket is wrapped,
//! so that a new connection waits for its first bytes, which stay unread, and core is told to expect
//! a header only where there is one. From then on the connection is core's alone.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ptr::{fn_addr_eq, NonNull};

use ngx::ffi::__socket_type_SOCK_STREAM as SOCK_STREAM;
use ngx::ffi::{
    ngx_connection_handler_pt, ngx_connection_t, ngx_event_t, ngx_handle_read_event,
    ngx_http_addr_conf_t, ngx_http_close_connection, ngx_http_conf_addr_t, ngx_http_conf_ctx_t,
    ngx_http_conf_port_t, ngx_http_connection_t, ngx_http_core_srv_conf_t, ngx_http_in6_addr_t,
    ngx_http_in_addr_t, ngx_http_init_connection, ngx_http_port_t, ngx_listening_t, recv, MSG_PEEK,
    NGX_LOG_INFO, NGX_OK,
};
use ngx::http::{HttpModuleMainConf, NgxHttpCoreModule};

use crate::bits::Bits;
use crate::conf::{Conf, Place};
use crate::cycle::Cycle;
use crate::guard::guarded;
use crate::module::{HttpModule, Module};
use crate::socket::{address_of, is_established, set_least_to_read};

/// As many bytes as are ever looked at, nginx's own limit of a PROXY header
/// (`NGX_PROXY_PROTOCOL_MAX_HEADER`).
pub const LONGEST: usize = 4096;

/// A module that looks at the first bytes of connections.
pub trait FirstBytes: HttpModule {
    /// The addresses where it does, of a server.
    fn addresses(server: &Self::Server) -> &Addresses;

    /// What a connection begins with whose first bytes are these, at most [`LONGEST`]: as many as
    /// have arrived, and none where that was the end of it.
    fn judge(bytes: &[u8]) -> Verdict;
}

/// What a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A request.
    Request,
    /// A header of the PROXY protocol, for core to read.
    ProxyHeader,
    /// More bytes have to arrive to know.
    Incomplete,
}

/// Addresses of a server, which stand in what its module has of it.
#[derive(Default)]
pub struct Addresses {
    own: Vec<(SocketAddr, Place)>,
    /// What core made of those of which the server is the default one; filled once the sockets are
    /// there.
    made: RefCell<Vec<Made>>,
}

/// What core made of an address.
struct Made {
    /// Core says of a connection which one it has. Only compared: it may be gone.
    conf: *const ngx_http_addr_conf_t,
    /// Core's handler for the first bytes of a connection there, which nginx does not export. It is
    /// the same for all of them, as it follows from the parameters of `listen`.
    handler: Cell<Option<Handler>>,
}

/// A handler of an event.
type Handler = unsafe extern "C" fn(*mut ngx_event_t);

impl Addresses {
    /// Adds an address, and the directive that names it.
    pub fn add(&mut self, address: SocketAddr, place: Place) {
        self.own.push((address, place));
    }

    fn place_of(&self, address: SocketAddr) -> Option<&Place> {
        self.own.iter().find(|(own, _)| *own == address).map(|(_, place)| place)
    }

    fn add_made(&self, conf: *const ngx_http_addr_conf_t) {
        let mut made = self.made.borrow_mut();
        if !made.iter().any(|made| made.conf == conf) {
            made.push(Made { conf, handler: Cell::new(None) });
        }
    }

    /// What `work` makes of core's handler there; `None` where core has made no such address.
    fn with_handler<R>(
        &self,
        conf: *const ngx_http_addr_conf_t,
        work: impl FnOnce(&Cell<Option<Handler>>) -> R,
    ) -> Option<R> {
        let made = self.made.borrow();
        made.iter().find(|made| made.conf == conf).map(|made| work(&made.handler))
    }
}

impl Conf<'_> {
    /// An address where one server has the first bytes looked at and another has not, and where the
    /// first one says so: core has one socket for both. For `postconfiguration`, when core has all
    /// servers and has made no socket yet (`ngx_http_optimize_servers`); there is none before.
    pub fn mixed_first_bytes<M: FirstBytes>(&mut self) -> Option<(SocketAddr, Place)> {
        self.http_ctx()?;
        // SAFETY: what nginx passed
        let core = NgxHttpCoreModule::main_conf(unsafe { &*self.as_ptr() })?;
        // SAFETY: null or core's array of ports
        let ports = unsafe { core.ports.as_ref()?.as_slice::<ngx_http_conf_port_t>() };
        ports.iter().find_map(|port| {
            // SAFETY: the addresses of a port
            let addrs = unsafe { port.addrs.as_slice::<ngx_http_conf_addr_t>() };
            // SAFETY: those of this configuration, which nobody changes meanwhile: the gate
            addrs.iter().find_map(|addr| unsafe { mixed_at::<M>(addr) })
        })
    }
}

/// See [`Conf::mixed_first_bytes`].
///
/// # Safety
/// An address of core's, and nobody changes what the module has of its servers.
unsafe fn mixed_at<M: FirstBytes>(addr: &ngx_http_conf_addr_t) -> Option<(SocketAddr, Place)> {
    // SAFETY: the address of a listen directive, and the servers with it
    let (address, servers) = unsafe {
        (address_of(addr.opt.sockaddr)?, addr.servers.as_slice::<*const ngx_http_core_srv_conf_t>())
    };
    let (mut with, mut without) = (None, false);
    for server in servers {
        // SAFETY: by contract
        let own = unsafe { server_conf::<M>(*server) }.map(M::addresses);
        match own.and_then(|own| own.place_of(address)) {
            Some(place) => with = with.or(Some(place)),
            None => without = true,
        }
    }
    with.filter(|_| without).map(|place| (address, place.clone()))
}

impl Cycle<'_> {
    /// Has the first bytes of connections looked at, at the addresses of the module's servers. For
    /// `init_module`, when core has made its sockets.
    pub fn look_at_first_bytes<M: FirstBytes>(self) {
        // SAFETY: the array of sockets; the cycle before the first one has none yet
        let listening = unsafe {
            match (*self.as_ptr()).listening.nelts {
                0 => return,
                _ => (*self.as_ptr()).listening.as_slice_mut::<ngx_listening_t>(),
            }
        };
        for listening in listening {
            // QUIC reads on its own
            let is_tcp = listening.type_ == SOCK_STREAM as c_int;
            // SAFETY: of a socket of http, `servers` is what ngx_http_init_listening made
            let is_ours = || unsafe { note_addresses::<M>(listening) };
            if is_tcp && is_http::<M>(listening.handler) && is_ours() {
                listening.handler = Some(on_connection::<M>);
            }
        }
    }
}

/// Whether the handler of a listening socket is that of http, and not of stream or mail.
pub(crate) fn is_http<M: FirstBytes>(handler: ngx_connection_handler_pt) -> bool {
    let http: [unsafe extern "C" fn(_); 2] = [ngx_http_init_connection, on_connection::<M>];
    handler.is_some_and(|handler| http.iter().any(|http| fn_addr_eq(handler, *http)))
}

/// What a module has of a server.
///
/// # Safety
/// `server` is null or a server of a configuration, and nobody changes what the module has of it
/// while the result is used.
unsafe fn server_conf<'a, M: HttpModule>(
    server: *const ngx_http_core_srv_conf_t,
) -> Option<&'a M::Server> {
    // SAFETY: each server has a slot for each module; that of this one holds what its
    // `create_srv_conf` made
    unsafe {
        let ctx: &ngx_http_conf_ctx_t = server.as_ref()?.ctx.as_ref()?;
        let slots = NonNull::new(ctx.srv_conf)?;
        (*slots.as_ptr().add(Module::<M>::ctx_index()?)).cast::<M::Server>().as_ref()
    }
}

/// Notes what core made of the addresses of a listening socket; whether the module has one of them.
///
/// # Safety
/// The socket is one of http, its configuration whole.
unsafe fn note_addresses<M: FirstBytes>(listening: &ngx_listening_t) -> bool {
    // SAFETY: by contract
    let (Some(address), Some(port)) = (unsafe {
        (address_of(listening.sockaddr), listening.servers.cast::<ngx_http_port_t>().as_ref())
    }) else {
        return false;
    };
    let mut found = false;
    for index in 0..port.naddrs {
        // SAFETY: as many addresses, of the family of the socket (ngx_http_add_addrs)
        let (ip, conf) = unsafe { addr_at(port, index, address.is_ipv6()) };
        // SAFETY: by contract
        let Some(server) = (unsafe { server_conf::<M>((*conf).default_server) }) else { continue };
        let own = M::addresses(server);
        if own.place_of(SocketAddr::new(ip, address.port())).is_some() {
            own.add_made(conf);
            found = true;
        }
    }
    found
}

/// An address of a port, and what core has for it.
///
/// # Safety
/// The port has that many addresses, of that family.
unsafe fn addr_at(
    port: &ngx_http_port_t,
    index: usize,
    is_ipv6: bool,
) -> (IpAddr, *const ngx_http_addr_conf_t) {
    // SAFETY: by contract
    unsafe {
        if is_ipv6 {
            let addr = port.addrs.cast::<ngx_http_in6_addr_t>().add(index);
            let octets = (&raw const (*addr).addr6).cast::<[u8; 16]>().read();
            (octets.into(), &raw const (*addr).conf)
        } else {
            let addr = port.addrs.cast::<ngx_http_in_addr_t>().add(index);
            (Ipv4Addr::from((*addr).addr.to_ne_bytes()).into(), &raw const (*addr).conf)
        }
    }
}

/// Core's handler at the address of a connection, in the place where it is kept. `None` where the
/// module has nothing to do with the address.
///
/// # Safety
/// A connection that core has prepared, and has not read from.
unsafe fn with_core_handler<M: FirstBytes, R>(
    c: *const ngx_connection_t,
    work: impl FnOnce(&Cell<Option<Handler>>) -> R,
) -> Option<R> {
    // SAFETY: by contract core has its own structure in `data`; a configuration stays as long as
    // it has connections
    let (conf, server) = unsafe {
        let conf: *const _ = (*c).data.cast::<ngx_http_connection_t>().as_ref()?.addr_conf;
        (conf, server_conf::<M>(conf.as_ref()?.default_server)?)
    };
    M::addresses(server).with_handler(conf, work)
}

/// The handler of a listening socket: core prepares the connection, chooses its server and sets
/// the timer of `client_header_timeout`; then its first bytes are ours to wait for.
unsafe extern "C" fn on_connection<M: FirstBytes>(c: *mut ngx_connection_t) {
    guarded((), || {
        // SAFETY: nginx passes a new connection
        unsafe {
            // with data there already, on a deferred socket, core would read at once; the read event
            // that it asks for instead comes all the same
            (*(*c).read).bits_mut().set_ready(0);
            ngx_http_init_connection(c);
            if (*c).bits().destroyed() != 0 {
                return;
            }
            let rev = &mut *(*c).read;
            let Some(handler) = rev.handler else { return };
            if with_core_handler::<M, _>(c, |core| core.set(Some(handler))).is_some() {
                rev.handler = Some(on_readable::<M>);
                // a worker that leaves does not wait for it
                (*c).bits_mut().set_idle(1);
            }
        }
    })
}

/// The read handler of a connection of which no byte was read yet.
unsafe extern "C" fn on_readable<M: FirstBytes>(rev: *mut ngx_event_t) {
    guarded((), || {
        // SAFETY: nginx passes the read event of an open connection that on_connection has seen
        unsafe {
            let c: *mut ngx_connection_t = (*rev).data.cast();
            if (*rev).bits().timedout() != 0 || (*c).bits().close() != 0 {
                return go_on::<M>(c, false);
            }
            let mut bytes = [0; LONGEST];
            let n = recv((*c).fd, bytes.as_mut_ptr().cast(), bytes.len(), MSG_PEEK as c_int);
            // an error, and the end of the connection, core will find once more
            let bytes = usize::try_from(n).ok().and_then(|n| bytes.get(..n)).unwrap_or_default();
            if n == -1 && std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock {
                return wait(c, 0);
            }
            match M::judge(bytes) {
                Verdict::Incomplete if n > 0 => wait(c, bytes.len()),
                verdict => go_on::<M>(c, verdict == Verdict::ProxyHeader),
            }
        }
    })
}

/// Leaves the connection to core, for the rest of its life.
///
/// # Safety
/// An open connection that on_connection has seen.
unsafe fn go_on<M: FirstBytes>(c: *mut ngx_connection_t, has_header: bool) {
    // SAFETY: by contract; core has its own structure in `data` until there is a request
    unsafe {
        let Some(handler) = with_core_handler::<M, _>(c, Cell::get).flatten() else {
            return ngx_http_close_connection(c);
        };
        let _ = set_least_to_read((*c).fd, 1);
        if has_header {
            // as ngx_http_init_connection does for `listen ... proxy_protocol`
            (*(*c).data.cast::<ngx_http_connection_t>()).bits_mut().set_proxy_protocol(1);
            (*(*c).log).action = c"reading PROXY protocol".as_ptr().cast_mut();
        }
        (*c).bits_mut().set_idle(0);
        (*(*c).read).handler = Some(handler);
        handler((*c).read);
    }
}

/// Waits for more than the `have` bytes that are there and stay unread, under the timer that core
/// has set.
///
/// # Safety
/// As of `go_on`.
unsafe fn wait(c: *mut ngx_connection_t, have: usize) {
    // SAFETY: by contract
    unsafe {
        if have > 0 {
            // a read that leaves its bytes cannot tell that there will be no more
            if !is_established((*c).fd) {
                ngx::ngx_log_error!(NGX_LOG_INFO, (*c).log, "client closed connection");
                return ngx_http_close_connection(c);
            }
            // where nginx asks for the state of a socket and not for its changes (poll), the
            // unread bytes would wake it all the time
            let _ = set_least_to_read((*c).fd, have + 1);
        }
        (*(*c).read).bits_mut().set_ready(0);
        if ngx_handle_read_event((*c).read, 0) != NGX_OK as isize {
            ngx_http_close_connection(c);
        }
    }
}
