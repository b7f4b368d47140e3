//! What nginx's error log says of a request.

use std::mem::replace;
use std::ptr::null_mut;
use std::sync::OnceLock;

use ngx::ffi::{ngx_http_request_t, ngx_str_t, u_char};

use crate::guard::guarded;
use crate::request::Request;

/// What is to be left out of a request line, of the URI for a server and of the `Referer`.
pub trait LeaveOut: 'static {
    /// The beginning of a text that stays, and the end of it that does.
    fn kept(text: &[u8]) -> (&[u8], &[u8]);
}

impl Request<'_> {
    /// Leaves a part of its texts out of what the error log says of it from here on.
    pub fn leave_out_of_log<L: LeaveOut>(&self) {
        let r = self.raw_mut();
        if let Some(handler) = r.log_handler {
            // the same for every request, unless it is ours already
            CORE.get_or_init(|| handler);
            r.log_handler = Some(log_without::<L>);
        }
    }
}

/// What nginx calls for the part of a message that is about a request.
type LogHandler = unsafe extern "C" fn(
    *mut ngx_http_request_t,
    *mut ngx_http_request_t,
    *mut u_char,
    usize,
) -> *mut u_char;

/// nginx's own (`ngx_http_log_error_handler`).
static CORE: OnceLock<LogHandler> = OnceLock::new();

/// Longest message of nginx (`NGX_MAX_ERROR_STR`).
const LONGEST: usize = 2_048;

/// Lets nginx write of a request as if its texts were shorter.
unsafe extern "C" fn log_without<L: LeaveOut>(
    r: *mut ngx_http_request_t,
    sr: *mut ngx_http_request_t,
    buf: *mut u_char,
    len: usize,
) -> *mut u_char {
    guarded(buf, || {
        let Some(core) = CORE.get() else { return buf };
        let mut line = [0; LONGEST];
        // SAFETY: nginx passes live requests and room for len bytes; nothing else runs until the
        // texts are what they were
        unsafe {
            let own = shortened::<L>((*r).request_line, &mut line);
            let own = replace(&mut (*r).request_line, own);
            let referer = (*r).headers_in.referer.as_mut().map(|header| &raw mut header.value);
            let uri = (*sr).upstream.as_mut().map(|upstream| &raw mut upstream.uri);
            let cut = [referer, uri].map(|text| text.map(|text| (text, cut::<L>(text))));
            let end = core(r, sr, buf, len);
            for (text, len) in cut.into_iter().flatten() {
                (*text).len = len;
            }
            (*r).request_line = own;
            end
        }
    })
}

/// A shorter request line, in `room`; as much of it as has room there.
fn shortened<L: LeaveOut>(line: ngx_str_t, room: &mut [u8; LONGEST]) -> ngx_str_t {
    if line.data.is_null() {
        // nginx looks for it then
        return ngx_str_t { len: 0, data: null_mut() };
    }
    let (head, end) = L::kept(line.as_bytes());
    let mut len = 0;
    for (place, byte) in room.iter_mut().zip(head.iter().chain(end)) {
        *place = *byte;
        len += 1;
    }
    ngx_str_t { len, data: room.as_mut_ptr() }
}

/// Shortens a text to its beginning, and says how long it was.
///
/// # Safety
/// It is live, and nobody else refers to it.
unsafe fn cut<L: LeaveOut>(text: *mut ngx_str_t) -> usize {
    // SAFETY: by contract
    unsafe {
        let len = L::kept((*text).as_bytes()).0.len().min((*text).len);
        replace(&mut (*text).len, len)
    }
}
