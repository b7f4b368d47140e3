//! `proxy_protocol=optional`: connections that come with or without a PROXY header.
//!
//! Core listens without the parameter. The handler of such a listening socket is wrapped, so that
//! of a new connection the first bytes are looked at before core reads them, and core is told to
//! expect a header only where there is one.

use std::ffi::{c_char, c_int, c_void};
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ptr::fn_addr_eq;
use std::sync::OnceLock;

use ngx::ffi::{
    getsockopt, ngx_connection_handler_pt, ngx_connection_t, ngx_event_t, ngx_handle_read_event,
    ngx_http_addr_conf_t, ngx_http_close_connection, ngx_http_conf_addr_t, ngx_http_conf_port_t,
    ngx_http_connection_t, ngx_http_core_srv_conf_t, ngx_http_in6_addr_t, ngx_http_in_addr_t,
    ngx_http_init_connection, ngx_http_port_t, ngx_listening_t, recv, socklen_t, tcp_info,
    IPPROTO_TCP, MSG_PEEK, NGX_LOG_INFO, NGX_OK, SOL_SOCKET, SO_RCVLOWAT, TCP_ESTABLISHED,
    TCP_INFO,
};
use ngx::http::{HttpModuleMainConf, NgxHttpCoreModule};

use super::super::{Elb, ServerConf};
use super::{address_of, set_option};
use crate::glue::conf::{Conf, Outcome, Place};
use crate::proxy_header::{beginning, Beginning, LONGEST};
use nginx::bits::Bits;
use nginx::guard::guarded;

/// A handler of an event.
type Handler = unsafe extern "C" fn(*mut ngx_event_t);

/// The addresses of a server with `proxy_protocol=optional`.
#[derive(Default)]
pub struct Optional {
    addresses: Vec<(SocketAddr, Place)>,
    /// What core made of those addresses of which the server is the default one; filled once the
    /// sockets are there. Core says which one a connection has.
    confs: Vec<*const ngx_http_addr_conf_t>,
}

impl Optional {
    /// Adds an address.
    pub fn add(&mut self, address: SocketAddr, place: Place) {
        self.addresses.push((address, place));
    }

    fn place_of(&self, address: SocketAddr) -> Option<&Place> {
        self.addresses.iter().find(|(own, _)| *own == address).map(|(_, place)| place)
    }
}

/// The configuration that the elb module has of a server.
///
/// # Safety
/// `server` is null or a server of a configuration that is whole, and nobody else refers to what
/// the module has of it.
unsafe fn server_conf<'a>(server: *const ngx_http_core_srv_conf_t) -> Option<&'a mut ServerConf> {
    // SAFETY: each server has a slot for each module; ours holds what create_srv_conf made
    unsafe {
        let ctx = server.as_ref()?.ctx.as_ref()?;
        nginx::module::server_of::<Elb>(ctx).map(|conf| &mut *conf)
    }
}

/// Refuses an address that a server has with the parameter and another without it. All servers
/// are read by now; core makes its listening sockets next (`ngx_http_optimize_servers`).
pub fn check(cf: &mut Conf) -> Outcome {
    // SAFETY: null or core's array of ports, each with its array of addresses
    let ports = NgxHttpCoreModule::main_conf(unsafe { &*cf.as_ptr() })
        .and_then(|core| unsafe { core.ports.as_ref() });
    // SAFETY: as above
    let ports = ports.map_or(&[][..], |p| unsafe { p.as_slice::<ngx_http_conf_port_t>() });
    // SAFETY: as above
    let addrs = ports.iter().flat_map(|p| unsafe { p.addrs.as_slice::<ngx_http_conf_addr_t>() });
    for addr in addrs {
        // SAFETY: the address of a listen directive
        let Some(address) = (unsafe { address_of(addr.opt.sockaddr) }) else { continue };
        // SAFETY: the servers with that address
        let servers = unsafe { addr.servers.as_slice::<*const ngx_http_core_srv_conf_t>() };
        let places = servers.iter().map(|server| {
            // SAFETY: the configuration is read
            unsafe { server_conf(*server) }.and_then(|conf| conf.optional.place_of(address))
        });
        let (with, without): (Vec<_>, Vec<_>) = places.partition(Option::is_some);
        if let (Some(Some(place)), Some(_)) = (with.first(), without.first()) {
            return Err(cf.error_at(
                place,
                format_args!(
                    "another server listens at \"{address}\" without \"proxy_protocol=optional\": \
                     this parameter needs an address that no server has without it"
                ),
            ));
        }
    }
    Ok(())
}

/// Whether the handler of a listening socket is that of http, and not of stream or mail.
pub fn is_http(handler: ngx_connection_handler_pt) -> bool {
    let http: [unsafe extern "C" fn(_); 2] = [ngx_http_init_connection, on_connection];
    handler.is_some_and(|handler| http.iter().any(|http| fn_addr_eq(handler, *http)))
}

/// Wraps the handlers of the listening sockets that core has made.
pub fn wrap(cycle: nginx::cycle::Cycle) {
    // SAFETY: the new cycle; the array of listeners
    let listening = unsafe { (*cycle.as_ptr()).listening.as_slice_mut::<ngx_listening_t>() };
    for listening in listening {
        // SAFETY: of a socket of http, `servers` is what ngx_http_init_listening made
        if is_http(listening.handler) && unsafe { note_confs(listening) } {
            listening.handler = Some(on_connection);
        }
    }
}

/// Notes what core made of the addresses of a listening socket; whether there was one of ours.
///
/// # Safety
/// The socket is one of http, its configuration whole.
unsafe fn note_confs(listening: &ngx_listening_t) -> bool {
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
        let Some(own) = (unsafe { server_conf((*conf).default_server) }) else { continue };
        let own = &mut own.optional;
        if own.place_of(SocketAddr::new(ip, address.port())).is_some() {
            own.confs.push(conf);
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

/// Core's handler for the first bytes of a connection without TLS,
/// `ngx_http_wait_request_handler`, which nginx does not export.
static WAIT_REQUEST: OnceLock<Handler> = OnceLock::new();

/// The handler of a listening socket: core prepares the connection, chooses its server and sets
/// the timer of `client_header_timeout`; then its first bytes are ours to wait for.
unsafe extern "C" fn on_connection(c: *mut ngx_connection_t) {
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
            let Some(hc) = (*c).data.cast::<ngx_http_connection_t>().as_ref() else { return };
            let conf: *const _ = hc.addr_conf;
            let own = server_conf((*conf).default_server);
            if !own.is_some_and(|own| own.optional.confs.contains(&conf)) {
                return;
            }
            let rev = &mut *(*c).read;
            if let Some(handler) = rev.handler {
                WAIT_REQUEST.get_or_init(|| handler);
                rev.handler = Some(on_readable);
                // a worker that leaves does not wait for it
                (*c).bits_mut().set_idle(1);
            }
        }
    })
}

/// The read handler of a connection of which no byte was read yet.
unsafe extern "C" fn on_readable(rev: *mut ngx_event_t) {
    guarded((), || {
        // SAFETY: nginx passes the read event of an open connection that on_connection has seen
        unsafe {
            let c: *mut ngx_connection_t = (*rev).data.cast();
            if (*rev).bits().timedout() != 0 || (*c).bits().close() != 0 {
                return go_on(c, false);
            }
            let mut bytes = [0; LONGEST];
            let n = recv((*c).fd, bytes.as_mut_ptr().cast(), bytes.len(), MSG_PEEK as c_int);
            // an error, and the end of the connection, core will find once more
            let bytes = usize::try_from(n).ok().and_then(|n| bytes.get(..n)).unwrap_or_default();
            if n == -1 && std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock {
                return wait(c, 0);
            }
            match beginning(bytes) {
                Beginning::Incomplete if n > 0 => wait(c, bytes.len()),
                beginning => go_on(c, beginning == Beginning::Header),
            }
        }
    })
}

/// Leaves the connection to core, for the rest of its life.
///
/// # Safety
/// An open connection that on_connection has seen.
unsafe fn go_on(c: *mut ngx_connection_t, has_header: bool) {
    let Some(handler) = WAIT_REQUEST.get() else { return };
    // SAFETY: by contract; core has its own structure in `data` until there is a request
    unsafe {
        let _ = set_option((*c).fd, SOL_SOCKET as c_int, SO_RCVLOWAT as c_int, 1);
        if has_header {
            // as ngx_http_init_connection does for `listen ... proxy_protocol`
            (*(*c).data.cast::<ngx_http_connection_t>()).bits_mut().set_proxy_protocol(1);
            (*(*c).log).action = c"reading PROXY protocol".as_ptr().cast_mut().cast::<c_char>();
        }
        (*c).bits_mut().set_idle(0);
        (*(*c).read).handler = Some(*handler);
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
            if !is_established((*c).fd) {
                ngx::ngx_log_error!(NGX_LOG_INFO, (*c).log, "client closed connection");
                return ngx_http_close_connection(c);
            }
            // where nginx asks for the state of a socket and not for its changes (poll), the
            // unread bytes would wake it all the time
            let more = c_int::try_from(have + 1).unwrap_or(1);
            let _ = set_option((*c).fd, SOL_SOCKET as c_int, SO_RCVLOWAT as c_int, more);
        }
        (*(*c).read).bits_mut().set_ready(0);
        if ngx_handle_read_event((*c).read, 0) != NGX_OK as isize {
            ngx_http_close_connection(c);
        }
    }
}

/// Whether the peer may still send: a read that leaves its bytes cannot tell.
fn is_established(fd: c_int) -> bool {
    // SAFETY: all-zero is a valid value of the C struct
    let mut info: tcp_info = unsafe { std::mem::zeroed() };
    let mut len = size_of::<tcp_info>() as socklen_t;
    let to = (&raw mut info).cast::<c_void>();
    // SAFETY: the kernel writes at most len bytes
    let rc = unsafe { getsockopt(fd, IPPROTO_TCP as c_int, TCP_INFO as c_int, to, &raw mut len) };
    rc != 0 || u32::from(info.tcpi_state) == TCP_ESTABLISHED
}
