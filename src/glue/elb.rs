//! The HTTP module of the load balancer's directives.

use std::ffi::CStr;
use std::rc::Rc;

use nginx::command::{self, Command};
use nginx::cycle::Cycle;
use nginx::module::{HttpModule, Merge, Module};
use nginx::request::{Answer, Handler, Request, Status, LOG, POST_READ, REWRITE, SERVER_REWRITE};

use super::conf::{invalid, kind, Conf, Error, Outcome, ReadSettings};
use super::zone;
use crate::client_address::Trust;
use crate::metrics::{Destination, Health};
use crate::registry::Total;
use crate::set_header::Headers;
use crate::settings::buffers::HeaderBuffers;
use crate::settings::value::{FromText, PingMode, PingPath};
use crate::settings::{self, Redirect};

#[allow(unsafe_code)]
mod check;
mod client_address;
#[allow(unsafe_code)]
mod destination;
pub mod event_stream;
mod header_buffers;
pub mod health;
#[allow(unsafe_code)]
mod keepalive;
#[allow(unsafe_code)]
mod listen;
pub mod log_query;
#[allow(unsafe_code)]
pub mod peers;
#[allow(unsafe_code)]
mod set_header;
pub mod shutdown;
pub mod snippets;
mod variables;

use destination::MainConf;

/// The module with the `elb_*` directives.
pub struct Elb;

/// The module, as `load_module` finds it.
pub static MODULE: Module<Elb> = Module::http();

const COMMANDS: &[Command] = &[
    server(c"elb_listen", listen::elb_listen),
    main(c"elb_destination", destination::elb_destination),
    main(c"elb_check", check::elb_check),
    server(c"elb_trusted_proxies", elb_trusted_proxies),
    server(c"elb_header_buffers", header_buffers::elb_header_buffers),
    location(c"elb_redirect", elb_redirect),
    server(c"elb_ping", elb_ping),
    server(c"elb_ready", elb_ready),
    server(c"elb_drain_file", health::elb_drain_file),
    location(c"elb_proxy_set_header", set_header::elb_proxy_set_header),
    main(c"elb_keepalive_min_timeout", keepalive::elb_keepalive_min_timeout),
    main(c"elb_shutdown_timeout", shutdown::elb_shutdown_timeout),
    main(c"elb_log_query", log_query::elb_log_query),
    Command::END,
];

const fn main(name: &'static CStr, handler: command::Handler<MainConf>) -> Command {
    Command::main::<Elb>(name, kind(name), handler)
}

const fn server(name: &'static CStr, handler: command::Handler<ServerConf>) -> Command {
    Command::server::<Elb>(name, kind(name), handler)
}

const fn location(name: &'static CStr, handler: command::Handler<LocationConf>) -> Command {
    Command::location::<Elb>(name, kind(name), handler)
}

/// Configuration of a server.
#[derive(Default)]
pub struct ServerConf {
    /// Where `elb_trusted_proxies` stands already.
    trusted_proxies: bool,
    /// What it says; servers share that of http.
    trust: Option<Rc<Trust>>,
    ping: Option<(PingPath, PingMode)>,
    ready: Option<PingPath>,
    /// It stands in http; its servers share it.
    drain_file: Option<Rc<health::DrainFile>>,
    /// Core's list of peers, where this is an upstream block that has it.
    peers: Option<peers::Found>,
    optional: listen::optional::Optional,
    header_buffers: Option<HeaderBuffers>,
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
pub struct LocationConf {
    redirect: Option<Redirect>,
    /// What stands at this level itself; `set_header` knows what holds there.
    headers: Headers,
}

impl Merge for ServerConf {
    fn merge(&mut self, outer: &Self) {
        if self.ping.is_none() {
            self.ping = outer.ping.clone();
        }
        if self.ready.is_none() {
            self.ready = outer.ready.clone();
        }
        self.header_buffers = self.header_buffers.or(outer.header_buffers);
        if self.trust.is_none() {
            self.trust = outer.trust.clone();
        }
        self.drain_file = outer.drain_file.clone();
    }
}

impl Merge for LocationConf {
    fn merge(&mut self, outer: &Self) {
        self.redirect = self.redirect.or(outer.redirect);
    }
}

impl HttpModule for Elb {
    type Main = MainConf;
    type Server = ServerConf;
    type Location = LocationConf;
    type Context = ();

    const COMMANDS: &'static [Command] = COMMANDS;

    fn module() -> &'static Module<Self> {
        &MODULE
    }

    fn preconfiguration(cf: &mut Conf) -> Outcome {
        variables::add(cf)
    }

    fn init_main(cf: &mut Conf) -> Outcome {
        snippets::check(cf)?;
        cf.with_main::<Self, _>(|cf, own| {
            own.complete(cf)?;
            own.proxy_headers.map_or(Ok(()), |slot| set_header::complete(cf, slot))
        })
    }

    fn postconfiguration(cf: &mut Conf) -> Outcome {
        health::compare_times(cf);
        peers::find(cf);
        cf.with_main::<Self, _>(|cf, own| own.leave_alone_foreign(cf))?;
        listen::optional::check(cf)?;
        cf.register::<OnRewrite>(SERVER_REWRITE)?;
        cf.register::<OnRewrite>(REWRITE)?;
        cf.register::<header_buffers::OnLog>(LOG)
    }

    fn init_module(cycle: Cycle) {
        listen::optional::wrap(cycle);
        check::take_along(cycle);
    }

    fn init_process(cycle: Cycle) {
        check::start(cycle);
        shutdown::start(cycle);
    }

    fn exit_process(_: Cycle) {
        check::stop();
    }
}

/// Has health checks answered before any handler that is there already: those of a phase run in
/// the reverse order of their registration, and a check has no use for the work of the realip
/// module. To be called in the `postconfiguration` of the last module.
pub fn register_health_checks(cf: &mut Conf) -> Outcome {
    cf.register::<OnPostRead>(POST_READ)
}

/// `elb_trusted_proxies;`
fn elb_trusted_proxies(cf: &mut Conf, own: &mut ServerConf) -> Outcome {
    if std::mem::replace(&mut own.trusted_proxies, true) {
        return Err(Error::DUPLICATE);
    }
    let trusted = cf.read(|env| settings::trusted_proxies(env).map_err(Some));
    let proxy_protocol = cf.read(|env| settings::proxy_protocol(env).map_err(Some));
    let header = cf.read(|env| settings::client_address_header(env).map_err(Some));
    let (Some(trusted), Some(proxy_protocol), Some(header)) = (trusted, proxy_protocol, header)
    else {
        return Ok(());
    };

    for block in trusted.everybody() {
        cf.warn(format_args!(
            "\"{block}\" in environment variable \"TRUSTED_PROXIES\" lets any peer name \
             any address as the client's, name only the networks of your load balancers"
        ));
    }
    let variables = ["TRUSTED_PROXIES".to_owned()];
    for block in &trusted.blocks {
        cf.apply(&["set_real_ip_from", block], &variables)?;
    }
    let by_cdn = header.is_some();
    own.trust = Some(Rc::new(Trust::new(&trusted, proxy_protocol, header)));
    if by_cdn {
        // what it reads there is put there by `client_address::settle`
        return cf.apply(&["real_ip_header", "X-Real-IP"], &[]);
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
        return Err(Error::DUPLICATE);
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

/// An argument as a `T`.
fn value<T: FromText>(cf: &Conf, text: &str) -> Result<T, Error> {
    T::from_text(text).ok_or_else(|| invalid(cf, text, T::EXPECTED))
}

/// A health check is answered before anything of the configuration can get in its way.
struct OnPostRead;

impl Handler for OnPostRead {
    fn handle(request: Request) -> Status {
        log_query::leave_out(&request);
        let asked_for = request.server::<Elb>().and_then(|conf| conf.asked_for(request.path()));
        let health = match asked_for.filter(|_| request.is_get_or_head()) {
            None => return on_other_request(&request),
            Some(PingMode::Alive) => Health::Ok,
            Some(PingMode::Ready) => health::health(&request),
        };
        zone::slot().counts.count(Total::HealthChecks);
        request.skip_access_log();
        request.finish(&answer(health))
    }
}

/// Any request but a health check.
fn on_other_request(request: &Request) -> Status {
    let trust = request.server::<Elb>().and_then(|conf| conf.trust.as_deref());
    match trust.map_or(Some(()), |trust| client_address::settle(request, trust)) {
        Some(()) => Status::DECLINED,
        None => Status::code(500),
    }
}

/// The state in words, with 200 where the instance should get traffic and 503 where not.
fn answer(health: Health) -> Answer {
    let status = match health {
        Health::Ok => 200,
        Health::Draining | Health::DestinationDown => 503,
    };
    Answer { status, content_type: "text/plain", body: health.as_str().into(), headers: &[] }
}

struct OnRewrite;

impl Handler for OnRewrite {
    fn handle(request: Request) -> Status {
        let redirect = request.location::<Elb>().and_then(|conf| conf.redirect);
        let Some(redirect) = redirect else { return Status::DECLINED };
        zone::slot().counts.count(Total::Redirects);
        match redirect.location(request.host(), request.unparsed_uri()) {
            Some(location) => request.redirect(redirect.status, &location),
            // HTTP/1.0 may leave the host out: there is nowhere to redirect to
            None => Status::code(400),
        }
    }
}

/// The destinations of the configuration that a request has.
pub fn destinations(request: &Request) -> Vec<Destination> {
    request.main::<Elb>().map(peers::destinations).unwrap_or_default()
}
