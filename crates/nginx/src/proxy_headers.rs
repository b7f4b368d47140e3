//! `proxy_set_header`: headers of a module beside those that the proxy module sends.
//!
//! nginx inherits all of `proxy_set_header` or none: a location with one of its own has none of those
//! around it. So a module with another rule says for each level what is sent there, after the file is
//! read and before nginx merges levels; it then merges as ever.

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

/// A module with headers of its own beside those of `proxy_set_header`. A level is `http`, a server
/// or a location; `http` is 0 levels deep.
pub trait ProxyHeaders: HttpModule {
    /// What the module has of a level and those around it.
    type Headers: Default;

    /// What holds at a level with this configuration, `depth` levels deep, inside that of `outer`.
    fn inherit(outer: &Self::Headers, own: &Self::Location, depth: usize) -> Self::Headers;

    /// Whether a level with this configuration sets any itself. One that does not, and has no
    /// `proxy_set_header`, inherits.
    fn are_set(own: &Self::Location) -> bool;

    /// What is sent where `proxy_set_header` sets `theirs`, by name, and does so `depth` levels deep.
    fn beside<'h>(headers: &'h Self::Headers, theirs: &[&[u8]], depth: usize) -> Sent<'h>;
}

/// What is sent at a level.
#[derive(Debug, Default)]
pub struct Sent<'h> {
    /// Of the module: names and values.
    pub own: Vec<(&'h str, &'h str)>,
    /// For each of `proxy_set_header`, whether it is.
    pub theirs: Vec<bool>,
}

impl Conf<'_> {
    /// Whether this nginx has a `proxy_set_header`, and one that this crate knows.
    ///
    /// # Errors
    /// It has none, which the message says of the directive that is being read.
    pub fn needs_proxy_headers(&self) -> Outcome {
        Slot::find(self).map(drop)
    }

    /// Adds the module's headers where they count: to each level that sets some, its own or those of
    /// `proxy_set_header`. For `init_main` of a module that `ngx_module_order` puts before the proxy
    /// module, which would have merged its levels otherwise.
    ///
    /// # Errors
    /// This is not `init_main`; there is no memory; and as of [`Conf::needs_proxy_headers`].
    pub fn add_proxy_headers<M: ProxyHeaders>(&mut self) -> Outcome {
        let walk = Walk::<M> {
            slot: Slot::find(self)?,
            own: Module::<M>::ctx_index().ok_or(Error::Logged)?,
            of: PhantomData,
        };
        let http = self.unmerged_http()?;
        // SAFETY: what nginx passed
        let core = NgxHttpCoreModule::main_conf(unsafe { &*self.as_ptr() }).ok_or(Error::Logged)?;
        // SAFETY: the array of servers, each with its context; all of http is read, and no queue of
        // locations was taken apart yet
        unsafe {
            let outer = walk.level(self, http.as_ref().loc_conf, &Inherited::default(), 0)?;
            for server in core.servers.as_slice::<*mut ngx_http_core_srv_conf_t>() {
                walk.tree(self, (*(**server).ctx).loc_conf, &outer, 1)?;
            }
        }
        Ok(())
    }
}

/// Where the configuration of a location keeps its `proxy_set_header`, an array of `ngx_keyval_t`.
#[derive(Clone, Copy)]
struct Slot {
    /// Of the proxy module.
    ctx_index: usize,
    /// In what that module has of the location.
    offset: usize,
}

/// The `set` of a directive.
type Setter = unsafe extern "C" fn(*mut ngx_conf_t, *mut ngx_command_t, *mut c_void) -> *mut c_char;

impl Slot {
    /// nginx's own table of directives has it; the structure is the proxy module's private one. That
    /// module may be left out of nginx, so no symbol of it can be referred to.
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
        // SAFETY: a module of nginx
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

/// What nginx has where a level sets none (`NGX_CONF_UNSET_PTR`).
const UNSET: *mut ngx_array_t = usize::MAX as _;

/// What holds at a level, with what it has of those around it.
struct Inherited<H> {
    ours: H,
    /// Those of `proxy_set_header` as they stand in the file, or null, and how deep.
    theirs: *mut ngx_array_t,
    depth: usize,
}

impl<H: Default> Default for Inherited<H> {
    fn default() -> Self {
        Self { ours: H::default(), theirs: null_mut(), depth: 0 }
    }
}

/// Where each level has what of it counts.
struct Walk<M> {
    slot: Slot,
    /// Our number among the modules of http.
    own: usize,
    of: PhantomData<fn() -> M>,
}

impl<M: ProxyHeaders> Walk<M> {
    /// Completes a server or location, and those in it. All locations are in the queues of their
    /// levels, those of `if` and `limit_except` too.
    ///
    /// # Safety
    /// `loc_conf` is what it has of each module; nothing is merged yet, and nobody else changes it.
    unsafe fn tree(
        &self,
        cf: &Conf,
        loc_conf: *mut *mut c_void,
        outer: &Inherited<M::Headers>,
        depth: usize,
    ) -> Outcome {
        // SAFETY: by contract; each location is under one of two names (ngx_http_merge_locations)
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
    /// As of `tree`, or what http has.
    unsafe fn level(
        &self,
        cf: &Conf,
        loc_conf: *mut *mut c_void,
        outer: &Inherited<M::Headers>,
        depth: usize,
    ) -> Result<Inherited<M::Headers>, Error> {
        // SAFETY: by contract a slot for each module; ours is what `create_loc_conf` made
        let (own, theirs) = unsafe {
            let own = (*loc_conf.add(self.own)).cast::<M::Location>().as_ref();
            let proxy = NonNull::new(*loc_conf.add(self.slot.ctx_index)).ok_or(Error::Logged)?;
            let theirs: NonNull<*mut ngx_array_t> = proxy.byte_add(self.slot.offset).cast();
            (own.ok_or(Error::Logged)?, theirs)
        };
        // SAFETY: where `proxy_set_header` puts its array
        let found = unsafe { theirs.read() };
        let (inherited, at) = match found == UNSET {
            true => (outer.theirs, outer.depth),
            false => (found, depth),
        };
        let ours = M::inherit(&outer.ours, own, depth);
        let inner = Inherited { ours, theirs: inherited, depth: at };
        if found != UNSET || M::are_set(own) {
            // SAFETY: as above; the array is null or one of `proxy_set_header`
            unsafe { theirs.write(merged::<M>(cf, &inner)?) };
        }
        Ok(inner)
    }
}

/// All headers of a level, as `proxy_set_header` would have them.
///
/// # Safety
/// `theirs` of the level is null or the array of a `proxy_set_header`.
unsafe fn merged<M: ProxyHeaders>(
    cf: &Conf,
    level: &Inherited<M::Headers>,
) -> Result<*mut ngx_array_t, Error> {
    // SAFETY: by contract
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
        // SAFETY: an array of such headers
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
