//! The HTTP module of the load balancer's directives.

use std::ffi::{c_char, c_void};
use std::ptr::addr_of;
use std::rc::Rc;

use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ffi::{
    ngx_command_t, ngx_conf_t, ngx_cycle_t, ngx_http_module_t, ngx_http_request_t, ngx_int_t,
    ngx_module_t, NGX_DECLINED, NGX_ERROR, NGX_HTTP_INTERNAL_SERVER_ERROR,
    NGX_HTTP_LOC_CONF_OFFSET, NGX_HTTP_MAIN_CONF_OFFSET, NGX_HTTP_MODULE, NGX_HTTP_SRV_CONF_OFFSET,
    NGX_OK,
};
use ngx::http::{
    HttpModule, HttpModuleLocationConf, HttpModuleMainConf, HttpModuleServerConf, Merge,
    MergeConfigError,
};

use super::conf::{command, invalid, Conf, Error, Outcome};
use super::module::{create, merge};
use super::request::{register, Answer, Request, POST_READ, REWRITE, SERVER_REWRITE};
use super::zone;
use crate::guard::guarded;
use crate::metrics::{Destination, Health};
use crate::set_header::Headers;
use crate::settings::value::{FromText, PingMode, PingPath};
use crate::settings::{self, Redirect};

mod check;
mod destination;
pub mod event_stream;
pub mod health;
mod keepalive;
mod listen;
pub mod peers;
mod set_header;
pub mod shutdown;
mod variables;

static mut COMMANDS: [ngx_command_t; 12] = [
    command!("elb_listen", NGX_HTTP_SRV_CONF_OFFSET, listen::elb_listen),
    command!("elb_destination", NGX_HTTP_MAIN_CONF_OFFSET, destination::elb_destination),
    command!("elb_check", NGX_HTTP_MAIN_CONF_OFFSET, check::elb_check),
    command!("elb_trusted_proxies", NGX_HTTP_SRV_CONF_OFFSET, elb_trusted_proxies),
    command!("elb_redirect", NGX_HTTP_LOC_CONF_OFFSET, elb_redirect),
    command!("elb_ping", NGX_HTTP_SRV_CONF_OFFSET, elb_ping),
    command!("elb_ready", NGX_HTTP_SRV_CONF_OFFSET, elb_ready),
    command!("elb_drain_file", NGX_HTTP_SRV_CONF_OFFSET, health::elb_drain_file),
    command!("elb_proxy_set_header", NGX_HTTP_LOC_CONF_OFFSET, set_header::elb_proxy_set_header),
    command!(
        "elb_keepalive_min_timeout",
        NGX_HTTP_MAIN_CONF_OFFSET,
        keepalive::elb_keepalive_min_timeout
    ),
    command!("elb_shutdown_timeout", NGX_HTTP_MAIN_CONF_OFFSET, shutdown::elb_shutdown_timeout),
    ngx_command_t::empty(),
];

static CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: Some(Module::preconfiguration),
    postconfiguration: Some(Module::postconfiguration),
    create_main_conf: Some(create::<destination::MainConf>),
    init_main_conf: Some(Module::init_main_conf),
    create_srv_conf: Some(create::<ServerConf>),
    merge_srv_conf: Some(merge::<ServerConf>),
    create_loc_conf: Some(create::<LocationConf>),
    merge_loc_conf: Some(merge::<LocationConf>),
};

/// The module, as `load_module` finds it.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub static mut ngx_http_elb_module: ngx_module_t = ngx_module_t {
    ctx: (&raw const CONTEXT).cast_mut().cast(),
    commands: (&raw mut COMMANDS).cast(),
    type_: NGX_HTTP_MODULE as _,
    init_module: Some(init_module),
    init_process: Some(init_process),
    exit_process: Some(exit_process),
    ..ngx_module_t::default()
};

struct Module;

/// Configuration of a server.
#[derive(Default)]
pub struct ServerConf {
    /// Where `elb_trusted_proxies` stands already.
    trusted_proxies: bool,
    ping: Option<(PingPath, PingMode)>,
    ready: Option<PingPath>,
    /// It stands in http; its servers share it.
    drain_file: Option<Rc<health::DrainFile>>,
    /// Core's list of peers, where this is an upstream block that has it.
    peers: Option<peers::Found>,
    optional: listen::optional::Optional,
}

impl ServerConf {
    /// What a request of this path is told, if it is a health check. Where both have the same
    /// path, `elb_ready` counts: it knows more.
    fn asked_for(&self, path: &[u8]) -> Option<PingMode> {
        let is = |checked: &PingPath| checked.0.as_bytes() == path;
        if self.ready.as_ref().is_some_and(is) {
            return Some(PingMode::Ready);
        }
        self.ping.as_ref().filter(|(checked, _)| is(checked)).map(|(_, mode)| *mode)
    }
}

/// Configuration of a location.
#[derive(Default)]
struct LocationConf {
    redirect: Option<Redirect>,
    /// What stands at this level itself; `set_header` knows what holds there.
    headers: Headers,
}

impl Merge for ServerConf {
    fn merge(&mut self, prev: &Self) -> Result<(), MergeConfigError> {
        if self.ping.is_none() {
            self.ping = prev.ping.clone();
        }
        if self.ready.is_none() {
            self.ready = prev.ready.clone();
        }
        self.drain_file = prev.drain_file.clone();
        Ok(())
    }
}

impl Merge for LocationConf {
    fn merge(&mut self, prev: &Self) -> Result<(), MergeConfigError> {
        self.redirect = self.redirect.or(prev.redirect);
        Ok(())
    }
}

// SAFETY: create_*_conf make values of these very types
unsafe impl HttpModuleMainConf for Module {
    type MainConf = destination::MainConf;
}

// SAFETY: as above
unsafe impl HttpModuleServerConf for Module {
    type ServerConf = ServerConf;
}

// SAFETY: as above
unsafe impl HttpModuleLocationConf for Module {
    type LocationConf = LocationConf;
}

impl HttpModule for Module {
    fn module() -> &'static ngx_module_t {
        // SAFETY: nginx writes the indexes before it calls any function of the module
        unsafe { &*addr_of!(ngx_http_elb_module) }
    }

    unsafe extern "C" fn preconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
        // SAFETY: nginx passes the configuration of http{}
        guarded(NGX_ERROR as _, || match unsafe { variables::add(cf) } {
            true => NGX_OK as _,
            false => NGX_ERROR as _,
        })
    }

    unsafe extern "C" fn init_main_conf(cf: *mut ngx_conf_t, conf: *mut c_void) -> *mut c_char {
        guarded(NGX_CONF_ERROR, || {
            // SAFETY: nginx passes what create_main_conf made
            let (cf, own) =
                unsafe { (Conf::from_ptr(cf), conf.cast::<destination::MainConf>().as_mut()) };
            match (cf, own) {
                (Some(mut cf), Some(own)) => {
                    let done = own.complete(&mut cf).and_then(|()| match own.proxy_headers {
                        Some(slot) => set_header::complete(&mut cf, slot),
                        None => Ok(()),
                    });
                    done.map_or(NGX_CONF_ERROR, |()| NGX_CONF_OK)
                }
                _ => NGX_CONF_ERROR,
            }
        })
    }

    unsafe extern "C" fn postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
        guarded(NGX_ERROR as _, || {
            // SAFETY: nginx passes the configuration of http{}
            let checked = unsafe { Conf::from_ptr(cf) }.is_some_and(|mut cf| {
                health::compare_times(&mut cf);
                peers::find(&mut cf);
                Module::main_conf_mut(&cf)
                    .is_some_and(|main| main.leave_alone_foreign(&mut cf).is_ok())
                    && listen::optional::check(&mut cf).is_ok()
            });
            // SAFETY: as above
            let registered = unsafe {
                register(cf, SERVER_REWRITE, on_rewrite) && register(cf, REWRITE, on_rewrite)
            };
            if checked && registered {
                NGX_OK as _
            } else {
                NGX_ERROR as _
            }
        })
    }
}

/// Has health checks answered before any handler that is there already: those of a phase run in
/// the reverse order of their registration (`ngx_http_init_phase_handlers`), and a check has no use
/// for the work of the realip module. `false` where there is no memory.
///
/// # Safety
/// `cf` is what nginx passes to the `postconfiguration` of the last module.
pub unsafe fn register_health_checks(cf: *mut ngx_conf_t) -> bool {
    // SAFETY: by contract
    unsafe { register(cf, POST_READ, on_post_read) }
}

/// `elb_trusted_proxies;`
fn elb_trusted_proxies(cf: &mut Conf, own: &mut ServerConf) -> Outcome {
    if std::mem::replace(&mut own.trusted_proxies, true) {
        return Err(Error::Directive(c"is duplicate"));
    }
    let trusted = cf.read(|env| settings::trusted_proxies(env).map_err(Some));
    let proxy_protocol = cf.read(|env| settings::proxy_protocol(env).map_err(Some));
    let (Some(trusted), Some(proxy_protocol)) = (trusted, proxy_protocol) else { return Ok(()) };

    for block in trusted.everybody() {
        cf.warn(format_args!(
            "\"{block}\" in environment variable \"TRUSTED_PROXIES\" lets any peer name \
             any address as the client's"
        ));
    }
    let variables = ["TRUSTED_PROXIES".to_owned()];
    for block in &trusted.blocks {
        cf.apply(&["set_real_ip_from", block], &variables)?;
    }
    if proxy_protocol {
        return cf.apply(&["real_ip_header", "proxy_protocol"], &[]);
    }
    cf.apply(&["real_ip_header", "X-Forwarded-For"], &[])?;
    cf.apply(&["real_ip_recursive", "on"], &[])
}

/// `elb_redirect https;`
fn elb_redirect(cf: &mut Conf, own: &mut LocationConf) -> Outcome {
    if own.redirect.is_some() {
        return Err(Error::Directive(c"is duplicate"));
    }
    let args = cf.args()?;
    if args != ["https"] {
        return Err(Error::Message(format!(
            "invalid value \"{}\" in \"elb_redirect\" directive, it must be \"https\"",
            args.join(" ")
        )));
    }
    own.redirect = cf.read(settings::redirect);
    Ok(())
}

/// `elb_ping path [alive | ready];`
fn elb_ping(cf: &mut Conf, own: &mut ServerConf) -> Outcome {
    if own.ping.is_some() {
        return Err(Error::Directive(c"is duplicate"));
    }
    let args = cf.args()?;
    let path = value(cf, args.first().map_or("", String::as_str))?;
    let mode = args.get(1).map_or(Ok(PingMode::Alive), |mode| value(cf, mode))?;
    own.ping = Some((path, mode));
    Ok(())
}

/// `elb_ready path;`
fn elb_ready(cf: &mut Conf, own: &mut ServerConf) -> Outcome {
    if own.ready.is_some() {
        return Err(Error::Directive(c"is duplicate"));
    }
    let args = cf.args()?;
    own.ready = Some(value(cf, args.first().map_or("", String::as_str))?);
    Ok(())
}

/// An argument as a `T`.
fn value<T: FromText>(cf: &Conf, text: &str) -> Result<T, Error> {
    T::from_text(text).ok_or_else(|| invalid(cf, text, T::EXPECTED))
}

/// A health check is answered before anything of the configuration can get in its way.
unsafe extern "C" fn on_post_read(r: *mut ngx_http_request_t) -> ngx_int_t {
    guarded(NGX_HTTP_INTERNAL_SERVER_ERROR as _, || {
        // SAFETY: nginx passes the request that it works on
        let Some(mut request) = (unsafe { Request::from_ptr(r) }) else { return NGX_ERROR as _ };
        let asked_for =
            Module::server_conf(request.raw()).and_then(|conf| conf.asked_for(request.path()));
        let health = match asked_for.filter(|_| request.is_get_or_head()) {
            None => return NGX_DECLINED as _,
            Some(PingMode::Alive) => Health::Ok,
            Some(PingMode::Ready) => health::health(request.raw()),
        };
        zone::slot().counts.health_checks.add(1);
        request.skip_access_log();
        request.answer(&Answer::health(health))
    })
}

unsafe extern "C" fn on_rewrite(r: *mut ngx_http_request_t) -> ngx_int_t {
    guarded(NGX_HTTP_INTERNAL_SERVER_ERROR as _, || {
        // SAFETY: nginx passes the request that it works on
        let Some(mut request) = (unsafe { Request::from_ptr(r) }) else { return NGX_ERROR as _ };
        match Module::location_conf(request.raw()).and_then(|conf| conf.redirect) {
            Some(redirect) => {
                zone::slot().counts.redirects.add(1);
                request.redirect_to_https(redirect)
            }
            None => NGX_DECLINED as _,
        }
    })
}

/// The destinations of the configuration that a request has.
pub fn destinations(r: &ngx_http_request_t) -> Vec<Destination> {
    Module::main_conf(r).map(peers::destinations).unwrap_or_default()
}

unsafe extern "C" fn init_module(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    guarded(NGX_OK as _, || {
        // SAFETY: nginx passes the new cycle, which nobody serves yet, with the one before it
        unsafe {
            listen::optional::wrap(cycle);
            check::take_along(cycle);
        }
        NGX_OK as _
    })
}

unsafe extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    guarded(NGX_OK as _, || {
        // SAFETY: nginx passes the cycle of the process, before it serves
        unsafe {
            check::start(cycle);
            shutdown::start(cycle);
        }
        NGX_OK as _
    })
}

unsafe extern "C" fn exit_process(_: *mut ngx_cycle_t) {
    guarded((), || {
        check::stop();
    })
}
