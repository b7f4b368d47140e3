//! What nginx's error log contains about a request.

use std::mem::replace;
use std::ptr::null_mut;
use std::sync::OnceLock;

use ngx::ffi::{ngx_http_request_t, ngx_str_t, u_char};

use crate::guard::guarded;
use crate::request::Request;

/// Which part to omit from the request line, from the URI sent upstream and from `Referer`.
pub trait LeaveOut: 'static {
    /// The start and the end of `text` that remain when the part between them is omitted. Both must
    /// be slices of `text`; in the upstream URI and in `Referer` only the start remains.
    fn kept(text: &[u8]) -> (&[u8], &[u8]);
}

impl Request<'_> {
    /// Makes the error log omit the part that `L` selects from its messages about this request,
    /// from now on. To be called in an early phase such as
    /// [`POST_READ`](crate::request::POST_READ).
    pub fn leave_out_of_log<L: LeaveOut>(&self) {
        let r = self.raw_mut();
        if let Some(handler) = r.log_handler {
            // nginx's function is the same for every request; on a second call the handler is
            // already ours
            CORE.get_or_init(|| handler);
            r.log_handler = Some(log_without::<L>);
        }
    }
}

/// The function that nginx calls for the part of a message that describes the request.
type LogHandler = unsafe extern "C" fn(
    *mut ngx_http_request_t,
    *mut ngx_http_request_t,
    *mut u_char,
    usize,
) -> *mut u_char;

/// nginx's function (`ngx_http_log_error_handler`).
static CORE: OnceLock<LogHandler> = OnceLock::new();

/// The longest message of nginx (`NGX_MAX_ERROR_STR`).
const LONGEST: usize = 2_048;

/// Calls nginx's handler with shortened texts in the request, and restores them.
unsafe extern "C" fn log_without<L: LeaveOut>(
    r: *mut ngx_http_request_t,
    sr: *mut ngx_http_request_t,
    buf: *mut u_char,
    len: usize,
) -> *mut u_char {
    guarded(buf, || {
        let Some(core) = CORE.get() else { return buf };
        let mut line = [0; LONGEST];
        // SAFETY: nginx passes live requests and a buffer with room for `len` bytes; nothing else
        // reads the texts before they are restored
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

/// The shortened request line, copied to `room` and truncated to it.
fn shortened<L: LeaveOut>(line: ngx_str_t, room: &mut [u8; LONGEST]) -> ngx_str_t {
    if line.data.is_null() {
        // nginx then looks for the line itself
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

/// Shortens a text to the start that remains, and returns its original length.
///
/// # Safety
/// `text` is live, and nobody else uses it during the call.
unsafe fn cut<L: LeaveOut>(text: *mut ngx_str_t) -> usize {
    // SAFETY: the caller guarantees exclusive access
    unsafe {
        let len = L::kept((*text).as_bytes()).0.len().min((*text).len);
        replace(&mut (*text).len, len)
    }
}
