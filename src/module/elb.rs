//! The HTTP module with the directives for the load balancer and upstreams.

use std::ffi::CStr;
use std::rc::Rc;

use nginx::command::{self, Command};
use nginx::cycle::Cycle;
use nginx::filter::{HeaderFilter, Next};
use nginx::first_bytes::Addresses;
use nginx::module::{HttpModule, Merge, Module};
use nginx::request::{Handler, Request, Status, LOG, POST_READ, REWRITE, SERVER_REWRITE};

use super::counting;
use super::environment::directive::{kind, Conf, Error, Outcome, ReadSettings};
use super::environment::included;
use crate::client_address::Trust;
use crate::metrics::Destination;
use crate::registry::Total;
use crate::set_header::Headers;
use crate::settings::buffers::HeaderBuffers;
use crate::settings::{self, Redirect};

mod check;
mod client_address;
mod destination;
mod event_stream;
mod header_buffers;
mod http_conf;
mod keepalive;
mod listen;
pub mod log_query;
mod set_header;
mod variables;

use check::Check;
use http_conf::MainConf;

/// The module with the `elb_*` directives.
pub struct Elb;

/// The module for the table of `load_module`.
pub static MODULE: Module<Elb> = Module::http();

const COMMANDS: &[Command] = &[
    server(c"elb_listen", listen::elb_listen),
    main(c"elb_destination", |cf, own| destination::elb_destination(cf, &mut own.destinations)),
    main(c"elb_check", |cf, own| check::elb_check(cf, &mut own.checks)),
    server(c"elb_trusted_proxies", elb_trusted_proxies),
    server(c"elb_header_buffers", header_buffers::elb_header_buffers),
    location(c"elb_redirect", elb_redirect),
    location(c"elb_proxy_set_header", set_header::elb_proxy_set_header),
    main(c"elb_keepalive_min_timeout", keepalive::elb_keepalive_min_timeout),
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

/// The server configuration.
#[derive(Default)]
pub struct ServerConf {
    /// Whether `elb_trusted_proxies` has been used in this block.
    trusted_proxies: bool,
    /// Its settings, which servers inherit from http.
    trust: Option<Rc<Trust>>,
    /// The addresses with `proxy_protocol=optional`.
    optional: Addresses,
    header_buffers: Option<HeaderBuffers>,
}

/// The location configuration.
#[derive(Default)]
pub struct LocationConf {
    redirect: Option<Redirect>,
    /// The header fields set at this level; `set_header` computes the inherited ones.
    headers: Headers,
}

impl Merge for ServerConf {
    fn merge(&mut self, outer: &Self) {
        self.header_buffers = self.header_buffers.or(outer.header_buffers);
        if self.trust.is_none() {
            self.trust = outer.trust.clone();
        }
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
        included::check(cf)?;
        cf.with_main::<Self, _>(|cf, own| {
            own.destinations.complete(cf, &own.checks)?;
            if own.has_headers {
                cf.add_proxy_headers::<Self>()?;
            }
            Ok(())
        })
    }

    fn postconfiguration(cf: &mut Conf) -> Outcome {
        cf.find_peers()?;
        cf.with_main::<Self, _>(|cf, own| own.destinations.leave_alone_foreign(cf, &own.checks))?;
        listen::optional::check(cf)?;
        cf.register::<OnRewrite>(SERVER_REWRITE)?;
        cf.register::<OnRewrite>(REWRITE)?;
        cf.register::<header_buffers::OnLog>(LOG)
    }

    fn init_module(cycle: Cycle) {
        cycle.look_at_first_bytes::<Self>();
        let old = cycle.old().map(checks).unwrap_or_default();
        check::take_along(cycle.log(), checks(cycle), old);
    }

    fn init_process(cycle: Cycle) {
        check::start(checks(cycle));
    }

    fn exit_process(_: Cycle) {
        check::stop();
    }
}

/// The checks of a configuration.
fn checks(cycle: Cycle<'_>) -> &[Check] {
    cycle.main::<Elb>().map(|main| &main.checks[..]).unwrap_or_default()
}

/// Registers the handlers and filters that must run before those of nginx's own modules. Handlers
/// of a phase and filters run in the reverse order of their registration, and this module comes
/// before those modules; so this is to be called in the `postconfiguration` of a later module.
pub fn register_first(cf: &mut Conf) -> Outcome {
    cf.filter_headers::<Elb>()?;
    cf.register::<OnPostRead>(POST_READ)
}

impl HeaderFilter for Elb {
    fn filter(request: &Request, next: Next) -> Status {
        event_stream::pass_on_at_once(request);
        next.filter(request)
    }
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
        // `client_address::settle` sets the value that realip reads there
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

/// Determines the address of the client before the realip module runs, and what logs may contain.
struct OnPostRead;

impl Handler for OnPostRead {
    fn handle(request: Request) -> Status {
        log_query::leave_out(&request);
        let trust = request.server::<Elb>().and_then(|conf| conf.trust.as_deref());
        match trust.map_or(Some(()), |trust| client_address::settle(&request, trust)) {
            Some(()) => Status::DECLINED,
            None => Status::code(500),
        }
    }
}

struct OnRewrite;

impl Handler for OnRewrite {
    fn handle(request: Request) -> Status {
        let redirect = request.location::<Elb>().and_then(|conf| conf.redirect);
        let Some(redirect) = redirect else { return Status::DECLINED };
        counting::slot().counts.count(Total::Redirects);
        match redirect.location(request.host(), request.unparsed_uri()) {
            Some(location) => request.redirect(redirect.status, &location),
            // without a host, which HTTP/1.0 may omit, there is nowhere to redirect to
            None => Status::code(400),
        }
    }
}

/// The destinations in the configuration of a request.
pub fn destinations(request: &Request) -> Vec<Destination> {
    let main = request.main::<Elb>();
    main.map(|main| main.destinations.report(&main.checks)).unwrap_or_default()
}

/// Whether all destinations of an upstream block with checks are down.
pub fn all_down(request: &Request) -> bool {
    request.main::<Elb>().is_some_and(|main| check::all_down(&main.checks))
}
