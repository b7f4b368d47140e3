//! Variables of nginx that this crate makes.

use std::ptr::addr_of_mut;

use ngx::ffi::{
    ngx_conf_t, ngx_http_add_variable, ngx_http_request_t, ngx_http_variable_value_t, ngx_int_t,
    ngx_str_t, NGX_ERROR, NGX_OK,
};

use super::bits::Bits;
use super::conf::string_in;

/// The getter of a variable, with what is kept beside it; with the name, for a prefix.
pub type Getter = unsafe extern "C" fn(
    *mut ngx_http_request_t,
    *mut ngx_http_variable_value_t,
    usize,
) -> ngx_int_t;

/// Makes a variable; `false` where there is no memory.
///
/// # Safety
/// `cf` is what nginx passes to `preconfiguration`.
pub unsafe fn add(
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

/// Fills in the value of a variable; `None` where it has none.
///
/// # Safety
/// `v` is what nginx wants to have filled in, and the text lives as long as its request.
pub unsafe fn set(v: *mut ngx_http_variable_value_t, value: Option<ngx_str_t>) -> ngx_int_t {
    // SAFETY: by contract
    let v = unsafe { &mut *v };
    v.bits_mut().set_no_cacheable(0);
    let Some(text) = value else {
        v.bits_mut().set_valid(0);
        v.bits_mut().set_not_found(1);
        return NGX_OK as _;
    };
    v.bits_mut().set_valid(1);
    v.bits_mut().set_not_found(0);
    v.bits_mut().set_len(text.len as _);
    v.data = text.data;
    NGX_OK as _
}

/// The same with text that is copied to the request's memory.
///
/// # Safety
/// `r` is live, and `v` is what nginx wants to have filled in.
pub unsafe fn set_copy(
    r: *mut ngx_http_request_t,
    v: *mut ngx_http_variable_value_t,
    value: Option<&[u8]>,
) -> ngx_int_t {
    // SAFETY: by contract
    unsafe {
        let Some(bytes) = value else { return set(v, None) };
        match ngx_str_t::from_bytes((*r).pool, bytes) {
            Some(text) => set(v, Some(text)),
            None => NGX_ERROR as _,
        }
    }
}
