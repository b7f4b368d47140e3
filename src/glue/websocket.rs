//! The HTTP module of the WebSocket tunnel.

use nginx::command::Command;
use nginx::cycle::Cycle;
use nginx::filter::{HeaderFilter, Next};
use nginx::module::{HttpModule, Module};
use nginx::request::{Handler, Request, Status, PREACCESS};

use super::conf::{Conf, Error, Outcome};
use super::elb::event_stream;
use super::zone;
use crate::limit::Refused;
use crate::metrics::RefusedBy;

#[allow(unsafe_code)]
mod balancer;
mod conf;
#[allow(unsafe_code)]
pub(super) mod connection;
mod context;
#[allow(unsafe_code)]
mod detach;
mod directives;
#[allow(unsafe_code)]
pub mod drain;
mod events;
mod handshake;
mod limit;
mod linger;
mod log;
#[allow(unsafe_code)]
mod tunnel;
mod variables;
#[allow(unsafe_code)]
mod wire;
#[allow(unsafe_code)]
pub(super) mod worker;

pub use events::is_tunnel;
pub use tunnel::now;

use conf::{LocationConf, MainConf};
use context::RequestContext;

/// The module with the `websocket_*` directives.
pub struct WebSocket;

/// The module, as `load_module` finds it.
pub static MODULE: Module<WebSocket> = Module::http();

impl HttpModule for WebSocket {
    type Main = MainConf;
    type Server = ();
    type Location = LocationConf;
    type Context = RequestContext;

    const COMMANDS: &'static [Command] = directives::COMMANDS;

    fn module() -> &'static Module<Self> {
        &MODULE
    }

    fn preconfiguration(cf: &mut Conf) -> Outcome {
        variables::ALL.iter().try_for_each(|variable| cf.add_variable(variable))
    }

    fn init_main(cf: &mut Conf) -> Outcome {
        match cf.main::<Self>()? {
            MainConf { zone: None, told_by: Some(directive), .. } => Err(Error::Message(format!(
                "\"{directive}\" needs a zone to report, as in \"websocket_zone elb:256k;\" in http"
            ))),
            _ => Ok(()),
        }
    }

    fn postconfiguration(cf: &mut Conf) -> Outcome {
        cf.register::<CountHandshake>(PREACCESS)?;
        // no module of http comes later but those of other shared objects
        super::elb::register_health_checks(cf)?;
        cf.filter_headers::<Self>();
        Ok(())
    }

    fn init_module(cycle: Cycle) {
        drain::raise_generation(cycle.log().as_ptr());
    }

    fn init_process(cycle: Cycle) {
        worker::init(cycle);
        let conf = cycle.main::<Self>();
        zone::enter(conf.and_then(|conf| conf.zone.as_ref()), drain::own(), cycle.log());
        if let Some(zone) = conf.and_then(|conf| conf.limit_zone.as_ref()) {
            limit::enter(zone, cycle.log());
        }
    }

    fn exit_process(_: Cycle) {
        // a worker without tunnels has not been asked yet
        drain::why();
        tunnel::finish_all();
        limit::leave();
        zone::leave();
    }
}

/// The settings that hold where a request is answered, by name.
pub fn settings_of(request: &Request) -> Vec<(String, String)> {
    let Some(conf) = request.location::<WebSocket>() else { return Vec::new() };
    let mut all = conf.environment.clone();
    all.extend(conf.in_words());
    all
}

/// The longest drain of all locations with tunnels, of a configuration that is read and merged.
pub fn longest_drain(cf: &mut Conf) -> Option<drain::Times> {
    cf.location::<WebSocket>().ok()?.longest.get()
}

impl HeaderFilter for WebSocket {
    fn filter(request: &Request, next: Next) -> Status {
        event_stream::pass_on_at_once(request);
        let conf = match handshake::is_upgrade(request) {
            true => request.location::<Self>().filter(|conf| conf.tunnel),
            false => None,
        };
        match conf {
            Some(_) => handshake::count_time(request),
            None => handshake::count_refused(request),
        }
        let status = next.filter(request);
        if conf.is_some() && status.is_sent() {
            detach::begin(request);
        }
        status
    }
}

/// Counts a handshake before it goes to the destination, once: an internal redirect brings it here
/// again, as that to an `error_page` does (`ngx_http_limit_conn_handler`).
struct CountHandshake;

impl Handler for CountHandshake {
    fn handle(request: Request) -> Status {
        if request.is_background() {
            request.with_main(|main| {
                if let Some(context) = main.context::<WebSocket>() {
                    context.has_background.set(true);
                }
            });
        }
        let limit = request.location::<WebSocket>().and_then(|conf| conf.limit.as_ref());
        let limit =
            limit.filter(|_| handshake::is_asked_for(&request) && !context::is_limited(&request));
        let Some(limit) = limit else { return Status::DECLINED };
        let taken = limit.take(&request);
        let Some(context) = request.context::<WebSocket>() else { return Status::ERROR };
        match taken {
            Ok(hold) => {
                context.hold.set(hold);
                context.limited.set(true);
                Status::DECLINED
            }
            Err(refused) => {
                context.refused.set(true);
                zone::slot().counts.refuse(RefusedBy::Limit);
                let why = match refused {
                    Refused::Limit => "client limit reached",
                    Refused::Full => "no room to count its key",
                };
                request.log().error(format_args!("WebSocket refused: {why}"));
                Status::code(limit.status)
            }
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
        unsafe { events::finish_all() };
        limit::leave();
        zone::leave();
    })
}
