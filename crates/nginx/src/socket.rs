//! Socket addresses and options, and listening sockets.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use ngx::ffi::__socket_type_SOCK_CLOEXEC as SOCK_CLOEXEC;
use ngx::ffi::__socket_type_SOCK_STREAM as SOCK_STREAM;
use ngx::ffi::{
    bind, getsockopt, ngx_listening_t, setsockopt, sockaddr, sockaddr_in, sockaddr_in6, socket,
    socklen_t, tcp_info, __CONST_SOCKADDR_ARG, AF_INET, AF_INET6, IPPROTO_IPV6, IPPROTO_TCP,
    IPV6_V6ONLY, SOL_SOCKET, SO_RCVLOWAT, SO_REUSEADDR, TCP_ESTABLISHED, TCP_INFO,
};
use ngx::http::{HttpModuleServerConf, NgxHttpCoreModule};

use crate::bits::Bits;
use crate::conf::{Conf, Error, Outcome};
use crate::cycle::Cycle;

/// Whether a process is listening on an address. Binds a socket as nginx would
/// (`ngx_open_listening_sockets`) and closes it at once. Returns `false` for any error other than
/// `EADDRINUSE`; nginx reports that when it binds.
pub fn is_in_use(address: SocketAddr) -> bool {
    let probe = || {
        let family = if address.is_ipv4() { AF_INET } else { AF_INET6 };
        // SAFETY: takes no pointers
        let fd = unsafe { socket(family as c_int, (SOCK_STREAM | SOCK_CLOEXEC) as c_int, 0) };
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `socket` has just returned this descriptor, and nobody else has it
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        set_option(fd.as_raw_fd(), SOL_SOCKET, SO_REUSEADDR, 1)?;
        if address.is_ipv6() {
            set_option(fd.as_raw_fd(), IPPROTO_IPV6, IPV6_V6ONLY, 1)?;
        }
        bind_to(&fd, address)
    };
    probe().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

fn bind_to(fd: &OwnedFd, address: SocketAddr) -> io::Result<()> {
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
            v6.sin6_family = AF_INET6 as _;
            v6.sin6_port = address.port().to_be();
            let octets = address.ip().octets();
            // SAFETY: an in6_addr is 16 bytes in network order, without padding
            unsafe { (&raw mut v6.sin6_addr).cast::<[u8; 16]>().write(octets) };
            ((&raw const v6).cast::<sockaddr>(), size_of_val(&v6))
        }
    };
    let addr = __CONST_SOCKADDR_ARG { __sockaddr__: addr };
    // SAFETY: `addr` points to a socket address of `len` bytes
    match unsafe { bind(fd.as_raw_fd(), addr, len as socklen_t) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Cycle<'_> {
    /// Whether the cycle has a TCP socket that listens on exactly this address.
    pub fn listens_at(self, address: SocketAddr) -> bool {
        // SAFETY: the contract of `Cycle::from_ptr` guarantees a valid cycle
        let listening = unsafe { &(*self.as_ptr()).listening };
        // the initial cycle has an empty array without memory
        if listening.nelts == 0 {
            return false;
        }
        // SAFETY: the array has `nelts` listening sockets
        unsafe { listening.as_slice::<ngx_listening_t>() }.iter().any(|listening| {
            listening.type_ == SOCK_STREAM as c_int
                // SAFETY: nginx sets the address of each listening socket
                && unsafe { address_of(listening.sockaddr) } == Some(address)
        })
    }
}

impl Conf<'_> {
    /// Whether nginx already listens on an address and will keep the socket: one of the
    /// configuration before a reload, or one that a binary upgrade has inherited
    /// (`ngx_add_inherited_sockets`).
    pub fn listened_before(&self, address: SocketAddr) -> bool {
        self.cycle().old().is_some_and(|old| old.listens_at(address))
    }

    /// Makes a server without `listen` listen nowhere: nginx would make it listen on its default
    /// port (`ngx_http_core_server`). To be called in a handler of a directive of that server.
    ///
    /// # Errors
    /// The directive is not in `http`.
    pub fn listen_nowhere(&mut self) -> Outcome {
        // only a context of http has a server configuration of the core module
        self.http_ctx().ok_or(Error::Logged)?;
        // SAFETY: nginx passes a valid configuration to the handler
        let server = NgxHttpCoreModule::server_conf_mut(unsafe { &*self.as_ptr() });
        server.ok_or(Error::Logged)?.bits_mut().set_listen(1);
        Ok(())
    }
}

/// The IP address and port of a socket address; `None` for another address family.
///
/// # Safety
/// `addr` is null or points to a socket address of the size of its family.
pub(crate) unsafe fn address_of(addr: *const sockaddr) -> Option<SocketAddr> {
    // SAFETY: the caller guarantees the size
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

/// Sets the number of bytes (`SO_RCVLOWAT`) from which the kernel reports a socket as readable.
pub(crate) fn set_least_to_read(fd: c_int, bytes: usize) -> io::Result<()> {
    set_option(fd, SOL_SOCKET, SO_RCVLOWAT, c_int::try_from(bytes).unwrap_or(c_int::MAX))
}

/// Sets a socket option of type int.
fn set_option(fd: c_int, level: u32, name: u32, value: c_int) -> io::Result<()> {
    let from = (&raw const value).cast::<c_void>();
    let len = size_of::<c_int>() as socklen_t;
    // SAFETY: the kernel reads an int
    match unsafe { setsockopt(fd, level as c_int, name as c_int, from, len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a TCP connection is established, so that the peer may still send; true if the kernel
/// does not report the state.
pub(crate) fn is_established(fd: c_int) -> bool {
    // SAFETY: all-zero is a valid value of the C struct
    let mut info: tcp_info = unsafe { zeroed() };
    let mut len = size_of::<tcp_info>() as socklen_t;
    let to = (&raw mut info).cast::<c_void>();
    // SAFETY: the kernel writes at most `len` bytes
    let rc = unsafe { getsockopt(fd, IPPROTO_TCP as c_int, TCP_INFO as c_int, to, &raw mut len) };
    rc != 0 || u32::from(info.tcpi_state) == TCP_ESTABLISHED
}
