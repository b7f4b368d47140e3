//! `$elb_*`: what is sent to the destination and written to logs of a request.

use std::cell::RefCell;
use std::ptr::addr_of_mut;

use ngx::ffi::{
    ngx_conf_t, ngx_hash_key, ngx_http_get_flushed_variable, ngx_http_get_variable,
    ngx_http_get_variable_index, ngx_http_request_t, ngx_http_variable_value_t, ngx_int_t,
    ngx_str_t, NGX_ERROR, NGX_HTTP_VAR_NOCACHEABLE, NGX_HTTP_VAR_PREFIX,
};

use super::set_header::proxy_module;
use crate::glue::bits::Bits;
use crate::glue::conf::string_in;
use crate::glue::request::{asks_for_websocket, headers, literal};
use crate::glue::variable::{add as add_one, set, set_copy};
use crate::glue::websocket::worker::Random;
use crate::guard::guarded;
use crate::request_id::{hexadecimal, is_sane};

/// The beginning of names of variables that are another variable, in UTF-8.
const UTF8: &str = "elb_utf8_";

/// Makes the variables; `false` where there is no memory.
///
/// # Safety
/// `cf` is what nginx passes to `preconfiguration`.
pub unsafe fn add(cf: *mut ngx_conf_t) -> bool {
    // SAFETY: the caller's. What may change as a request goes on is not cached; an id is one for
    // all who ask
    unsafe {
        add_one(cf, "elb_upgrade", 0, get_if_websocket, 0)
            && add_one(cf, "elb_connection", 0, get_if_websocket, 1)
            && add_one(cf, "elb_host", NGX_HTTP_VAR_NOCACHEABLE, get_host, proxy_host(cf))
            && add_one(cf, "elb_request_id", 0, get_request_id, 0)
            && add_one(cf, "elb_status", NGX_HTTP_VAR_NOCACHEABLE, get_status, 0)
            && add_one(cf, UTF8, NGX_HTTP_VAR_NOCACHEABLE | NGX_HTTP_VAR_PREFIX, get_utf8, 0)
    }
}

/// What `$elb_upgrade` and `$elb_connection` say where the client asks for a WebSocket. Without a value
/// no header is sent: no other protocol is passed on, as with "Upgrade: h2c" a client could smuggle
/// requests past the configuration, and the connection to the destination is kept for the next one.
const IF_WEBSOCKET: [&str; 2] = ["websocket", "upgrade"];

/// `data` is the place in [`IF_WEBSOCKET`].
unsafe extern "C" fn get_if_websocket(
    r: *mut ngx_http_request_t,
    v: *mut ngx_http_variable_value_t,
    data: usize,
) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        let word = IF_WEBSOCKET.get(data).copied();
        // SAFETY: nginx passes a live request and the value to fill in
        unsafe { set(v, word.filter(|_| asks_for_websocket(&*r)).map(literal)) }
    })
}

/// `Host` as the client sent it, else `$proxy_host`: HTTP/1.0 may leave it out, and a destination is
/// spoken to in HTTP/1.1. `data` is the index of the latter.
unsafe extern "C" fn get_host(
    r: *mut ngx_http_request_t,
    v: *mut ngx_http_variable_value_t,
    data: usize,
) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: as above; the text of a header, and of a variable, lives as long as the request
        unsafe {
            let host = (*r).headers_in.host.as_ref().map(|host| host.value);
            if let Some(host) = host.filter(|host| host.len > 0) {
                return set(v, Some(host));
            }
            if data == NONE {
                return set(v, None);
            }
            let found = ngx_http_get_flushed_variable(r, data).as_ref();
            set(v, found.filter(|found| found.bits().not_found() == 0).map(text_of))
        }
    })
}

/// The index of no variable.
const NONE: usize = usize::MAX;

/// The index of `$proxy_host`, which cannot be asked for by its name
/// (`ngx_http_proxy_vars`, `NGX_HTTP_VAR_NOHASH`).
///
/// # Safety
/// As `add`.
unsafe fn proxy_host(cf: *mut ngx_conf_t) -> usize {
    // SAFETY: by contract; the cycle that is being made has a list of modules that ends in null
    unsafe {
        if proxy_module((*cf).cycle).is_none() {
            return NONE;
        }
        let Some(mut name) = string_in((*cf).pool, "proxy_host") else { return NONE };
        usize::try_from(ngx_http_get_variable_index(cf, addr_of_mut!(name))).unwrap_or(NONE)
    }
}

/// The client's `X-Request-Id` where there is one and it is sane, else 32 random digits. nginx's
/// `$request_id` is as random, but asks OpenSSL for it, which was a fifth of the instructions of a
/// proxied request.
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
        // SAFETY: as above
        unsafe {
            let mut sent = headers(&(*r).headers_in.headers, b"x-request-id");
            if let (Some(id), None) = (sent.next().filter(|id| is_sane(id)), sent.next()) {
                return set(v, Some(ngx_str_t { len: id.len(), data: id.as_ptr().cast_mut() }));
            }
            let bits = RANDOM.with_borrow_mut(|random| [random.next(), random.next()]);
            set_copy(r, v, Some(&hexadecimal(bits)))
        }
    })
}

/// `$status` as a number: 0 without an answer, where that is `000`, no number in JSON.
unsafe extern "C" fn get_status(
    r: *mut ngx_http_request_t,
    v: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: as above
        unsafe {
            let status = match (*r).err_status {
                0 => (*r).headers_out.status,
                error => error,
            };
            set_copy(r, v, Some(status.to_string().as_bytes()))
        }
    })
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
            let found = ngx_http_get_variable(r, addr_of_mut!(name), key).as_ref();
            let Some(found) = found.filter(|found| found.bits().not_found() == 0) else {
                return set(v, None);
            };
            let text = text_of(found);
            set_copy(r, v, Some(String::from_utf8_lossy(text.as_bytes()).as_bytes()))
        }
    })
}

fn text_of(value: &ngx_http_variable_value_t) -> ngx_str_t {
    ngx_str_t { len: value.bits().len() as usize, data: value.data }
}
