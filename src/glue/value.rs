//! An argument with nginx's variables in it, and what it comes to for a request.

use std::mem::zeroed;

use ngx::ffi::{
    ngx_http_compile_complex_value, ngx_http_compile_complex_value_t, ngx_http_complex_value,
    ngx_http_complex_value_t, ngx_http_request_t, ngx_int_t, ngx_str_t, NGX_OK,
};

use super::conf::{Conf, Error};

/// Text and variables; it lives as long as its configuration.
#[derive(Clone, Copy)]
pub struct Value(*mut ngx_http_complex_value_t);

impl Value {
    /// Reads `text` as nginx's own directives do.
    ///
    /// # Errors
    /// nginx refuses it, or there is no memory.
    pub fn new(cf: &mut Conf, text: &str) -> Result<Self, Error> {
        let compiled = cf.pool().calloc_type::<ngx_http_complex_value_t>();
        let mut text = cf.string(text)?;
        // SAFETY: all-zero is a valid value of the C struct
        let mut compile: ngx_http_compile_complex_value_t = unsafe { zeroed() };
        compile.cf = cf.as_ptr();
        compile.value = &raw mut text;
        compile.complex_value = compiled;
        // SAFETY: filled in as nginx wants it; nothing of it is kept but the text's memory, which
        // is in the configuration's pool
        let rc = unsafe { ngx_http_compile_complex_value(&raw mut compile) };
        if compiled.is_null() || rc != NGX_OK as ngx_int_t {
            return Err(Error::Logged);
        }
        Ok(Self(compiled))
    }

    /// What it comes to, in the request's memory; `None` where that is nothing.
    ///
    /// # Safety
    /// `r` is live. Nobody holds what the variables may ask for, such as the context of the request.
    pub unsafe fn of(self, r: *mut ngx_http_request_t) -> Option<ngx_str_t> {
        let mut value = ngx_str_t::default();
        // SAFETY: a compiled value, and by contract a live request
        let rc = unsafe { ngx_http_complex_value(r, self.0, &raw mut value) };
        (rc == NGX_OK as ngx_int_t && !value.is_empty()).then_some(value)
    }
}
