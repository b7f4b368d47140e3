//! Looking up a name by what the system has for that.

use std::ffi::CString;
use std::mem::zeroed;
use std::ptr::{null, null_mut};

use ngx::ffi::__socket_type_SOCK_STREAM as SOCK_STREAM;
use ngx::ffi::{addrinfo, freeaddrinfo, getaddrinfo, EAI_AGAIN};

/// What the system answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The name has an address.
    Found,
    /// It has none.
    NotFound,
    /// Whoever would know does not answer.
    None,
}

/// Asks the system for an absolute name, without a dot at its end here. This waits for the answer.
pub fn ask(name: &str) -> Answer {
    let Ok(name) = CString::new(format!("{name}.")) else { return Answer::NotFound };
    // SAFETY: all-zero is a valid value of the C struct
    let mut hints: addrinfo = unsafe { zeroed() };
    hints.ai_socktype = SOCK_STREAM as _;
    let mut found = null_mut();
    // SAFETY: strings are terminated, found takes the result
    let rc = unsafe { getaddrinfo(name.as_ptr(), null(), &raw const hints, &raw mut found) };
    match rc {
        0 => {
            // SAFETY: getaddrinfo made it
            unsafe { freeaddrinfo(found) };
            Answer::Found
        }
        EAI_AGAIN => Answer::None,
        _ => Answer::NotFound,
    }
}
