//! The HTTP module for the operator, on top of the others: health checks, shutdown, metrics and
//! status.

use std::ffi::CStr;
use std::rc::Rc;

use nginx::command::{Command, Handler};
use nginx::cycle::Cycle;
use nginx::module::{HttpModule, Merge, Module};
use nginx::request::{self, Answer, Request, Status, POST_READ};

use super::environment::directive::{kind, value, Conf, Error, Outcome};
use super::websocket::WebSocket;
use super::{counting, elb};
use crate::metrics::Health;
use crate::registry::Total;
use crate::settings::types::{PingMode, PingPath};

mod health;
mod shutdown;
mod status;

/// The module with the directives for the operator.
pub struct Operator;

/// The module for the table of `load_module`.
pub static MODULE: Module<Operator> = Module::http();

const COMMANDS: &[Command] = &[
    server(c"elb_ping", elb_ping),
    server(c"elb_ready", elb_ready),
    server(c"elb_drain_file", health::elb_drain_file),
    Command::main::<Operator>(
        c"elb_shutdown_timeout",
        kind(c"elb_shutdown_timeout"),
        shutdown::elb_shutdown_timeout,
    ),
    location(c"websocket_metrics", status::websocket_metrics),
    location(c"websocket_status", status::websocket_status),
    Command::END,
];

const fn server(name: &'static CStr, handler: Handler<ServerConf>) -> Command {
    Command::server::<Operator>(name, kind(name), handler)
}

const fn location(name: &'static CStr, handler: Handler<LocationConf>) -> Command {
    Command::location::<Operator>(name, kind(name), handler)
}

/// The main configuration.
#[derive(Default)]
pub struct MainConf {
    /// `elb_shutdown_timeout`.
    shutdown: Option<shutdown::Times>,
    /// The first directive that reports the contents of the zone.
    reported_by: Option<&'static str>,
}

/// The server configuration.
#[derive(Default)]
pub struct ServerConf {
    ping: Option<(PingPath, PingMode)>,
    ready: Option<PingPath>,
    /// Set in http and shared by its servers.
    drain_file: Option<Rc<health::DrainFile>>,
}

/// The location configuration.
#[derive(Default)]
pub struct LocationConf {
    /// The settings from the environment that `websocket_status` reports.
    environment: Vec<(String, String)>,
}

impl ServerConf {
    /// The kind of health check that this path requests, if any. If both have the same path,
    /// `elb_ready` takes precedence, as it reports more.
    fn asked_for(&self, path: &[u8]) -> Option<PingMode> {
        let is = |checked: &PingPath| checked.0.as_bytes() == path;
        if self.ready.as_ref().is_some_and(is) {
            return Some(PingMode::Ready);
        }
        self.ping.as_ref().filter(|(checked, _)| is(checked)).map(|(_, mode)| *mode)
    }
}

impl Merge for ServerConf {
    fn merge(&mut self, outer: &Self) {
        if self.ping.is_none() {
            self.ping = outer.ping.clone();
        }
        if self.ready.is_none() {
            self.ready = outer.ready.clone();
        }
        self.drain_file = outer.drain_file.clone();
    }
}

impl Merge for LocationConf {
    fn merge(&mut self, _: &Self) {}
}

impl HttpModule for Operator {
    type Main = MainConf;
    type Server = ServerConf;
    type Location = LocationConf;
    type Context = ();

    const COMMANDS: &'static [Command] = COMMANDS;

    fn module() -> &'static Module<Self> {
        &MODULE
    }

    fn init_main(cf: &mut Conf) -> Outcome {
        let has_zone = cf.main::<WebSocket>()?.zone.is_some();
        match cf.main::<Self>()?.reported_by.filter(|_| !has_zone) {
            Some(directive) => Err(Error::Message(format!(
                "\"{directive}\" needs a zone to report, as in \"websocket_zone elb:256k;\" in http"
            ))),
            None => Ok(()),
        }
    }

    fn postconfiguration(cf: &mut Conf) -> Outcome {
        health::compare_times(cf);
        elb::register_first(cf)?;
        // a health check must not depend on other handlers, such as that of realip
        cf.register::<AnswerHealthCheck>(POST_READ)
    }

    fn init_process(cycle: Cycle) {
        shutdown::start(cycle);
    }
}

/// `elb_ping path [alive | ready];`
fn elb_ping(cf: &mut Conf, own: &mut ServerConf) -> Outcome {
    if own.ping.is_some() {
        return Err(Error::DUPLICATE);
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
        return Err(Error::DUPLICATE);
    }
    let args = cf.args()?;
    own.ready = Some(value(cf, args.first().map_or("", String::as_str))?);
    Ok(())
}

/// Answers a health check before any other part of the configuration applies.
struct AnswerHealthCheck;

impl request::Handler for AnswerHealthCheck {
    fn handle(request: Request) -> Status {
        let asked_for =
            request.server::<Operator>().and_then(|conf| conf.asked_for(request.path()));
        let health = match asked_for.filter(|_| request.is_get_or_head()) {
            None => return Status::DECLINED,
            Some(PingMode::Alive) => Health::Ok,
            Some(PingMode::Ready) => health::health(&request),
        };
        counting::slot().counts.count(Total::HealthChecks);
        request.skip_access_log();
        request.finish(&answer(health))
    }
}

/// The state as text, with 200 if the instance should get traffic and 503 otherwise.
fn answer(health: Health) -> Answer {
    let status = match health {
        Health::Ok => 200,
        Health::Draining | Health::DestinationDown => 503,
    };
    Answer { status, content_type: "text/plain", body: health.as_str().into(), headers: &[] }
}
