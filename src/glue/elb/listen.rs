//! `elb_listen`: core's `listen` at each address that a variable names.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use ngx::ffi::__socket_type_SOCK_CLOEXEC as SOCK_CLOEXEC;
use ngx::ffi::__socket_type_SOCK_STREAM as SOCK_STREAM;
use ngx::ffi::{
    bind, ngx_cycle_t, ngx_listening_t, ngx_process, ngx_test_config, setsockopt, sockaddr,
    sockaddr_in, sockaddr_in6, socket, socklen_t, __CONST_SOCKADDR_ARG, AF_INET, AF_INET6,
    IPPROTO_IPV6, IPV6_V6ONLY, NGX_PROCESS_SIGNALLER, SOL_SOCKET, SO_REUSEADDR,
};
use ngx::http::{HttpModuleServerConf, NgxHttpCoreModule};

use super::ServerConf;
use nginx::bits::Bits;

use crate::glue::conf::{invalid, Conf, Error, Outcome, ReadSettings};
use crate::settings;
use crate::settings::listeners::{self, Listening};
use crate::settings::value::Listen;

pub mod optional;

/// What stands behind the variable in the directive.
#[derive(Default)]
struct Parameters {
    /// `default=ADDRESS`
    default: Option<Vec<Listen>>,
    /// `proxy_protocol=optional`
    optional: bool,
    /// `proxy_protocol`
    proxy_protocol: bool,
    /// The rest, for core's `listen`.
    others: Vec<String>,
}

/// `elb_listen VARIABLE [default=ADDRESS] [proxy_protocol=optional] [parameter ...];`
pub fn elb_listen(cf: &mut Conf, own: &mut ServerConf) -> Outcome {
    let args = cf.args()?;
    let variable = args.first().cloned().unwrap_or_default();
    if !settings::is_name(&variable) {
        let expected = "the name of a variable, of capitals, digits and \"_\"";
        return Err(invalid(cf, &variable, expected));
    }
    let mut parameters = Parameters::read(&args[1..])?;

    let default = parameters.default.as_deref();
    let listening = cf.read(|env| listeners::listen(env, &variable, default).map_err(Some));
    let proxy_protocol = cf.read(|env| settings::proxy_protocol(env).map_err(Some));
    parameters.proxy_protocol &= proxy_protocol != Some(false);

    let mut listens = false;
    // faulty ones are noted
    let none = Listening { addresses: Vec::new(), is_default: false };
    let Listening { addresses, is_default } = listening.unwrap_or(none);
    let variables = if is_default { Vec::new() } else { vec![variable.clone()] };
    for listen in addresses {
        if is_default && is_taken(cf, listen.address()) {
            cf.warn(format_args!(
                "default address \"{listen}\" of environment variable \"{variable}\" is in use by \
                 another process, so nginx does not listen there: set \"{variable}\" to another"
            ));
            continue;
        }
        if parameters.optional {
            own.optional.add(listen.address(), cf.place()?);
        }
        cf.apply(&parameters.words(&listen.to_string()), &variables)?;
        listens = true;
    }
    if !listens {
        // else core would have the server listen on its default port
        listens_nowhere(cf);
    }
    Ok(())
}

fn listens_nowhere(cf: &mut Conf) {
    // SAFETY: what nginx passed
    if let Some(server) = NgxHttpCoreModule::server_conf_mut(unsafe { &*cf.as_ptr() }) {
        server.bits_mut().set_listen(1);
    }
}

impl Parameters {
    fn read(args: &[String]) -> Result<Self, Error> {
        let mut parameters = Self::default();
        for arg in args {
            if let Some(default) = arg.strip_prefix("default=") {
                if parameters.default.is_some() {
                    return Err(Error::Directive(c"has a duplicate \"default\" parameter"));
                }
                parameters.default = Some(listeners::parse_or_off(default).map_err(|must| {
                    Error::Message(format!(
                        "invalid default \"{default}\" in \"elb_listen\" directive, it must {must}"
                    ))
                })?);
            } else if arg == "proxy_protocol=optional" {
                parameters.optional = true;
            } else if arg.starts_with("proxy_protocol=") {
                return Err(Error::Message(format!(
                    "invalid parameter \"{arg}\" in \"elb_listen\" directive, \
                     it must be \"proxy_protocol\" or \"proxy_protocol=optional\""
                )));
            } else if arg == "proxy_protocol" {
                parameters.proxy_protocol = true;
            } else {
                parameters.others.push(arg.clone());
            }
        }
        if parameters.optional {
            parameters.are_compatible()?;
        }
        Ok(parameters)
    }

    /// Core's directive for one of the addresses.
    fn words<'a>(&'a self, address: &'a str) -> Vec<&'a str> {
        let proxy_protocol = self.proxy_protocol.then_some("proxy_protocol");
        let others = self.others.iter().map(String::as_str);
        ["listen", address].into_iter().chain(proxy_protocol).chain(others).collect()
    }

    /// Whether a connection can be looked at before core begins with it, and core then reads
    /// nothing but a PROXY header or a request.
    fn are_compatible(&self) -> Outcome {
        let clashes = |name: &str| {
            ["ssl", "quic", "deferred"].contains(&name) || name.starts_with("accept_filter=")
        };
        let other = self.others.iter().map(String::as_str).find(|name| clashes(name));
        match other.or(self.proxy_protocol.then_some("proxy_protocol")) {
            Some(other) => Err(Error::Message(format!(
                "\"proxy_protocol=optional\" parameter of \"elb_listen\" directive is \
                 incompatible with \"{other}\""
            ))),
            None => Ok(()),
        }
    }
}

/// Whether a process other than this nginx listens at an address. What does not start a server
/// does not ask: `-t` leaves sockets in use alone, as core does, and `-s` only sends a signal.
fn is_taken(cf: &mut Conf, address: SocketAddr) -> bool {
    // SAFETY: globals that nginx sets once, before it reads a configuration
    let starts = unsafe { ngx_test_config == 0 && ngx_process != NGX_PROCESS_SIGNALLER as usize };
    starts && !is_own(cf.cycle().as_ptr(), address) && is_in_use(address)
}

/// Whether the old cycle listens at an address: the configuration before a reload, or the sockets
/// that a binary upgrade has inherited (`ngx_add_inherited_sockets`). nginx goes on with those.
fn is_own(cycle: *mut ngx_cycle_t, address: SocketAddr) -> bool {
    // SAFETY: the cycle that is being made, whose old one is valid or null
    let old = unsafe { cycle.as_ref().and_then(|cycle| cycle.old_cycle.as_ref()) };
    // the cycle before the first one has no array yet
    let old = old.map(|old| &old.listening).filter(|listening| listening.nelts > 0);
    // SAFETY: the array of listeners
    let old = old.map_or(&[][..], |listening| unsafe { listening.as_slice::<ngx_listening_t>() });
    old.iter().any(|listening| {
        listening.type_ == SOCK_STREAM as c_int
            // SAFETY: the address of a listener
            && unsafe { address_of(listening.sockaddr) } == Some(address)
    })
}

/// Binds as core would (`ngx_open_listening_sockets`), and lets go of it at once. Any other
/// failure is core's to tell.
fn is_in_use(address: SocketAddr) -> bool {
    let probe = || {
        let family = if address.is_ipv4() { AF_INET } else { AF_INET6 };
        // SAFETY: no pointers
        let fd = unsafe { socket(family as c_int, (SOCK_STREAM | SOCK_CLOEXEC) as c_int, 0) };
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else has
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        set_option(fd.as_raw_fd(), SOL_SOCKET as c_int, SO_REUSEADDR as c_int, 1)?;
        // SAFETY: all-zero is a valid value of both C structs
        let (mut v4, mut v6): (sockaddr_in, sockaddr_in6) = unsafe { (zeroed(), zeroed()) };
        let (addr, len) = match address {
            SocketAddr::V4(address) => {
                v4.sin_family = AF_INET as _;
                v4.sin_port = address.port().to_be();
                v4.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
                ((&raw const v4).cast::<sockaddr>(), size_of_val(&v4))
            }
            SocketAddr::V6(address) => {
                set_option(fd.as_raw_fd(), IPPROTO_IPV6 as c_int, IPV6_V6ONLY as c_int, 1)?;
                v6.sin6_family = AF_INET6 as _;
                v6.sin6_port = address.port().to_be();
                let octets = address.ip().octets();
                // SAFETY: an in6_addr is the sixteen bytes of the address
                unsafe { (&raw mut v6.sin6_addr).cast::<[u8; 16]>().write(octets) };
                ((&raw const v6).cast::<sockaddr>(), size_of_val(&v6))
            }
        };
        // SAFETY: an address of its length
        match unsafe {
            bind(fd.as_raw_fd(), __CONST_SOCKADDR_ARG { __sockaddr__: addr }, len as socklen_t)
        } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    probe().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// Sets an option of a socket that is an int.
fn set_option(fd: c_int, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let from = (&raw const value).cast::<c_void>();
    // SAFETY: the kernel reads an int
    match unsafe { setsockopt(fd, level, name, from, size_of::<c_int>() as socklen_t) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The IP address and port of a socket address of nginx; none of another family.
///
/// # Safety
/// `addr` is null or a socket address of its family's size.
pub unsafe fn address_of(addr: *const sockaddr) -> Option<SocketAddr> {
    // SAFETY: by contract
    unsafe {
        match u32::from(addr.as_ref()?.sa_family) {
            AF_INET => {
                let addr = &*addr.cast::<sockaddr_in>();
                Some((addr.sin_addr.s_addr.to_ne_bytes(), u16::from_be(addr.sin_port)).into())
            }
            AF_INET6 => {
                let addr = &*addr.cast::<sockaddr_in6>();
                let ip = (&raw const addr.sin6_addr).cast::<[u8; 16]>().read();
                Some(SocketAddr::new(IpAddr::from(ip), u16::from_be(addr.sin6_port)))
            }
            _ => None,
        }
    }
}
