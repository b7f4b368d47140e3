//! nginx variables: those that a module adds, and access to others.

use std::borrow::Cow;
use std::ptr::from_ref;

use ngx::ffi::{
    ngx_hash_key, ngx_http_add_variable, ngx_http_get_flushed_variable, ngx_http_get_variable,
    ngx_http_get_variable_index, ngx_http_request_t, ngx_http_variable_value_t, ngx_int_t,
    ngx_str_t, NGX_ERROR, NGX_HTTP_VAR_NOCACHEABLE, NGX_HTTP_VAR_PREFIX, NGX_OK,
};

use crate::bits::Bits;
use crate::conf::{Conf, Error, Outcome};
use crate::guard::guarded;
use crate::request::Request;
use crate::text::borrowed;

/// The value of a variable for a request; `None` if it has none.
pub type Text<'r> = Option<Cow<'r, [u8]>>;

/// A variable that a module adds.
pub struct Variable {
    /// Its name, without the dollar sign.
    pub name: &'static str,
    /// Whether its value may change during a request; nginx does not cache it then.
    pub changes: bool,
    /// Returns the value. nginx copies an owned value to the memory of the request; a borrowed one
    /// must stay valid until the request is freed.
    pub get: for<'r> fn(&'r Request<'_>) -> Text<'r>,
}

/// A family of variables that share a prefix, such as `http_`.
pub trait Prefix: 'static {
    /// The prefix.
    const PREFIX: &'static str;

    /// The value of the variable whose name is the prefix followed by `rest`.
    fn get<'r>(request: &'r Request<'_>, rest: &[u8]) -> Text<'r>;
}

/// The index of a variable in a configuration.
#[derive(Clone, Copy)]
pub struct Index(usize);

impl Conf<'_> {
    /// Adds a variable. To be called in `preconfiguration`.
    ///
    /// # Errors
    /// Memory is exhausted, or another module has added a variable of this name.
    pub fn add_variable(&mut self, variable: &'static Variable) -> Outcome {
        let flags = if variable.changes { NGX_HTTP_VAR_NOCACHEABLE } else { 0 };
        self.add(variable.name, flags, get, from_ref(variable).addr())
    }

    /// Adds a family of variables, which nginx does not cache. To be called in `preconfiguration`.
    ///
    /// # Errors
    /// As for [`Conf::add_variable`].
    pub fn add_prefix<P: Prefix>(&mut self) -> Outcome {
        self.add(P::PREFIX, NGX_HTTP_VAR_NOCACHEABLE | NGX_HTTP_VAR_PREFIX, get_prefixed::<P>, 0)
    }

    fn add(&mut self, name: &str, flags: u32, getter: Getter, data: usize) -> Outcome {
        let mut name = self.string(name)?;
        // SAFETY: the name is in the pool of the configuration
        let variable =
            unsafe { ngx_http_add_variable(self.as_ptr(), &raw mut name, flags as usize) };
        // SAFETY: null, or the variable in the configuration being read
        let variable = unsafe { variable.as_mut() }.ok_or(Error::Logged)?;
        variable.get_handler = Some(getter);
        variable.data = data;
        Ok(())
    }

    /// The index of a variable, also of one that has no entry in the hash of names
    /// (`NGX_HTTP_VAR_NOHASH`). To be called while `http` is read.
    ///
    /// # Errors
    /// Memory is exhausted.
    pub fn variable_index(&mut self, name: &str) -> Result<Index, Error> {
        let mut name = self.string(name)?;
        // SAFETY: the name is in the pool of the configuration
        let index = unsafe { ngx_http_get_variable_index(self.as_ptr(), &raw mut name) };
        usize::try_from(index).map(Index).map_err(|_| Error::Logged)
    }
}

impl Request<'_> {
    /// The value of any variable, by its name in lower case; `None` if it has none.
    pub fn variable(&self, name: &[u8]) -> Option<&[u8]> {
        let mut name = ngx_str_t { len: name.len(), data: name.as_ptr().cast_mut() };
        // SAFETY: nginx only reads the name, and the request is live
        let found = unsafe {
            let key = ngx_hash_key(name.data, name.len);
            ngx_http_get_variable(self.as_ptr(), &raw mut name, key).as_ref()
        };
        found.and_then(text_of)
    }

    /// The value of the variable with this index; `None` too if the configuration of the request
    /// has fewer variables. An index of another configuration may be that of another variable.
    pub fn variable_at(&self, Index(index): Index) -> Option<&[u8]> {
        use ngx::http::{HttpModuleMainConf, NgxHttpCoreModule};
        let known = NgxHttpCoreModule::main_conf(self.raw())?.variables.nelts;
        // SAFETY: the request is live, and its configuration has more variables than `index`
        (index < known)
            .then(|| unsafe { ngx_http_get_flushed_variable(self.as_ptr(), index).as_ref() })
            .flatten()
            .and_then(text_of)
    }
}

/// The bytes of a value. They are in the memory of the request or of its configuration.
fn text_of<'r>(value: &ngx_http_variable_value_t) -> Option<&'r [u8]> {
    let (bits, data) = (value.bits(), value.data);
    if bits.not_found() != 0 {
        return None;
    }
    match bits.len() as usize {
        0 => Some(&[]),
        // SAFETY: nginx sets `data` to `len` bytes in a value that is found
        len => Some(unsafe { std::slice::from_raw_parts(data, len) }),
    }
}

type Getter = unsafe extern "C" fn(
    *mut ngx_http_request_t,
    *mut ngx_http_variable_value_t,
    usize,
) -> ngx_int_t;

unsafe extern "C" fn get(
    r: *mut ngx_http_request_t,
    v: *mut ngx_http_variable_value_t,
    data: usize,
) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: nginx passes the `data` that `Conf::add_variable` has set, the address of a
        // static, and the value to fill in
        let (variable, v) = unsafe { (&*(data as *const Variable), &mut *v) };
        // SAFETY: nginx passes a live request
        let Some(request) = (unsafe { Request::from_ptr(r) }) else { return NGX_ERROR as _ };
        fill(v, &request, (variable.get)(&request))
    })
}

unsafe extern "C" fn get_prefixed<P: Prefix>(
    r: *mut ngx_http_request_t,
    v: *mut ngx_http_variable_value_t,
    data: usize,
) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: for a prefix nginx passes the name of the variable, and the value to fill in
        let (name, v) = unsafe { (&*(data as *const ngx_str_t), &mut *v) };
        // SAFETY: nginx passes a live request
        let Some(request) = (unsafe { Request::from_ptr(r) }) else { return NGX_ERROR as _ };
        let rest = name.as_bytes().get(P::PREFIX.len()..).unwrap_or_default();
        fill(v, &request, P::get(&request, rest))
    })
}

/// Sets the value of a variable.
fn fill(v: &mut ngx_http_variable_value_t, request: &Request, text: Text) -> ngx_int_t {
    let text = match text {
        None => None,
        Some(Cow::Borrowed(text)) => {
            Some(ngx_str_t { len: text.len(), data: text.as_ptr().cast_mut() })
        }
        Some(Cow::Owned(text)) => match request.keep(&text) {
            Some(text) => Some(text),
            None => return NGX_ERROR as _,
        },
    };
    let found = text.is_some();
    let text = text.unwrap_or_else(|| borrowed(""));
    v.bits_mut().set_no_cacheable(0);
    v.bits_mut().set_valid(found.into());
    v.bits_mut().set_not_found((!found).into());
    if found {
        v.bits_mut().set_len(text.len as _);
        v.data = text.data;
    }
    NGX_OK as _
}
