//! `$websocket_*`: what the access log can say of an upgrade, whose line it writes as the request
//! is freed; `$elb_utf8_*`, for logs that have to be UTF-8; and `$elb_request_id`.

use std::cell::RefCell;
use std::ptr::addr_of_mut;

use ngx::ffi::{
    ngx_conf_t, ngx_hash_key, ngx_http_add_variable, ngx_http_get_variable, ngx_http_request_t,
    ngx_http_variable_value_t, ngx_int_t, ngx_str_t, NGX_ERROR, NGX_HTTP_SWITCHING_PROTOCOLS,
    NGX_HTTP_VAR_NOCACHEABLE, NGX_HTTP_VAR_PREFIX, NGX_OK,
};

use super::worker::Random;
use super::{Fate, RequestContext};
use crate::glue::bits::Bits;
use crate::glue::conf::string_in;
use crate::glue::request::headers;
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

/// The beginning of names of variables that are another variable, in UTF-8.
const UTF8: &str = "elb_utf8_";

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
    // SAFETY: the caller's
    all &=
        unsafe { add_one(cf, UTF8, NGX_HTTP_VAR_NOCACHEABLE | NGX_HTTP_VAR_PREFIX, get_utf8, 0) };
    // cached: it is one id for all who ask
    // SAFETY: the caller's
    all && unsafe { add_one(cf, "elb_request_id", 0, get_request_id, 0) }
}

/// The getter of a variable, with what is kept beside it; with the name, for a prefix.
type Getter = unsafe extern "C" fn(
    *mut ngx_http_request_t,
    *mut ngx_http_variable_value_t,
    usize,
) -> ngx_int_t;

/// # Safety
/// As `add`.
unsafe fn add_one(
    cf: *mut ngx_conf_t,
    name: &str,
    flags: u32,
    getter: Getter,
    data: usize,
) -> bool {
    // SAFETY: by contract; the name is in the configuration's pool
    unsafe {
        let Some(mut name) = string_in((*cf).pool, name) else { return false };
        let variable = ngx_http_add_variable(cf, addr_of_mut!(name), flags as usize);
        variable
            .as_mut()
            .map(|variable| {
                variable.get_handler = Some(getter);
                variable.data = data;
            })
            .is_some()
    }
}

unsafe extern "C" fn get(
    r: *mut ngx_http_request_t,
    v: *mut ngx_http_variable_value_t,
    data: usize,
) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        let value = VARIABLES.get(data).map(|(_, value)| *value);
        // SAFETY: nginx passes a live request and the value to fill in
        unsafe { set(r, v, value.and_then(|value| value(&*r))) }
    })
}

/// 128 random bits in hexadecimal. nginx's `$request_id` is the same, but asks OpenSSL for them,
/// which was a fifth of the instructions of a proxied request.
unsafe extern "C" fn get_request_id(
    r: *mut ngx_http_request_t,
    v: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        thread_local! {
            // empty until the first request, so no two workers begin with the same bits
            static RANDOM: RefCell<Random> = RefCell::default();
        }
        let bits = RANDOM.with_borrow_mut(|random| [random.next(), random.next()]);
        // SAFETY: nginx passes a live request and the value to fill in
        unsafe { set(r, v, Some(hexadecimal(bits))) }
    })
}

fn hexadecimal(words: [u64; 2]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    words
        .iter()
        .flat_map(|word| (0..16).map(move |place| (word >> (4 * place)) as usize % 16))
        .map(|digit| char::from(DIGITS[digit]))
        .collect()
}

/// Another variable, with what is no UTF-8 in it replaced by U+FFFD: `escape=json` leaves such
/// bytes as they are, and then the line is no JSON.
unsafe extern "C" fn get_utf8(
    r: *mut ngx_http_request_t,
    v: *mut ngx_http_variable_value_t,
    data: usize,
) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: nginx passes a live request, and the variable's name for a prefix; the value it finds
        // has its bytes in the request's memory
        unsafe {
            let name = &*(data as *const ngx_str_t);
            let skip = UTF8.len().min(name.len);
            let mut name = ngx_str_t { len: name.len - skip, data: name.data.add(skip) };
            let key = ngx_hash_key(name.data, name.len);
            let found = ngx_http_get_variable(r, addr_of_mut!(name), key);
            let Some(found) = found.as_ref().filter(|found| found.bits().not_found() == 0) else {
                return set(r, v, None);
            };
            let bytes = match found.data.is_null() {
                true => &[],
                false => std::slice::from_raw_parts(found.data, found.bits().len() as usize),
            };
            set(r, v, Some(String::from_utf8_lossy(bytes).into_owned()))
        }
    })
}

/// # Safety
/// `r` is live, and `v` is what nginx wants to have filled in.
unsafe fn set(
    r: *mut ngx_http_request_t,
    v: *mut ngx_http_variable_value_t,
    value: Option<String>,
) -> ngx_int_t {
    // SAFETY: by contract
    let (pool, v) = unsafe { ((*r).pool, &mut *v) };
    v.bits_mut().set_no_cacheable(0);
    let Some(value) = value else {
        v.bits_mut().set_valid(0);
        v.bits_mut().set_not_found(1);
        return NGX_OK as _;
    };
    // SAFETY: the request's pool
    let Some(text) = (unsafe { ngx_str_t::from_bytes(pool, value.as_bytes()) }) else {
        return NGX_ERROR as _;
    };
    v.bits_mut().set_valid(1);
    v.bits_mut().set_not_found(0);
    v.bits_mut().set_len(text.len as _);
    v.data = text.data;
    NGX_OK as _
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
