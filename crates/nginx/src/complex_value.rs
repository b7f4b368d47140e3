//! An argument with nginx's variables in it, and what it comes to for a request.

use std::mem::zeroed;
use std::ptr::{from_ref, NonNull};

use ngx::ffi::{
    ngx_http_compile_complex_value, ngx_http_compile_complex_value_t, ngx_http_complex_value,
    ngx_http_complex_value_t, ngx_http_core_main_conf_t, ngx_int_t, ngx_str_t, NGX_OK,
};
use ngx::http::{HttpModuleMainConf, NgxHttpCoreModule};

use crate::conf::{Conf, Error};
use crate::request::Request;

/// Text and variables.
#[derive(Clone, Copy)]
pub struct ComplexValue {
    value: NonNull<ngx_http_complex_value_t>,
    /// Core's part of the configuration that it belongs to: its variables are known there alone.
    of: NonNull<ngx_http_core_main_conf_t>,
}

impl ComplexValue {
    /// Reads `text` as nginx's own directives do.
    ///
    /// # Errors
    /// nginx refuses it, or there is no memory.
    pub fn new(cf: &mut Conf, text: &str) -> Result<Self, Error> {
        // SAFETY: what nginx passed
        let of = NgxHttpCoreModule::main_conf(unsafe { &*cf.as_ptr() }).ok_or(Error::Logged)?;
        let of = NonNull::from(of);
        let value = NonNull::new(cf.pool().calloc_type::<ngx_http_complex_value_t>());
        let value = value.ok_or_else(Error::no_memory)?;
        let mut text = cf.string(text)?;
        // SAFETY: all-zero is a valid value of the C struct
        let mut compile: ngx_http_compile_complex_value_t = unsafe { zeroed() };
        compile.cf = cf.as_ptr();
        compile.value = &raw mut text;
        compile.complex_value = value.as_ptr();
        // SAFETY: filled in as nginx wants it; nothing of it is kept but the text's memory, which
        // is in the configuration's pool
        match unsafe { ngx_http_compile_complex_value(&raw mut compile) } == NGX_OK as ngx_int_t {
            true => Ok(Self { value, of }),
            false => Err(Error::Logged),
        }
    }

    /// What it comes to, in the request's memory; `None` where that is nothing, or where the request
    /// is of another configuration.
    pub fn of<'r>(&self, request: &'r Request) -> Option<&'r [u8]> {
        let core = NgxHttpCoreModule::main_conf(request.raw())?;
        if !std::ptr::eq(from_ref(core), self.of.as_ptr()) {
            return None;
        }
        let mut value = ngx_str_t::default();
        // SAFETY: a live request, whose configuration is that of the value, and so alive
        let rc = unsafe {
            ngx_http_complex_value(request.as_ptr(), self.value.as_ptr(), &raw mut value)
        };
        if rc != NGX_OK as ngx_int_t || value.len == 0 {
            return None;
        }
        // SAFETY: text in the memory of the request or of its configuration
        Some(unsafe { std::slice::from_raw_parts(value.data, value.len) })
    }
}
