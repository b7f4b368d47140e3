//! Name resolution with the system's resolver.

use std::ffi::CString;
use std::mem::zeroed;
use std::ptr::{null, null_mut};

use ngx::ffi::__socket_type_SOCK_STREAM as SOCK_STREAM;
use ngx::ffi::{addrinfo, freeaddrinfo, getaddrinfo, EAI_AGAIN};

/// The result of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The name has an address.
    Found,
    /// The name has no address.
    NotFound,
    /// No name server has answered (`EAI_AGAIN`).
    None,
}

/// Looks up an absolute name, given without the trailing dot. Blocks until the answer, so it is to
/// be called only while the configuration is read.
pub fn ask(name: &str) -> Resolution {
    let Ok(name) = CString::new(format!("{name}.")) else { return Resolution::NotFound };
    // SAFETY: all-zero is a valid value of the C struct
    let mut hints: addrinfo = unsafe { zeroed() };
    hints.ai_socktype = SOCK_STREAM as _;
    let mut found = null_mut();
    // SAFETY: the name ends with NUL, and `found` receives the result
    let rc = unsafe { getaddrinfo(name.as_ptr(), null(), &raw const hints, &raw mut found) };
    match rc {
        0 => {
            // SAFETY: getaddrinfo has returned this list, which is freed once
            unsafe { freeaddrinfo(found) };
            Resolution::Found
        }
        EAI_AGAIN => Resolution::None,
        _ => Resolution::NotFound,
    }
}
