//! Variables of nginx that a module makes.

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

/// What a variable says of a request; `None` where it has no value.
pub type Text<'r> = Option<Cow<'r, [u8]>>;

/// A variable.
pub struct Variable {
    /// Its name, without the dollar.
    pub name: &'static str,
    /// Whether it may change while the request goes on.
    pub changes: bool,
    /// What it says.
    pub get: for<'r> fn(&'r Request<'_>) -> Text<'r>,
}

/// Variables whose names begin with a word.
pub trait Prefix: 'static {
    /// That word.
    const PREFIX: &'static str;

    /// What the variable says whose name goes on with `rest`.
    fn get<'r>(request: &'r Request<'_>, rest: &[u8]) -> Text<'r>;
}

/// The place of a variable among those of a configuration.
#[derive(Clone, Copy)]
pub struct Index(usize);

impl Conf<'_> {
    /// Makes a variable. For `preconfiguration`.
    ///
    /// # Errors
    /// There is no memory, or another module has made one of this name.
    pub fn add_variable(&mut self, variable: &'static Variable) -> Outcome {
        let flags = if variable.changes { NGX_HTTP_VAR_NOCACHEABLE } else { 0 };
        self.add(variable.name, flags, get, from_ref(variable).addr())
    }

    /// Makes all variables of a prefix, none of which is cached.
    ///
    /// # Errors
    /// As of [`Conf::add_variable`].
    pub fn add_prefix<P: Prefix>(&mut self) -> Outcome {
        self.add(P::PREFIX, NGX_HTTP_VAR_NOCACHEABLE | NGX_HTTP_VAR_PREFIX, get_prefixed::<P>, 0)
    }

    fn add(&mut self, name: &str, flags: u32, getter: Getter, data: usize) -> Outcome {
        let mut name = self.string(name)?;
        // SAFETY: the name is in the configuration's pool
        let variable =
            unsafe { ngx_http_add_variable(self.as_ptr(), &raw mut name, flags as usize) };
        // SAFETY: null or a variable of the configuration
        let variable = unsafe { variable.as_mut() }.ok_or(Error::Logged)?;
        variable.get_handler = Some(getter);
        variable.data = data;
        Ok(())
    }

    /// The place of a variable that may be asked for by that alone (`NGX_HTTP_VAR_NOHASH`).
    ///
    /// # Errors
    /// There is no memory.
    pub fn variable_index(&mut self, name: &str) -> Result<Index, Error> {
        let mut name = self.string(name)?;
        // SAFETY: the name is in the configuration's pool
        let index = unsafe { ngx_http_get_variable_index(self.as_ptr(), &raw mut name) };
        usize::try_from(index).map(Index).map_err(|_| Error::Logged)
    }
}

impl Request<'_> {
    /// What another variable says.
    pub fn variable(&self, name: &[u8]) -> Option<&[u8]> {
        let mut name = ngx_str_t { len: name.len(), data: name.as_ptr().cast_mut() };
        // SAFETY: the name is only read, and the request is live
        let found = unsafe {
            let key = ngx_hash_key(name.data, name.len);
            ngx_http_get_variable(self.as_ptr(), &raw mut name, key).as_ref()
        };
        found.and_then(text_of)
    }

    /// What the variable at a place says; `None` also where the request's configuration has no such
    /// place.
    pub fn variable_at(&self, Index(index): Index) -> Option<&[u8]> {
        use ngx::http::{HttpModuleMainConf, NgxHttpCoreModule};
        let known = NgxHttpCoreModule::main_conf(self.raw())?.variables.nelts;
        // SAFETY: a live request, whose configuration has that many variables
        (index < known)
            .then(|| unsafe { ngx_http_get_flushed_variable(self.as_ptr(), index).as_ref() })
            .flatten()
            .and_then(text_of)
    }
}

/// The bytes of a value, which are in the memory of the request or of its configuration.
fn text_of<'r>(value: &ngx_http_variable_value_t) -> Option<&'r [u8]> {
    let (bits, data) = (value.bits(), value.data);
    if bits.not_found() != 0 {
        return None;
    }
    match bits.len() as usize {
        0 => Some(&[]),
        // SAFETY: by what `bits` says
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
        // SAFETY: nginx passes what `Conf::add_variable` has put there, and the value to fill in
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
        // SAFETY: nginx passes the variable's name for a prefix, and the value to fill in
        let (name, v) = unsafe { (&*(data as *const ngx_str_t), &mut *v) };
        // SAFETY: nginx passes a live request
        let Some(request) = (unsafe { Request::from_ptr(r) }) else { return NGX_ERROR as _ };
        let rest = name.as_bytes().get(P::PREFIX.len()..).unwrap_or_default();
        fill(v, &request, P::get(&request, rest))
    })
}

/// Fills in the value of a variable.
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
