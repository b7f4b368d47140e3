//! `elb_proxy_set_header`: headers for the destination that a location has beside its own.

use std::ffi::{c_void, CStr};
use std::mem::size_of;
use std::ptr::{fn_addr_eq, null_mut};

use ngx::ffi::{
    ngx_array_create, ngx_array_push, ngx_array_t, ngx_command_t, ngx_conf_set_keyval_slot,
    ngx_conf_t, ngx_cycle_t, ngx_http_conf_ctx_t, ngx_http_core_loc_conf_t,
    ngx_http_core_srv_conf_t, ngx_http_location_queue_t, ngx_keyval_t, ngx_module_t,
    NGX_HTTP_LOC_CONF_OFFSET,
};
use ngx::http::{HttpModule, HttpModuleMainConf, NgxHttpCoreModule};

use super::{Elb, LocationConf};
use crate::glue::conf::{invalid, Conf, Error, Outcome};
use crate::set_header::{is_name, Headers};
use nginx::value::Value;

/// `elb_proxy_set_header name value;`
pub fn elb_proxy_set_header(cf: &mut Conf, own: &mut LocationConf) -> Outcome {
    let args = cf.args()?;
    let [name, value] = args.as_slice() else { return Err(Error::Logged) };
    if !is_name(name) {
        return Err(invalid(cf, name, "the name of a header, then its value"));
    }
    // nginx compiles it with the others of its location, and would name the end of http then
    Value::new(cf, value)?;
    if !own.headers.set(name, value) {
        return Err(Error::Message(format!(
            "\"{name}\" in \"elb_proxy_set_header\" directive is duplicate"
        )));
    }
    let slot = Slot::find(cf)?;
    cf.main::<Elb>()?.proxy_headers = Some(slot);
    Ok(())
}

/// nginx's own proxy module, which may be left out of it, so no symbol of it can be referred to.
///
/// # Safety
/// `cycle` is being made, and its modules are known.
pub unsafe fn proxy_module<'a>(cycle: *const ngx_cycle_t) -> Option<&'a ngx_module_t> {
    // SAFETY: by contract a list that ends in null, of modules with a name
    unsafe {
        let mut module = (*cycle).modules;
        while let Some(found) = (*module).as_ref() {
            if CStr::from_ptr(found.name) == c"ngx_http_proxy_module" {
                return Some(found);
            }
            module = module.add(1);
        }
    }
    None
}

/// Where the configuration of a location keeps its `proxy_set_header`, an array of `ngx_keyval_t`.
#[derive(Clone, Copy)]
pub struct Slot {
    /// Of the proxy module.
    ctx_index: usize,
    /// In what that module has of the location.
    offset: usize,
}

impl Slot {
    /// nginx's own table of directives tells it; the structure is the proxy module's private one.
    fn find(cf: &mut Conf) -> Result<Self, Error> {
        // SAFETY: the cycle that is being made
        let module = unsafe { proxy_module(cf.cycle().as_ptr()) }.ok_or_else(|| {
            let name = cf.directive();
            Error::Message(format!(
                "\"{name}\" directive needs an nginx that is built with ngx_http_proxy_module"
            ))
        })?;
        // SAFETY: the table of a module, which ends in an entry without a name
        let commands = unsafe { commands_of(module) };
        let is_known = |command: &&ngx_command_t| {
            command.conf == NGX_HTTP_LOC_CONF_OFFSET
                && command
                    .set
                    .is_some_and(|set| fn_addr_eq(set, ngx_conf_set_keyval_slot as Setter))
        };
        commands
            .iter()
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

    /// # Safety
    /// What a level has of each module; it is not merged yet.
    unsafe fn of(self, loc_conf: *mut *mut c_void) -> *mut *mut ngx_array_t {
        // SAFETY: by contract
        unsafe { (*loc_conf.add(self.ctx_index)).byte_add(self.offset).cast() }
    }
}

/// The `set` of a directive.
type Setter =
    unsafe extern "C" fn(*mut ngx_conf_t, *mut ngx_command_t, *mut c_void) -> *mut std::ffi::c_char;

/// The directives of a module.
///
/// # Safety
/// A module of nginx, or of the same shape.
pub unsafe fn commands_of(module: &ngx_module_t) -> &[ngx_command_t] {
    // SAFETY: by contract null or a table that ends in an entry without a name
    unsafe {
        if module.commands.is_null() {
            return &[];
        }
        let len = (0..).take_while(|at| (*module.commands.add(*at)).name.len > 0).count();
        std::slice::from_raw_parts(module.commands, len)
    }
}

/// What nginx has where a level sets none (`NGX_CONF_UNSET_PTR`).
const UNSET: *mut ngx_array_t = usize::MAX as _;

/// What a level has of those around it.
#[derive(Clone)]
struct Outer {
    ours: Headers,
    /// Those of `proxy_set_header` as they stand in the file, or null, and how deep.
    theirs: *mut ngx_array_t,
    depth: usize,
}

/// Adds our headers where they count, so that nginx then merges as ever: to each level that sets
/// some, of ours or of `proxy_set_header`. The others inherit.
///
/// It runs before the proxy module merges its locations: core does module by module
/// (`ngx_http_block`), and `ngx_module_order` puts ours first. All locations are still in the
/// queues of their levels then, those of `if` and `limit_except` too.
pub fn complete(cf: &mut Conf, slot: Slot) -> Outcome {
    // SAFETY: in init_main_conf the context is that of http
    let http = unsafe { &*(*cf.as_ptr()).ctx.cast::<ngx_http_conf_ctx_t>() };
    let none = Outer { ours: Headers::default(), theirs: null_mut(), depth: 0 };
    // SAFETY: what http has of each module
    let outer = unsafe { complete_level(cf, slot, http.loc_conf, &none, 0) }?;
    // SAFETY: what nginx passed
    let Some(core) = NgxHttpCoreModule::main_conf_mut(unsafe { &*cf.as_ptr() }) else {
        return Ok(());
    };
    // SAFETY: the array of servers
    let servers = unsafe { core.servers.as_slice::<*mut ngx_http_core_srv_conf_t>() }.to_vec();
    for server in servers {
        // SAFETY: a server, with its context
        unsafe { complete_tree(cf, slot, (*(*server).ctx).loc_conf, &outer, 1) }?;
    }
    Ok(())
}

/// # Safety
/// What a server or location has of each module; nothing is merged yet.
unsafe fn complete_tree(
    cf: &mut Conf,
    slot: Slot,
    loc_conf: *mut *mut c_void,
    outer: &Outer,
    depth: usize,
) -> Outcome {
    // SAFETY: by contract; the queue, where there is one, is a ring of locations, each under one of
    // two names (ngx_http_merge_locations)
    unsafe {
        let outer = complete_level(cf, slot, loc_conf, outer, depth)?;
        let core = *loc_conf.add(NgxHttpCoreModule::module().ctx_index);
        let locations = (*core.cast::<ngx_http_core_loc_conf_t>()).locations;
        let Some(mut link) = locations.as_ref().map(|queue| queue.next) else { return Ok(()) };
        while link != locations {
            let location = link.cast::<ngx_http_location_queue_t>();
            let clcf = match (*location).exact.is_null() {
                true => (*location).inclusive,
                false => (*location).exact,
            };
            complete_tree(cf, slot, (*clcf).loc_conf, &outer, depth + 1)?;
            link = (*link).next;
        }
    }
    Ok(())
}

/// # Safety
/// As of `complete_tree`, or what http has.
unsafe fn complete_level(
    cf: &mut Conf,
    slot: Slot,
    loc_conf: *mut *mut c_void,
    outer: &Outer,
    depth: usize,
) -> Result<Outer, Error> {
    // SAFETY: by contract; ours is what create_loc_conf made
    let (own, theirs) = unsafe {
        let own = nginx::module::location_at::<Elb>(loc_conf).ok_or(Error::Logged)?;
        (&(*own).headers, slot.of(loc_conf))
    };
    let mut inner = outer.clone();
    inner.ours = outer.ours.inherited_by(own, depth);
    // SAFETY: the slot of a level
    let found = unsafe { *theirs };
    if found != UNSET {
        inner.theirs = found;
        inner.depth = depth;
    }
    if found != UNSET || !own.is_empty() {
        let merged = merge(cf, &inner)?;
        // SAFETY: as above
        unsafe { *theirs = merged };
    }
    Ok(inner)
}

/// All headers of a level, as `proxy_set_header` would have them.
fn merge(cf: &mut Conf, level: &Outer) -> Result<*mut ngx_array_t, Error> {
    // SAFETY: null or the array of proxy_set_header
    let theirs = unsafe { level.theirs.as_ref().map(|array| array.as_slice::<ngx_keyval_t>()) };
    let theirs = theirs.unwrap_or_default();
    let names: Vec<_> = theirs.iter().map(|header| header.key.as_bytes()).collect();
    let (ours, kept) = level.ours.beside(&names, level.depth);

    let pool = cf.as_ptr();
    // SAFETY: the pool of the configuration
    let merged = unsafe {
        ngx_array_create((*pool).pool, ours.len() + theirs.len() + 1, size_of::<ngx_keyval_t>())
    };
    let no_memory = || Error::Message("no memory".to_owned());
    let push = |header: ngx_keyval_t| {
        // SAFETY: an array of such headers
        let place = unsafe { ngx_array_push(merged).cast::<ngx_keyval_t>().as_mut() };
        place.map(|place| *place = header).ok_or_else(no_memory)
    };
    if merged.is_null() {
        return Err(no_memory());
    }
    for header in ours {
        push(ngx_keyval_t { key: string(cf, &header.name)?, value: string(cf, &header.value)? })?;
    }
    let kept = theirs.iter().zip(kept).filter_map(|(header, kept)| kept.then_some(header));
    for header in kept {
        push(*header)?;
    }
    Ok(merged)
}

fn string(cf: &mut Conf, text: &str) -> Result<ngx::ffi::ngx_str_t, Error> {
    // SAFETY: the pool of the configuration
    unsafe { nginx::text::string_in((*cf.as_ptr()).pool, text) }.ok_or_else(Error::no_memory)
}
