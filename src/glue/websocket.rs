//! The HTTP module of the WebSocket tunnel.

use std::ffi::{c_char, c_void};
use std::ptr::{addr_of, null_mut, NonNull};

use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ffi::{
    ngx_conf_t, ngx_cycle_t, ngx_http_module_t, ngx_http_output_header_filter_pt,
    ngx_http_request_t, ngx_http_top_header_filter, ngx_int_t, ngx_module_t, NGX_DECLINED,
    NGX_ERROR, NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_HTTP_MODULE, NGX_LOG_ERR, NGX_OK,
};
use ngx::http::{HttpModule, HttpModuleLocationConf, HttpModuleMainConf};

use super::bits::Bits;
use super::conf::Conf;
use super::elb::event_stream;
use super::module::{create, merge};
use super::request::{register, PREACCESS};
use super::zone;
use crate::guard::guarded;
use crate::limit::Refused;
use crate::metrics::RefusedBy;

mod balancer;
mod conf;
pub(super) mod connection;
mod context;
mod detach;
mod directives;
pub mod drain;
mod handshake;
mod limit;
mod log;
mod tunnel;
mod variables;
mod wire;
pub(super) mod worker;

pub use tunnel::{is_tunnel, now};

use conf::{LocationConf, MainConf};
use context::{Fate, RequestContext};

static CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: Some(Module::preconfiguration),
    postconfiguration: Some(Module::postconfiguration),
    create_main_conf: Some(create::<MainConf>),
    init_main_conf: Some(Module::init_main_conf),
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: Some(create::<LocationConf>),
    merge_loc_conf: Some(merge::<LocationConf>),
};

/// The module, as `load_module` finds it.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub static mut ngx_http_websocket_module: ngx_module_t = ngx_module_t {
    ctx: (&raw const CONTEXT).cast_mut().cast(),
    commands: (&raw mut directives::COMMANDS).cast(),
    type_: NGX_HTTP_MODULE as _,
    init_module: Some(init_module),
    init_process: Some(init_process),
    exit_process: Some(exit_process),
    ..ngx_module_t::default()
};

struct Module;

// SAFETY: create_*_conf make values of these very types
unsafe impl HttpModuleMainConf for Module {
    type MainConf = MainConf;
}

// SAFETY: as above
unsafe impl HttpModuleLocationConf for Module {
    type LocationConf = LocationConf;
}

impl HttpModule for Module {
    fn module() -> &'static ngx_module_t {
        // SAFETY: nginx writes the indexes before it calls any function of the module
        unsafe { &*addr_of!(ngx_http_websocket_module) }
    }

    unsafe extern "C" fn preconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
        guarded(NGX_ERROR as _, || {
            // SAFETY: nginx passes the configuration of http{}
            match unsafe { variables::add(cf) } {
                true => NGX_OK as _,
                false => NGX_ERROR as _,
            }
        })
    }

    unsafe extern "C" fn init_main_conf(cf: *mut ngx_conf_t, conf: *mut c_void) -> *mut c_char {
        guarded(NGX_CONF_ERROR, || {
            // SAFETY: nginx passes what create_main_conf made
            let (cf, own) = unsafe { (Conf::from_ptr(cf), conf.cast::<MainConf>().as_ref()) };
            match (cf, own) {
                (Some(mut cf), Some(MainConf { zone: None, told_by: Some(directive), .. })) => {
                    cf.refuse(format_args!(
                        "\"{directive}\" needs a zone to tell of, as in \
                     \"websocket_zone elb:256k;\" in http"
                    ));
                    NGX_CONF_ERROR
                }
                _ => NGX_CONF_OK,
            }
        })
    }

    unsafe extern "C" fn postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
        guarded(NGX_ERROR as _, || {
            // SAFETY: nginx passes the configuration of http{}; no module of it comes later but those
            // of other shared objects
            let registered = unsafe {
                register(cf, PREACCESS, on_preaccess) && super::elb::register_health_checks(cf)
            };
            if !registered {
                return NGX_ERROR as _;
            }
            // SAFETY: globals of nginx, while it reads the configuration
            unsafe {
                NEXT_HEADER_FILTER = ngx_http_top_header_filter;
                ngx_http_top_header_filter = Some(header_filter);
            }
            NGX_OK as _
        })
    }
}

/// The settings that hold where a request is answered, by name.
pub fn settings_of(r: &ngx_http_request_t) -> Vec<(String, String)> {
    let Some(conf) = Module::location_conf(r) else { return Vec::new() };
    let mut all = conf.environment.clone();
    all.extend(conf.in_words());
    all
}

/// The longest drain of all locations with tunnels, of a configuration that is read and merged.
pub fn longest_drain(cf: &Conf) -> Option<drain::Times> {
    Module::location_conf(cf).and_then(|http| http.longest.get())
}

static mut NEXT_HEADER_FILTER: ngx_http_output_header_filter_pt = None;

unsafe extern "C" fn header_filter(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a live request
    guarded(NGX_ERROR as _, || unsafe { on_header(r) })
}

/// # Safety
/// `r` is live.
unsafe fn on_header(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a live request
    event_stream::pass_on_at_once(unsafe { &mut *r });
    // SAFETY: as above; set in postconfiguration
    let (request, next) = unsafe { (&*r, NEXT_HEADER_FILTER) };
    let Some(next) = next else { return NGX_ERROR as _ };
    let conf = match handshake::is_upgrade(request) {
        true => Module::location_conf(request).filter(|conf| conf.tunnel),
        false => None,
    };
    match conf {
        Some(_) => handshake::count_time(request),
        None => handshake::count_refused(request),
    }
    // SAFETY: the next filter of nginx's chain
    let rc = unsafe { next(r) };
    if let Some(conf) = conf.filter(|_| rc != NGX_ERROR as ngx_int_t && rc <= NGX_OK as ngx_int_t) {
        // SAFETY: a request whose answer is an upgrade has an upstream
        let fit = unsafe { handshake::check(&*r, &*(*r).upstream) };
        // SAFETY: checked
        let fit = fit.and_then(|()| match unsafe { detach::prepare(r, conf) } {
            true => Ok(()),
            false => Err(handshake::NO_MEMORY),
        });
        if let Err(why) = fit {
            // SAFETY: live, and nobody else holds its context
            unsafe { handshake::leave(r, why) };
        }
    }
    rc
}

/// Counts a handshake before it goes to the destination, once: an internal redirect brings it here
/// again, as that to an `error_page` does (`ngx_http_limit_conn_handler`).
unsafe extern "C" fn on_preaccess(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes the request that it works on
    guarded(NGX_HTTP_INTERNAL_SERVER_ERROR as _, || unsafe { count_handshake(r) })
}

/// # Safety
/// `r` is live, and nobody else holds its context.
unsafe fn count_handshake(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes the request that it works on; nothing of it is held over the next call
    let limit = unsafe {
        if (*r).bits().background() != 0 {
            // the main request of one that is live is live too
            if let Some(context) = RequestContext::of((*r).main) {
                context.has_background = true;
            }
        }
        Module::location_conf(&*r)
            .and_then(|conf| conf.limit)
            .filter(|_| handshake::is_asked_for(&*r) && !RequestContext::is_limited(&*r))
    };
    let Some(limit) = limit else { return NGX_DECLINED as _ };
    // the key may ask for the context, as $websocket_state does
    // SAFETY: as above
    let taken = limit.take(unsafe { &mut *r });
    // SAFETY: live, and the context is held here alone
    let Some(context) = (unsafe { RequestContext::of(r) }) else { return NGX_ERROR as _ };
    match taken {
        Ok(hold) => {
            context.hold = hold;
            NGX_DECLINED as _
        }
        Err(refused) => {
            context.refused = true;
            zone::slot().counts.refuse(RefusedBy::Limit);
            let why = match refused {
                Refused::Limit => "its key has as many as it may have",
                Refused::Full => "there is no room to count its key",
            };
            // SAFETY: a live request has a connection with a log
            let log = unsafe { (*(*r).connection).log };
            ngx::ngx_log_error!(NGX_LOG_ERR, log, "WebSocket refused: {why}");
            limit.status
        }
    }
}

unsafe extern "C" fn init_module(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    guarded(NGX_OK as _, || {
        // SAFETY: nginx passes the new cycle
        drain::raise_generation(unsafe { (*cycle).log });
        NGX_OK as _
    })
}

unsafe extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    guarded(NGX_OK as _, || {
        // SAFETY: nginx calls it before the process serves, with its cycle
        unsafe {
            worker::Worker::init(cycle);
            let conf = Module::main_conf(&*cycle);
            let zone = conf.and_then(|conf| conf.zone).map_or(null_mut(), NonNull::as_ptr);
            zone::enter(zone, drain::own(), (*cycle).log);
            if let Some(zone) = conf.and_then(|conf| conf.limit_zone) {
                limit::enter(zone, (*cycle).log);
            }
        }
        NGX_OK as _
    })
}

unsafe extern "C" fn exit_process(_: *mut ngx_cycle_t) {
    guarded((), || {
        // a worker without tunnels has not been asked yet
        drain::why();
        // SAFETY: the process serves no longer
        unsafe { tunnel::finish_all() };
        limit::leave();
        zone::leave();
    })
}
