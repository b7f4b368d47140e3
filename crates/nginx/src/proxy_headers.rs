//! Header fields that a module adds to those of `proxy_set_header`.
//!
//! nginx inherits either all `proxy_set_header` directives or none: a location with one of its own
//! ignores those of the enclosing levels. A module with another rule therefore computes the header
//! fields of each level after the file is read and before nginx merges the levels; nginx then
//! merges them as usual.

use std::ffi::{c_char, c_void};
use std::marker::PhantomData;
use std::mem::size_of;
use std::ptr::{fn_addr_eq, null_mut, NonNull};

use ngx::ffi::{
    ngx_array_create, ngx_array_push, ngx_array_t, ngx_command_t, ngx_conf_set_keyval_slot,
    ngx_conf_t, ngx_http_core_srv_conf_t, ngx_keyval_t, NGX_HTTP_LOC_CONF_OFFSET,
};
use ngx::http::{HttpModuleMainConf, NgxHttpCoreModule};

use crate::command::commands_of;
use crate::conf::{Conf, Error, Outcome};
use crate::locations::locations_in;
use crate::module::{HttpModule, Module};

/// A module that adds header fields to those of `proxy_set_header`. A level is `http`, a server or
/// a location; the depth of `http` is 0.
pub trait ProxyHeaders: HttpModule {
    /// The module's header fields at a level, inherited ones included.
    type Headers: Default;

    /// The header fields at a level with configuration `own` and depth `depth`, inside a level with
    /// the fields `outer`.
    fn inherit(outer: &Self::Headers, own: &Self::Location, depth: usize) -> Self::Headers;

    /// Whether a level with this configuration sets header fields itself. Otherwise, and without
    /// `proxy_set_header`, nginx makes the level inherit.
    fn are_set(own: &Self::Location) -> bool;

    /// What is sent at a level where `proxy_set_header` directives at depth `depth` set the fields
    /// named `theirs`.
    fn beside<'h>(headers: &'h Self::Headers, theirs: &[&[u8]], depth: usize) -> Sent<'h>;
}

/// The header fields sent at a level.
#[derive(Debug, Default)]
pub struct Sent<'h> {
    /// The module's: names and values.
    pub own: Vec<(&'h str, &'h str)>,
    /// For each field of `proxy_set_header`, whether it is sent.
    pub theirs: Vec<bool>,
}

impl Conf<'_> {
    /// Checks that this nginx has a `proxy_set_header` directive of the known form. To be called in
    /// a handler of a directive, which the message names.
    ///
    /// # Errors
    /// It does not.
    pub fn needs_proxy_headers(&self) -> Outcome {
        ConfSlot::find(self).map(drop)
    }

    /// Adds the module's header fields at each level that sets any, by the module or by
    /// `proxy_set_header`. To be called once, in `init_main` of a module that `ngx_module_order`
    /// puts before the proxy module; otherwise the levels of the proxy module are merged already.
    ///
    /// # Errors
    /// This is not `init_main`, memory is exhausted, or as for [`Conf::needs_proxy_headers`].
    pub fn add_proxy_headers<M: ProxyHeaders>(&mut self) -> Outcome {
        let walk = Walk::<M> {
            slot: ConfSlot::find(self)?,
            own: Module::<M>::ctx_index().ok_or(Error::Logged)?,
            of: PhantomData,
        };
        let http = self.unmerged_http()?;
        // SAFETY: nginx passes a valid configuration
        let core = NgxHttpCoreModule::main_conf(unsafe { &*self.as_ptr() }).ok_or(Error::Logged)?;
        // SAFETY: the array of servers, each with its context; in `init_main` all of http is read
        // and the queues of locations are complete
        unsafe {
            let outer = walk.level(self, http.as_ref().loc_conf, &Inherited::default(), 0)?;
            for server in core.servers.as_slice::<*mut ngx_http_core_srv_conf_t>() {
                walk.tree(self, (*(**server).ctx).loc_conf, &outer, 1)?;
            }
        }
        Ok(())
    }
}

/// Where the configuration of the proxy module stores `proxy_set_header`, an array of
/// `ngx_keyval_t`.
#[derive(Clone, Copy)]
struct ConfSlot {
    /// The index of the proxy module.
    ctx_index: usize,
    /// The offset in its location configuration.
    offset: usize,
}

/// The `set` function of a directive.
type Setter = unsafe extern "C" fn(*mut ngx_conf_t, *mut ngx_command_t, *mut c_void) -> *mut c_char;

impl ConfSlot {
    /// Reads the offset from the table of directives, as the structure is private to the proxy
    /// module. nginx may be built without that module, so its symbol must not be referenced.
    fn find(cf: &Conf) -> Result<Self, Error> {
        let module = cf.cycle().module("ngx_http_proxy_module").ok_or_else(|| {
            let name = cf.directive();
            Error::Message(format!(
                "\"{name}\" directive needs an nginx that is built with ngx_http_proxy_module"
            ))
        })?;
        let is_known = |command: &&ngx_command_t| {
            let set = command.set.is_some_and(|set| {
                let keyval: Setter = ngx_conf_set_keyval_slot;
                fn_addr_eq(set, keyval)
            });
            set && command.conf == NGX_HTTP_LOC_CONF_OFFSET
        };
        // SAFETY: a module of nginx, whose table of commands is valid
        let mut commands = unsafe { commands_of(module) }.iter();
        commands
            .find(|command| command.name.as_bytes() == b"proxy_set_header")
            .filter(is_known)
            .map(|command| Self { ctx_index: module.ctx_index, offset: command.offset })
            .ok_or_else(|| {
                let name = cf.directive();
                Error::Message(format!(
                    "\"{name}\" directive does not know the \"proxy_set_header\" of this nginx"
                ))
            })
    }
}

/// The value of an array that the level does not set (`NGX_CONF_UNSET_PTR`).
const UNSET: *mut ngx_array_t = usize::MAX as _;

/// The header fields at a level, inherited ones included.
struct Inherited<H> {
    ours: H,
    /// The array of the `proxy_set_header` directives that apply, null if there are none, and the
    /// depth where they are.
    theirs: *mut ngx_array_t,
    depth: usize,
}

impl<H: Default> Default for Inherited<H> {
    fn default() -> Self {
        Self { ours: H::default(), theirs: null_mut(), depth: 0 }
    }
}

/// The indices needed to visit the levels.
struct Walk<M> {
    slot: ConfSlot,
    /// The index of the module among the HTTP modules.
    own: usize,
    of: PhantomData<fn() -> M>,
}

impl<M: ProxyHeaders> Walk<M> {
    /// Completes a server or location and the locations in it. The queues of the levels contain all
    /// locations, those of `if` and `limit_except` too.
    ///
    /// # Safety
    /// `loc_conf` has a slot for each HTTP module, for a server or location of the configuration
    /// being read; nothing is merged yet, and nobody else uses it during the call.
    unsafe fn tree(
        &self,
        cf: &Conf,
        loc_conf: *mut *mut c_void,
        outer: &Inherited<M::Headers>,
        depth: usize,
    ) -> Outcome {
        // SAFETY: by contract the queues are complete; each location is in one of the two fields
        // (ngx_http_merge_locations)
        unsafe {
            let outer = self.level(cf, loc_conf, outer, depth)?;
            for location in locations_in(loc_conf) {
                let core = match location.exact.is_null() {
                    true => location.inclusive,
                    false => location.exact,
                };
                self.tree(cf, (*core).loc_conf, &outer, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Completes one level.
    ///
    /// # Safety
    /// As for `tree`; `loc_conf` may be that of `http` too.
    unsafe fn level(
        &self,
        cf: &Conf,
        loc_conf: *mut *mut c_void,
        outer: &Inherited<M::Headers>,
        depth: usize,
    ) -> Result<Inherited<M::Headers>, Error> {
        // SAFETY: by contract there is a slot for each HTTP module; ours holds what
        // `create_loc_conf` has made, that of the proxy module its configuration, with an array at
        // the offset
        let (own, theirs) = unsafe {
            let own = (*loc_conf.add(self.own)).cast::<M::Location>().as_ref();
            let proxy = NonNull::new(*loc_conf.add(self.slot.ctx_index)).ok_or(Error::Logged)?;
            let theirs: NonNull<*mut ngx_array_t> = proxy.byte_add(self.slot.offset).cast();
            (own.ok_or(Error::Logged)?, theirs)
        };
        // SAFETY: the field of the array, which only the proxy module and this code write
        let found = unsafe { theirs.read() };
        let (inherited, at) = match found == UNSET {
            true => (outer.theirs, outer.depth),
            false => (found, depth),
        };
        let ours = M::inherit(&outer.ours, own, depth);
        let inner = Inherited { ours, theirs: inherited, depth: at };
        if found != UNSET || M::are_set(own) {
            // SAFETY: the same field; `inner.theirs` is null or an array of `proxy_set_header`
            unsafe { theirs.write(merged::<M>(cf, &inner)?) };
        }
        Ok(inner)
    }
}

/// The array of all header fields of a level, for the proxy module.
///
/// # Safety
/// `theirs` of the level is null or the array of `proxy_set_header` directives.
unsafe fn merged<M: ProxyHeaders>(
    cf: &Conf,
    level: &Inherited<M::Headers>,
) -> Result<*mut ngx_array_t, Error> {
    // SAFETY: the caller guarantees null or an array of `ngx_keyval_t`
    let theirs = unsafe { level.theirs.as_ref().map(|array| array.as_slice::<ngx_keyval_t>()) };
    let theirs = theirs.unwrap_or_default();
    let names: Vec<_> = theirs.iter().map(|header| header.key.as_bytes()).collect();
    let sent = M::beside(&level.ours, &names, level.depth);

    let count = sent.own.len() + theirs.len() + 1;
    // SAFETY: the pool of the configuration
    let merged = unsafe { ngx_array_create(cf.pool().as_mut(), count, size_of::<ngx_keyval_t>()) };
    if merged.is_null() {
        return Err(Error::no_memory());
    }
    let push = |header: ngx_keyval_t| {
        // SAFETY: an array of `ngx_keyval_t`, made above
        let place = unsafe { ngx_array_push(merged).cast::<ngx_keyval_t>().as_mut() };
        place.map(|place| *place = header).ok_or_else(Error::no_memory)
    };
    for (name, value) in sent.own {
        push(ngx_keyval_t { key: cf.string(name)?, value: cf.string(value)? })?;
    }
    let kept = theirs.iter().zip(sent.theirs).filter_map(|(header, kept)| kept.then_some(header));
    for header in kept {
        push(*header)?;
    }
    Ok(merged)
}
