//! `elb_destination`: the servers of an upstream block, looked up again while nginx runs.

use std::ffi::CString;
use std::fs;
use std::mem::zeroed;
use std::net::IpAddr;
use std::ptr::{null, null_mut};

use ngx::ffi::__socket_type_SOCK_STREAM as SOCK_STREAM;
use ngx::ffi::{
    addrinfo, freeaddrinfo, getaddrinfo, ngx_http_upstream_srv_conf_t, EAI_AGAIN,
    NGX_HTTP_UPSTREAM_BACKUP,
};
use ngx::http::NgxHttpUpstreamModule;
use ngx::http::{HttpModuleLocationConf, HttpModuleServerConf, NgxHttpCoreModule};

use super::check::Check;
use super::peers::{is_balanced_by_core, is_found};
use crate::glue::conf::{Conf, Error, Outcome, Place, ReadSettings};
use crate::registry;
use crate::settings::destinations::{destinations, variables, Destination};
use crate::settings::resolver::{first_found, in_hosts, Lookup, ResolvConf};
use crate::settings::value::Host;
use nginx::compat;

/// Memory for the run-time state of an upstream block's servers.
const ZONE_SIZE: &str = "256k";

/// What stands in http, and the upstream blocks in it.
#[derive(Default)]
pub struct MainConf {
    /// Whether `elb_proxy_set_header` stands somewhere.
    pub has_headers: bool,
    /// The place of `$proxy_host`.
    pub proxy_host: Option<nginx::variable::Index>,
    /// `elb_log_query`.
    pub log_query: Option<bool>,
    /// Whether `elb_keepalive_min_timeout` has told that this nginx is too old for it.
    pub told_of_keepalive: bool,
    /// Blocks with `elb_check`.
    pub checks: Vec<Check>,
    /// Blocks with a name to look up while running, and where they were given one.
    resolving: Vec<(*mut ngx_http_upstream_srv_conf_t, Place)>,
    /// Blocks with `elb_destination`, and where that stands.
    seen: Vec<(*mut ngx_http_upstream_srv_conf_t, Place)>,
    /// Blocks that were given a `zone`.
    given_zone: Vec<*mut ngx_http_upstream_srv_conf_t>,
    resolv_conf: Option<ResolvConf>,
    told_of_old_nginx: bool,
}

/// How nginx is told of one destination.
enum Server {
    /// Its address is settled once, at start.
    Static(String),
    /// These names are looked up while running; those behind the first are its stand-ins.
    Resolved(Vec<String>),
}

/// `elb_destination [parameter ...];`
pub fn elb_destination(cf: &mut Conf, own: &mut MainConf) -> Outcome {
    let parameters = cf.args()?;
    // SAFETY: what nginx passed
    let upstream: *mut _ = NgxHttpUpstreamModule::server_conf_mut(unsafe { &*cf.as_ptr() })
        .ok_or_else(|| Error::Message("no upstream block".to_owned()))?;
    if own.has_seen(upstream) {
        return Err(Error::DUPLICATE);
    }
    own.seen.push((upstream, cf.place()?));

    let Some(destinations) = cf.read(destinations) else {
        // else core would stop at an upstream block without servers
        return placeholder(cf);
    };
    for destination in &destinations {
        let server = own.server_for(cf, upstream, destination);
        if own.apply(cf, upstream, destination, &server, &parameters).is_err() {
            // nginx said why; read on for further faults
            cf.doom();
            placeholder(cf)?;
        }
    }
    Ok(())
}

fn placeholder(cf: &mut Conf) -> Outcome {
    cf.apply(&["server", "127.0.0.1:1", "down"], &[])
}

impl MainConf {
    /// Decides whether and under which names a destination is looked up while running.
    fn server_for(
        &mut self,
        cf: &mut Conf,
        upstream: *mut ngx_http_upstream_srv_conf_t,
        destination: &Destination,
    ) -> Server {
        let name = match &destination.host {
            Host::Address(_) => return Server::Static(destination.host.to_string()),
            Host::Name(name) => name,
        };
        let absolute = name.strip_suffix('.').unwrap_or(name);
        let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
        if in_hosts(&hosts, absolute) {
            return Server::Static(absolute.to_owned());
        }
        if !compat::RESOLVES {
            if !std::mem::replace(&mut self.told_of_old_nginx, true) {
                cf.notice(
                    "nginx before 1.27.3 resolves names of destinations at start only: reload it when \
                     an address changes",
                );
            }
            return Server::Static(name.clone());
        }
        // SAFETY: the block is being read
        let block = unsafe { &*upstream };
        if !is_balanced_by_core(block) {
            cf.notice(format_args!(
                "destination \"{name}\" is resolved at start only, since the balancer of upstream \
                 \"{}\" is not one of nginx's own: reload nginx when its address changes",
                block.host
            ));
            return Server::Static(name.clone());
        }
        let own_resolver = compat::has_resolver(block);
        let conf = self.resolv_conf(cf);
        if conf.nameservers.is_empty() && !own_resolver && !http_resolver(cf) {
            cf.notice(format_args!(
                "destination \"{name}\" is resolved at start only, since /etc/resolv.conf has no \
                 nameserver that nginx can use: reload nginx when its address changes"
            ));
            return Server::Static(name.clone());
        }
        let candidates = conf.candidates(name);
        choose(cf, absolute, candidates)
    }

    /// What /etc/resolv.conf says; nameservers that nginx cannot ask are told once.
    fn resolv_conf(&mut self, cf: &mut Conf) -> &ResolvConf {
        self.resolv_conf.get_or_insert_with(|| {
            let text = fs::read("/etc/resolv.conf").unwrap_or_default();
            let conf = ResolvConf::parse(&String::from_utf8_lossy(&text));
            for nameserver in &conf.unusable {
                cf.notice(format_args!(
                    "nameserver \"{nameserver}\" of /etc/resolv.conf is ignored: nginx needs \
                     an IP address without a scope"
                ));
            }
            conf
        })
    }

    fn apply(
        &mut self,
        cf: &mut Conf,
        upstream: *mut ngx_http_upstream_srv_conf_t,
        destination: &Destination,
        server: &Server,
        parameters: &[String],
    ) -> Outcome {
        let (names, resolve) = match server {
            Server::Static(name) => (std::slice::from_ref(name), false),
            Server::Resolved(names) => (names.as_slice(), true),
        };
        if resolve && !self.resolving.iter().any(|(known, _)| *known == upstream) {
            self.resolving.push((upstream, cf.place()?));
        }
        // with parameters beside them, nginx may well mean those
        let variables = match parameters {
            [] => cf.read(|env| Ok::<_, Vec<_>>(variables(env))).unwrap_or_default(),
            _ => Vec::new(),
        };
        let weight = destination.weight.map(|weight| format!("weight={weight}"));
        // SAFETY: the block is being read
        let takes_backup = unsafe { (*upstream).flags } & NGX_HTTP_UPSTREAM_BACKUP as usize != 0;
        for (index, name) in names.iter().enumerate() {
            let stands_in = index > 0;
            if stands_in && !takes_backup {
                break;
            }
            let address = format!("{name}:{}", destination.port);
            let mut words = vec!["server", &address];
            words.extend(parameters.iter().map(String::as_str));
            words.extend(weight.as_deref());
            words.extend((destination.backup || stands_in).then_some("backup"));
            words.extend(resolve.then_some("resolve"));
            cf.apply(&words, &variables)?;
        }
        Ok(())
    }

    /// The blocks with `elb_destination` or `elb_check`, and whether the latter is on.
    pub fn upstreams(
        &self,
    ) -> impl Iterator<Item = (*mut ngx_http_upstream_srv_conf_t, bool)> + '_ {
        let is_checked = |upstream| {
            self.checks.iter().any(|check| check.upstream == upstream && check.settings.is_some())
        };
        let others = self.checks.iter().map(|check| check.upstream);
        let others = others.filter(|upstream| !self.has_seen(*upstream));
        let seen = self.seen.iter().map(|(upstream, _)| *upstream);
        seen.chain(others).map(move |block| (block, is_checked(block)))
    }

    fn has_seen(&self, upstream: *mut ngx_http_upstream_srv_conf_t) -> bool {
        self.seen.iter().any(|(seen, _)| *seen == upstream)
    }

    /// Gives each block what it needs, unless it has its own: a `zone`, so that workers know of
    /// each other's connections, failed requests and checks, and what looking up names takes.
    pub fn complete(&mut self, cf: &mut Conf) -> Outcome {
        let checks = self.checks.iter().filter(|check| check.settings.is_some());
        let checked = checks.map(|check| (check.upstream, &check.place));
        for (upstream, place) in
            self.seen.iter().map(|(block, place)| (*block, place)).chain(checked)
        {
            if give_zone(cf, upstream, place)? {
                self.given_zone.push(upstream);
            }
        }
        let nameservers = self.resolv_conf.take().unwrap_or_default().nameservers;
        for (upstream, place) in &self.resolving {
            // SAFETY: the blocks live as long as the configuration that is being read
            let block = unsafe { &**upstream };
            if !is_balanced_by_core(block) {
                return Err(cannot_look_up(cf, block, place));
            }
            if !compat::has_resolver(block) && !http_resolver(cf) {
                // nginx would ask all of them in turn; in resolv.conf(5) the others stand in for
                // the first, and may not know its names: an engine's own DNS comes first
                resolver(cf, place, nameservers.first())?;
            }
            if !compat::has_resolver_timeout(block) {
                let (time, variables) = setting(cf, "RESOLVER_TIMEOUT");
                cf.apply_at(place, &["resolver_timeout", &time], &variables)?;
            }
        }
        Ok(())
    }

    /// Tells what has no effect in blocks whose peers are not in core's lists, and takes back what
    /// [`Self::complete`] has given to them: core would take their peers for such a list as it
    /// copies that into the `zone`. To be called after [`super::peers::find`].
    pub fn leave_alone_foreign(&mut self, cf: &mut Conf) -> Outcome {
        // SAFETY: the blocks live as long as the configuration that is being read
        let is_foreign = |upstream: *mut _| !is_found(unsafe { &*upstream });
        for upstream in self.given_zone.drain(..).filter(|upstream| is_foreign(*upstream)) {
            // SAFETY: as above; nothing else refers to it
            unsafe { (*upstream).shm_zone = null_mut() };
        }
        if let Some((upstream, place)) = self.resolving.iter().find(|(block, _)| is_foreign(*block))
        {
            // SAFETY: as above
            return Err(cannot_look_up(cf, unsafe { &**upstream }, place));
        }
        let checks = self.checks.iter().filter(|check| check.settings.is_some());
        let checks = checks.map(|check| (check.upstream, &check.place, true));
        let seen = self.seen.iter().map(|(upstream, place)| (*upstream, place, false));
        for (upstream, place, is_check) in
            seen.chain(checks).filter(|(upstream, ..)| is_foreign(*upstream))
        {
            // SAFETY: as above
            let host = unsafe { &(*upstream).host };
            let what = match is_check {
                true => format!("\"elb_check\" has no effect in upstream \"{host}\""),
                false => format!(
                    "destinations of upstream \"{host}\" are not in the status, and workers share \
                     nothing about them"
                ),
            };
            cf.warn_at(place, format_args!("{what}: its balancer is not one of nginx's own"));
        }
        Ok(())
    }
}

/// Names are looked up in core's list alone.
fn cannot_look_up(cf: &mut Conf, block: &ngx_http_upstream_srv_conf_t, place: &Place) -> Error {
    let host = &block.host;
    cf.error_at(
        place,
        format_args!(
            "\"elb_destination\" cannot look up names while nginx runs in upstream \"{host}\": its \
             balancer is not one of nginx's own, and must stand before \"elb_destination\", with \
             \"keepalive\" behind it"
        ),
    )
}

/// Gives a block a `zone` unless it has one, or its peers are not in core's lists; whether it did.
fn give_zone(
    cf: &mut Conf,
    upstream: *mut ngx_http_upstream_srv_conf_t,
    place: &Place,
) -> Result<bool, Error> {
    // SAFETY: the blocks live as long as the configuration that is being read
    let block = unsafe { &*upstream };
    if !block.shm_zone.is_null() || !is_balanced_by_core(block) {
        return Ok(false);
    }
    let name = format!("elb_{}", block.host);
    cf.apply_at(place, &["zone", &name, ZONE_SIZE], &[])?;
    Ok(true)
}

fn resolver(cf: &mut Conf, place: &Place, nameserver: Option<&IpAddr>) -> Outcome {
    let (time, variables) = setting(cf, "RESOLVER_VALID");
    let valid = format!("valid={time}");
    let nameserver = nameserver.map(|address| Host::Address(*address).to_string());
    let words = ["resolver", &valid].into_iter();
    let words: Vec<_> = words.chain(nameserver.as_deref()).collect();
    cf.apply_at(place, &words, &variables)
}

/// The value of a variable for a directive of nginx, or its declared default, and the variables to
/// name where nginx refuses it. A fault in it is noted.
fn setting(cf: &mut Conf, name: &str) -> (String, Vec<String>) {
    let set = cf.read(|env| env.checked(name).map_err(Some)).flatten();
    match set {
        Some(variable) => (variable.text().to_owned(), vec![name.to_owned()]),
        None => {
            let default = registry::variable(name).and_then(|declared| declared.default.value());
            (default.unwrap_or_default().to_owned(), Vec::new())
        }
    }
}

/// Whether `resolver` stands in http{}. Where it does not, core's merge leaves a resolver without
/// nameservers (`ngx_http_core_merge_loc_conf`).
fn http_resolver(cf: &mut Conf) -> bool {
    // SAFETY: what nginx passed
    NgxHttpCoreModule::location_conf(unsafe { &*cf.as_ptr() })
        // SAFETY: null or a resolver that lives as long as the configuration
        .and_then(|http| unsafe { http.resolver.as_ref() })
        .is_some_and(|resolver| resolver.connections.nelts > 0)
}

/// Takes the candidate that resolves, or else the likeliest ones.
fn choose(cf: &mut Conf, name: &str, candidates: Vec<String>) -> Server {
    if let Some(found) = first_found(&candidates, lookup) {
        if found != name {
            cf.notice(format_args!("destination \"{name}\" resolves as \"{found}\""));
        }
        return Server::Resolved(vec![found.clone()]);
    }
    cf.notice(format_args!(
        "destination \"{name}\" does not resolve yet: nginx keeps trying \"{}\"",
        candidates.join("\", then \"")
    ));
    Server::Resolved(candidates)
}

/// Asks the system for an absolute name.
fn lookup(name: &str) -> Lookup {
    let Ok(name) = CString::new(format!("{name}.")) else { return Lookup::NotFound };
    // SAFETY: all-zero is a valid value of the C struct
    let mut hints: addrinfo = unsafe { zeroed() };
    hints.ai_socktype = SOCK_STREAM as _;
    let mut found = null_mut();
    // SAFETY: strings are terminated, found takes the result
    let rc = unsafe { getaddrinfo(name.as_ptr(), null(), &raw const hints, &raw mut found) };
    match rc {
        0 => {
            // SAFETY: getaddrinfo made it
            unsafe { freeaddrinfo(found) };
            Lookup::Found
        }
        EAI_AGAIN => Lookup::NoAnswer,
        _ => Lookup::NotFound,
    }
}
