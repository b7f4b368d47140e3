//! Arguments with variables, and their values for a request.

use std::mem::zeroed;
use std::ptr::{from_ref, NonNull};

use ngx::ffi::{
    ngx_http_compile_complex_value, ngx_http_compile_complex_value_t, ngx_http_complex_value,
    ngx_http_complex_value_t, ngx_http_core_main_conf_t, ngx_int_t, ngx_str_t, NGX_OK,
};
use ngx::http::{HttpModuleMainConf, NgxHttpCoreModule};

use crate::conf::{Conf, Error};
use crate::life::Life;
use crate::request::Request;

/// Text with variables. It may be kept: it has no value after its configuration is freed.
#[derive(Clone)]
pub struct ComplexValue {
    value: NonNull<ngx_http_complex_value_t>,
    /// The main configuration of the core module, where its variables are defined.
    of: NonNull<ngx_http_core_main_conf_t>,
    life: Life,
}

impl ComplexValue {
    /// Compiles `text` as nginx's own directives do. To be called in a handler of a directive in
    /// `http`.
    ///
    /// # Errors
    /// nginx refuses the text, the reason being in the log; or memory is exhausted.
    pub fn new(cf: &mut Conf, text: &str) -> Result<Self, Error> {
        // SAFETY: nginx passes a valid configuration
        let of = NgxHttpCoreModule::main_conf(unsafe { &*cf.as_ptr() }).ok_or(Error::Logged)?;
        let (of, life) = (NonNull::from(of), cf.life()?);
        let value = NonNull::new(cf.pool().calloc_type::<ngx_http_complex_value_t>());
        let value = value.ok_or_else(Error::no_memory)?;
        let mut text = cf.string(text)?;
        // SAFETY: all-zero is a valid value of the C struct
        let mut compile: ngx_http_compile_complex_value_t = unsafe { zeroed() };
        compile.cf = cf.as_ptr();
        compile.value = &raw mut text;
        compile.complex_value = value.as_ptr();
        // SAFETY: the structure has what ngx_http_compile_complex_value reads; nginx stores
        // pointers to the text, which is in the pool of the configuration
        match unsafe { ngx_http_compile_complex_value(&raw mut compile) } == NGX_OK as ngx_int_t {
            true => Ok(Self { value, of, life }),
            false => Err(Error::Logged),
        }
    }

    /// The value for a request, in the memory of the request or of its configuration; `None` if it
    /// is empty, if evaluation fails, or if the request belongs to another configuration.
    pub fn of<'r>(&self, request: &'r Request) -> Option<&'r [u8]> {
        let core = NgxHttpCoreModule::main_conf(request.raw())?;
        // a later configuration may have the address of one that is freed
        if !self.life.goes_on() || !std::ptr::eq(from_ref(core), self.of.as_ptr()) {
            return None;
        }
        let mut value = ngx_str_t::default();
        // SAFETY: the request is live, and its configuration, that of the value, is alive
        let rc = unsafe {
            ngx_http_complex_value(request.as_ptr(), self.value.as_ptr(), &raw mut value)
        };
        if rc != NGX_OK as ngx_int_t || value.len == 0 {
            return None;
        }
        // SAFETY: nginx returns bytes in the memory of the request or of its configuration
        Some(unsafe { std::slice::from_raw_parts(value.data, value.len) })
    }
}
