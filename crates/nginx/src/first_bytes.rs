//! Inspection of the first bytes of a connection before nginx reads them, for addresses where the
//! PROXY protocol header is optional.
//!
//! nginx listens at such an address without `proxy_protocol`. The handler of the listening socket
//! is wrapped: a new connection waits for its first bytes, which are peeked and not consumed, and
//! nginx is set to expect a header only if there is one. From then on nginx handles the connection
//! alone.

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

/// The maximum number of bytes inspected: nginx's limit for a PROXY protocol header
/// (`NGX_PROXY_PROTOCOL_MAX_HEADER`).
pub const LONGEST: usize = 4096;

/// A module that inspects the first bytes of connections.
pub trait FirstBytes: HttpModule {
    /// The addresses of a server where connections are inspected.
    fn addresses(server: &Self::Server) -> &Addresses;

    /// Judges the first bytes of a connection: those that have arrived so far, at most [`LONGEST`];
    /// none if the connection has ended or failed. Called again with more bytes after
    /// [`Verdict::Incomplete`].
    fn judge(bytes: &[u8]) -> Verdict;
}

/// What a connection starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A request.
    Request,
    /// A PROXY protocol header, which nginx is to read.
    ProxyHeader,
    /// Undecided; more bytes are needed.
    Incomplete,
}

/// The addresses of a server where connections are inspected. To be stored in the server
/// configuration of the module.
#[derive(Default)]
pub struct Addresses {
    own: Vec<(SocketAddr, Place)>,
    /// nginx's structures for the addresses that have this server as their default server. Empty
    /// until the sockets are open.
    made: RefCell<Vec<Made>>,
}

/// nginx's structure for an address.
struct Made {
    /// A connection refers to this structure. It is compared only, as it may have been freed.
    conf: *const ngx_http_addr_conf_t,
    /// nginx's handler for the first bytes of a connection at this address, which it does not
    /// export. It depends on the parameters of `listen` only, so it is the same for all connections
    /// there.
    handler: Cell<Option<Handler>>,
}

/// An event handler.
type Handler = unsafe extern "C" fn(*mut ngx_event_t);

impl Addresses {
    /// Adds an address, and the position of the directive that names it.
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

    /// Calls `work` with the stored handler of an address; `None` if the address is unknown.
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
    /// An address that one server inspects and another does not, with the position in the server
    /// that does: nginx has one socket for both. To be called in `postconfiguration`, when nginx
    /// has all servers and no sockets yet (`ngx_http_optimize_servers`); earlier the result is
    /// `None`.
    pub fn mixed_first_bytes<M: FirstBytes>(&mut self) -> Option<(SocketAddr, Place)> {
        self.http_ctx()?;
        // SAFETY: nginx passes a valid configuration
        let core = NgxHttpCoreModule::main_conf(unsafe { &*self.as_ptr() })?;
        // SAFETY: null, or nginx's array of ports
        let ports = unsafe { core.ports.as_ref()?.as_slice::<ngx_http_conf_port_t>() };
        ports.iter().find_map(|port| {
            // SAFETY: the array of addresses of a port
            let addrs = unsafe { port.addrs.as_slice::<ngx_http_conf_addr_t>() };
            // SAFETY: an address of the configuration being read; `&mut self` guarantees that
            // nobody changes configurations of modules meanwhile
            addrs.iter().find_map(|addr| unsafe { mixed_at::<M>(addr) })
        })
    }
}

/// See [`Conf::mixed_first_bytes`].
///
/// # Safety
/// `addr` is an address of a configuration, and nobody changes the configurations of its servers
/// during the call.
unsafe fn mixed_at<M: FirstBytes>(addr: &ngx_http_conf_addr_t) -> Option<(SocketAddr, Place)> {
    // SAFETY: nginx sets the address of each listen directive, and its array of servers
    let (address, servers) = unsafe {
        (address_of(addr.opt.sockaddr)?, addr.servers.as_slice::<*const ngx_http_core_srv_conf_t>())
    };
    let (mut with, mut without) = (None, false);
    for server in servers {
        // SAFETY: the caller guarantees the servers of a configuration
        let own = unsafe { server_conf::<M>(*server) }.map(M::addresses);
        match own.and_then(|own| own.place_of(address)) {
            Some(place) => with = with.or(Some(place)),
            None => without = true,
        }
    }
    with.filter(|_| without).map(|place| (address, place.clone()))
}

impl Cycle<'_> {
    /// Starts to inspect connections at the addresses of the module's servers. To be called in
    /// `init_module`, when nginx has opened its sockets; at any other time somebody may be using
    /// the listening sockets.
    pub fn look_at_first_bytes<M: FirstBytes>(self) {
        // SAFETY: the array of listening sockets, which nobody uses during `init_module`; the
        // initial cycle has none
        let listening = unsafe {
            match (*self.as_ptr()).listening.nelts {
                0 => return,
                _ => (*self.as_ptr()).listening.as_slice_mut::<ngx_listening_t>(),
            }
        };
        for listening in listening {
            // QUIC reads by itself
            let is_tcp = listening.type_ == SOCK_STREAM as c_int;
            // SAFETY: for a socket of http, ngx_http_init_listening has set `servers`
            let is_ours = || unsafe { note_addresses::<M>(listening) };
            if is_tcp && is_http::<M>(listening.handler) && is_ours() {
                listening.handler = Some(on_connection::<M>);
            }
        }
    }
}

/// Whether the handler of a listening socket is that of http, not of stream or mail.
pub(crate) fn is_http<M: FirstBytes>(handler: ngx_connection_handler_pt) -> bool {
    let http: [unsafe extern "C" fn(_); 2] = [ngx_http_init_connection, on_connection::<M>];
    handler.is_some_and(|handler| http.iter().any(|http| fn_addr_eq(handler, *http)))
}

/// The configuration of module `M` for a server.
///
/// # Safety
/// `server` is null or a server of a live configuration, and nobody changes the module's
/// configuration of it while the result is used.
unsafe fn server_conf<'a, M: HttpModule>(
    server: *const ngx_http_core_srv_conf_t,
) -> Option<&'a M::Server> {
    // SAFETY: by contract the server is live; its context has a slot for each HTTP module, and that
    // of `M` holds what its `create_srv_conf` has made
    unsafe {
        let ctx: &ngx_http_conf_ctx_t = server.as_ref()?.ctx.as_ref()?;
        let slots = NonNull::new(ctx.srv_conf)?;
        (*slots.as_ptr().add(Module::<M>::ctx_index()?)).cast::<M::Server>().as_ref()
    }
}

/// Stores nginx's structures for the addresses of a listening socket that the module inspects.
/// Returns whether there are any.
///
/// # Safety
/// It is a socket of http of a fully read configuration.
unsafe fn note_addresses<M: FirstBytes>(listening: &ngx_listening_t) -> bool {
    // SAFETY: the caller guarantees a socket of http, whose `servers` is null or a port
    let (Some(address), Some(port)) = (unsafe {
        (address_of(listening.sockaddr), listening.servers.cast::<ngx_http_port_t>().as_ref())
    }) else {
        return false;
    };
    let mut found = false;
    for index in 0..port.naddrs {
        // SAFETY: the port has `naddrs` addresses of the family of the socket (ngx_http_add_addrs)
        let (ip, conf) = unsafe { addr_at(port, index, address.is_ipv6()) };
        // SAFETY: the structure refers to a server of the live configuration
        let Some(server) = (unsafe { server_conf::<M>((*conf).default_server) }) else { continue };
        let own = M::addresses(server);
        if own.place_of(SocketAddr::new(ip, address.port())).is_some() {
            own.add_made(conf);
            found = true;
        }
    }
    found
}

/// Address `index` of a port, and nginx's structure for it.
///
/// # Safety
/// The port has more than `index` addresses, of the family that `is_ipv6` says.
unsafe fn addr_at(
    port: &ngx_http_port_t,
    index: usize,
    is_ipv6: bool,
) -> (IpAddr, *const ngx_http_addr_conf_t) {
    // SAFETY: the caller guarantees the index and the family
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

/// Calls `work` with the stored handler for the address of a connection; `None` if the module does
/// not inspect the address.
///
/// # Safety
/// nginx has initialized the connection and has not created a request for it.
unsafe fn with_core_handler<M: FirstBytes, R>(
    c: *const ngx_connection_t,
    work: impl FnOnce(&Cell<Option<Handler>>) -> R,
) -> Option<R> {
    // SAFETY: by contract `data` is nginx's structure for the connection; its configuration lives
    // as long as the connection
    let (conf, server) = unsafe {
        let conf: *const _ = (*c).data.cast::<ngx_http_connection_t>().as_ref()?.addr_conf;
        (conf, server_conf::<M>(conf.as_ref()?.default_server)?)
    };
    M::addresses(server).with_handler(conf, work)
}

/// The handler of a listening socket. nginx initializes the connection, chooses its server and sets
/// the timer of `client_header_timeout`; then this module waits for the first bytes.
unsafe extern "C" fn on_connection<M: FirstBytes>(c: *mut ngx_connection_t) {
    guarded((), || {
        // SAFETY: nginx passes a new connection
        unsafe {
            // if the event is ready, as on a deferred socket, nginx would read at once; otherwise
            // it arms the read event, which then fires for the same data
            (*(*c).read).bits_mut().set_ready(0);
            ngx_http_init_connection(c);
            if (*c).bits().destroyed() != 0 {
                return;
            }
            let rev = &mut *(*c).read;
            let Some(handler) = rev.handler else { return };
            if with_core_handler::<M, _>(c, |core| core.set(Some(handler))).is_some() {
                rev.handler = Some(on_readable::<M>);
                // an exiting worker does not wait for an idle connection
                (*c).bits_mut().set_idle(1);
            }
        }
    })
}

/// The read handler of a connection from which nothing has been read.
unsafe extern "C" fn on_readable<M: FirstBytes>(rev: *mut ngx_event_t) {
    guarded((), || {
        // SAFETY: nginx passes the read event of an open connection that `on_connection` has set up
        unsafe {
            let c: *mut ngx_connection_t = (*rev).data.cast();
            if (*rev).bits().timedout() != 0 || (*c).bits().close() != 0 {
                return go_on::<M>(c, false);
            }
            let mut bytes = [0; LONGEST];
            let n = recv((*c).fd, bytes.as_mut_ptr().cast(), bytes.len(), MSG_PEEK as c_int);
            // nginx will find an error and the end of the connection again when it reads
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

/// Hands the connection over to nginx for good.
///
/// # Safety
/// It is an open connection that `on_connection` has set up.
unsafe fn go_on<M: FirstBytes>(c: *mut ngx_connection_t, has_header: bool) {
    // SAFETY: by contract the connection is open; `data` is nginx's structure until there is a
    // request
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

/// Waits for more than `have` bytes, which stay unread, under the timer that nginx has set.
///
/// # Safety
/// As for `go_on`.
unsafe fn wait(c: *mut ngx_connection_t, have: usize) {
    // SAFETY: the caller guarantees an open connection
    unsafe {
        if have > 0 {
            // peeking at unread bytes does not reveal that the peer has closed
            if !is_established((*c).fd) {
                ngx::ngx_log_error!(NGX_LOG_INFO, (*c).log, "client closed connection");
                return ngx_http_close_connection(c);
            }
            // level-triggered event methods (poll) would report the unread bytes continuously
            let _ = set_least_to_read((*c).fd, have + 1);
        }
        (*(*c).read).bits_mut().set_ready(0);
        if ngx_handle_read_event((*c).read, 0) != NGX_OK as isize {
            ngx_http_close_connection(c);
        }
    }
}
