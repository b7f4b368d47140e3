//! The HTTP module of the WebSocket tunnel.

use std::rc::Rc;

use nginx::clients::Client;
use nginx::command::Command;
use nginx::connection::Connection;
use nginx::cycle::Cycle;
use nginx::filter::{HeaderFilter, Next};
use nginx::lifecycle;
use nginx::module::{HttpModule, Module};
use nginx::request::{Handler, Request, Status, PREACCESS};
use nginx::upgrade::{self, Upgrade};
use nginx::worker::Worker;

use super::counting;
use super::environment::directive::{Conf, Outcome};
use crate::connection_limit::Refused;
use crate::metrics::RefusedBy;

mod balancer;
mod context;
mod directives;
pub mod drain;
mod driver;
mod handshake;
mod limit;
mod linger;
mod location_conf;
mod log;
mod tunnel;
mod variables;

use context::{Fate, RequestContext};
use linger::Linger;
use location_conf::{LocationConf, MainConf};
use tunnel::{Parts, Tunnel};

/// The module with the `websocket_*` directives.
pub struct WebSocket;

/// The module for the table of `load_module`.
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

    fn postconfiguration(cf: &mut Conf) -> Outcome {
        cf.register::<CountHandshake>(PREACCESS)?;
        cf.filter_headers::<Self>()
    }

    fn init_module(cycle: Cycle) {
        lifecycle::begin_configuration(cycle);
    }

    fn init_process(cycle: Cycle) {
        lifecycle::on_stop(tunnel::drain_all);
        let conf = cycle.main::<Self>();
        counting::enter(conf.and_then(|conf| conf.zone.as_ref()), lifecycle::own(), cycle.log());
        if let Some(zone) = conf.and_then(|conf| conf.limit_zone.as_ref()) {
            limit::enter(zone, cycle.log());
        }
    }

    fn exit_process(_: Cycle) {
        // a worker without tunnels has not announced it yet
        lifecycle::announce_stop();
        tunnel::finish_all();
        limit::leave();
        counting::leave();
    }
}

/// The settings of the location of a request, by name.
pub fn settings_of(request: &Request) -> Vec<(String, String)> {
    request.location::<WebSocket>().map(LocationConf::in_words).unwrap_or_default()
}

/// The longest drain of all locations with tunnels, in a fully read and merged configuration.
pub fn longest_drain(cf: &mut Conf) -> Option<drain::Times> {
    cf.location::<WebSocket>().ok()?.longest.get()
}

impl HeaderFilter for WebSocket {
    fn filter(request: &Request, next: Next) -> Status {
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
            upgrade::take_over::<Self>(request);
        }
        status
    }
}

impl Upgrade for WebSocket {
    type Why = handshake::Why;
    type Kept = Parts;

    const NO_MEMORY: handshake::Why = handshake::NO_MEMORY;

    fn check(request: &Request) -> Result<(), handshake::Why> {
        handshake::check(request)
    }

    fn leave(request: &Request, why: handshake::Why) {
        handshake::leave(request, why);
    }

    fn keep(request: &Request) -> Parts {
        let conf = request.location::<Self>().map(|conf| Rc::clone(&conf.shared));
        let conf = conf.unwrap_or_default();
        let head = conf.log.as_ref().map(|log| log.head(request));
        let context = request.context::<Self>();
        context::note(request, Fate::Tunnelled);
        Parts {
            share: balancer::share(request),
            hold: context.and_then(|context| context.hold.take()),
            head,
            conf,
        }
    }

    fn begin(parts: Parts, connections: [Connection; 2], early: [&[u8]; 2], worker: &mut Worker) {
        tunnel::begin(parts, connections, early, worker);
    }
}

/// Whether a connection is one end of a tunnel, or that of a client lingering after it.
pub fn is_tunnel(client: Client) -> bool {
    client.is_owned_by::<Tunnel, 2>() || client.is_owned_by::<Linger, 1>()
}

/// Counts a handshake before it is passed to an upstream, once: an internal redirect, such as one
/// to an `error_page`, runs this phase again (`ngx_http_limit_conn_handler`).
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
                counting::slot().counts.refuse(RefusedBy::Limit);
                let why = match refused {
                    Refused::Limit => {
                        "client limit reached, raise \"websocket_limit_conn\" if clients need more"
                    }
                    Refused::Full => {
                        "too many clients to count, \"websocket_limit_conn\" needs a key with fewer \
                         values"
                    }
                };
                request.log().error(format_args!("WebSocket refused: {why}"));
                Status::code(limit.status)
            }
        }
    }
}
