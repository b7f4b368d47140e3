//! `$websocket_*`: what the access log can say of an upgrade, whose line it writes as the request
//! is freed.

use ngx::ffi::{
    ngx_conf_t, ngx_http_request_t, ngx_http_variable_value_t, ngx_int_t, NGX_ERROR,
    NGX_HTTP_SWITCHING_PROTOCOLS, NGX_HTTP_VAR_NOCACHEABLE,
};

use super::{Fate, RequestContext};
use crate::glue::request::headers;
use crate::glue::variable::{add as add_one, set_copy};
use crate::glue::zone;
use crate::guard::guarded;

/// What a variable is for a request; `None` where it has no value.
type Value = fn(&ngx_http_request_t) -> Option<String>;

const VARIABLES: [(&str, Value); 4] = [
    ("websocket_state", state),
    ("websocket_protocol", |r| answered(r, b"sec-websocket-protocol")),
    ("websocket_extensions", |r| answered(r, b"sec-websocket-extensions")),
    ("websocket_active", |_| Some(active().to_string())),
];

/// Makes the variables; `false` where there is no memory.
///
/// # Safety
/// `cf` is what nginx passes to `preconfiguration`.
pub unsafe fn add(cf: *mut ngx_conf_t) -> bool {
    let mut all = true;
    for (index, (name, _)) in VARIABLES.iter().enumerate() {
        // not cached: rewrite rules may ask before the upgrade, the log after it
        // SAFETY: the caller's
        all &= unsafe { add_one(cf, name, NGX_HTTP_VAR_NOCACHEABLE, get, index) };
    }
    all
}

unsafe extern "C" fn get(
    r: *mut ngx_http_request_t,
    v: *mut ngx_http_variable_value_t,
    data: usize,
) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        let value = VARIABLES.get(data).map(|(_, value)| *value);
        // SAFETY: nginx passes a live request and the value to fill in
        unsafe {
            let value = value.and_then(|value| value(&*r));
            set_copy(r, v, value.as_deref().map(str::as_bytes))
        }
    })
}

/// `$websocket_state`: what became of an upgrade.
fn state(r: &ngx_http_request_t) -> Option<String> {
    RequestContext::fate(r).map(Fate::word)
}

/// What the 101 says in headers of this name, in lower case here.
fn answered(r: &ngx_http_request_t, name: &[u8]) -> Option<String> {
    if r.headers_out.status != NGX_HTTP_SWITCHING_PROTOCOLS as usize {
        return None;
    }
    let values: Vec<_> =
        headers(&r.headers_out.headers, name).map(String::from_utf8_lossy).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// `$websocket_active`: how many tunnels this worker has now.
fn active() -> u64 {
    zone::slot().active()
}
