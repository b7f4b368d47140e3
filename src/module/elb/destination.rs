//! `elb_destination`: the servers of an upstream block, whose names are resolved again at run time.

use std::fs;
use std::net::IpAddr;

use nginx::block::Block;
use nginx::resolve::{self, Resolution};

use super::check::Check;
use crate::metrics;
use crate::module::environment::directive::{Conf, Error, Outcome, Place, ReadSettings};
use crate::registry;
use crate::settings::destinations::{destinations, variables, Destination};
use crate::settings::resolver::{first_found, in_hosts, Lookup, ResolvConf};
use crate::settings::types::Host;

/// The size of the zone for the run-time state of an upstream block's servers.
const ZONE_SIZE: &str = "256k";

/// `elb_destination` of all upstream blocks.
#[derive(Default)]
pub struct Destinations {
    /// The blocks with a name to resolve at run time, and the position of its directive.
    resolving: Vec<(Block, Place)>,
    /// The blocks with `elb_destination`, and its position.
    seen: Vec<(Block, Place)>,
    /// The blocks that this module has given a `zone`.
    given_zone: Vec<Block>,
    resolv_conf: Option<ResolvConf>,
    has_logged_old_nginx: bool,
}

/// How one destination is configured in nginx.
enum Server {
    /// Its address is determined once, at start.
    Static(String),
    /// These names are resolved at run time; those after the first are backups.
    Resolved(Vec<String>),
}

/// `elb_destination [parameter ...];`
pub fn elb_destination(cf: &mut Conf, own: &mut Destinations) -> Outcome {
    let parameters = cf.args()?;
    let block = cf.upstream_block()?;
    if own.has_seen(&block) {
        return Err(Error::DUPLICATE);
    }
    own.seen.push((block.clone(), cf.place()?));

    let Some(destinations) = cf.read(destinations) else {
        // nginx would refuse an upstream block without servers
        return placeholder(cf);
    };
    for destination in &destinations {
        let server = own.server_for(cf, &block, destination);
        if own.apply(cf, &block, destination, &server, &parameters).is_err() {
            // nginx has logged the reason; read on for further faults
            cf.doom();
            placeholder(cf)?;
        }
    }
    Ok(())
}

fn placeholder(cf: &mut Conf) -> Outcome {
    cf.apply(&["server", "127.0.0.1:1", "down"], &[])
}

impl Destinations {
    /// Decides whether a destination is resolved at run time, and under which names.
    fn server_for(&mut self, cf: &mut Conf, block: &Block, destination: &Destination) -> Server {
        let name = match &destination.host {
            Host::Address(_) => return Server::Static(destination.host.to_string()),
            Host::Name(name) => name,
        };
        let absolute = name.strip_suffix('.').unwrap_or(name);
        let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
        if in_hosts(&hosts, absolute) {
            return Server::Static(absolute.to_owned());
        }
        if !Block::RESOLVES {
            if !std::mem::replace(&mut self.has_logged_old_nginx, true) {
                cf.notice(
                    "nginx before 1.27.3 resolves names of destinations at start only: reload it when \
                     an address changes",
                );
            }
            return Server::Static(name.clone());
        }
        if !block.is_balanced_by_core() {
            cf.notice(format_args!(
                "destination \"{name}\" is resolved at start only, since the balancer of upstream \
                 \"{}\" is not one of nginx's own: reload nginx when its address changes",
                block.name()
            ));
            return Server::Static(name.clone());
        }
        let has_resolver = block.has_resolver() || cf.http_has_resolver();
        let conf = self.resolv_conf(cf);
        if conf.nameservers.is_empty() && !has_resolver {
            cf.notice(format_args!(
                "destination \"{name}\" is resolved at start only, since /etc/resolv.conf has no \
                 nameserver that nginx can use: reload nginx when its address changes"
            ));
            return Server::Static(name.clone());
        }
        let candidates = conf.candidates(name);
        choose(cf, absolute, candidates)
    }

    /// The contents of /etc/resolv.conf. Nameservers that nginx cannot use are logged once.
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
        block: &Block,
        destination: &Destination,
        server: &Server,
        parameters: &[String],
    ) -> Outcome {
        let (names, resolve) = match server {
            Server::Static(name) => (std::slice::from_ref(name), false),
            Server::Resolved(names) => (names.as_slice(), true),
        };
        if resolve && !self.resolving.iter().any(|(known, _)| known == block) {
            self.resolving.push((block.clone(), cf.place()?));
        }
        // with parameters, nginx's message may be about those rather than the variables
        let variables = match parameters {
            [] => cf.read(|env| Ok::<_, Vec<_>>(variables(env))).unwrap_or_default(),
            _ => Vec::new(),
        };
        let weight = destination.weight.map(|weight| format!("weight={weight}"));
        let takes_backup = block.takes_backup();
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

    /// The blocks with `elb_destination` or `elb_check`, and whether they are checked.
    fn blocks<'a>(&'a self, checks: &'a [Check]) -> impl Iterator<Item = (&'a Block, bool)> {
        let is_checked =
            |block: &Block| checks.iter().any(|check| check.block == *block && check.is_on());
        let others = checks.iter().map(|check| &check.block);
        let others = others.filter(|block| !self.has_seen(block));
        let seen = self.seen.iter().map(|(block, _)| block);
        seen.chain(others).map(move |block| (block, is_checked(block)))
    }

    fn has_seen(&self, block: &Block) -> bool {
        self.seen.iter().any(|(seen, _)| seen == block)
    }

    /// Completes each block unless it has its own: a `zone`, so that workers share connection
    /// counts, failures and check results, and a resolver if names are resolved at run time.
    pub fn complete(&mut self, cf: &mut Conf, checks: &[Check]) -> Outcome {
        let checked = checks.iter().filter(|check| check.is_on());
        let checked = checked.map(|check| (&check.block, &check.place));
        for (block, place) in self.seen.iter().map(|(block, place)| (block, place)).chain(checked) {
            if give_zone(cf, block, place)? {
                self.given_zone.push(block.clone());
            }
        }
        let nameservers = self.resolv_conf.take().unwrap_or_default().nameservers;
        for (block, place) in &self.resolving {
            if !block.is_balanced_by_core() {
                return Err(cannot_look_up(cf, block, place));
            }
            if !block.has_resolver() && !cf.http_has_resolver() {
                // nginx would use all of them in turn. In resolv.conf(5) the others are fallbacks
                // and may not know the names of the first, which is the container engine's own DNS
                resolver(cf, place, nameservers.first())?;
            }
            if !block.has_resolver_timeout() {
                let (time, variables) = setting(cf, "RESOLVER_TIMEOUT");
                cf.apply_at(place, &["resolver_timeout", &time], &variables)?;
            }
        }
        Ok(())
    }

    /// Warns about directives without effect in blocks whose peers are not in nginx's lists, and
    /// undoes [`Self::complete`] there: nginx would treat their peers as such a list when it copies
    /// them to the `zone`. To be called after [`Conf::find_peers`].
    pub fn leave_alone_foreign(&mut self, cf: &mut Conf, checks: &[Check]) -> Outcome {
        for block in self.given_zone.drain(..).filter(|block| !block.has_peers()) {
            cf.take_back_zone(&block);
        }
        if let Some((block, place)) = self.resolving.iter().find(|(block, _)| !block.has_peers()) {
            return Err(cannot_look_up(cf, block, place));
        }
        let checked = checks.iter().filter(|check| check.is_on());
        let checked = checked.map(|check| (&check.block, &check.place, true));
        let seen = self.seen.iter().map(|(block, place)| (block, place, false));
        for (block, place, is_check) in seen.chain(checked).filter(|(block, ..)| !block.has_peers())
        {
            let name = block.name();
            let what = match is_check {
                true => format!("\"elb_check\" has no effect in upstream \"{name}\""),
                false => format!(
                    "destinations of upstream \"{name}\" are not in the status, and workers share \
                     nothing about them"
                ),
            };
            cf.warn_at(place, format_args!("{what}: its balancer is not one of nginx's own"));
        }
        Ok(())
    }

    /// The destinations of all upstream blocks with `elb_destination` or `elb_check`, as this
    /// process sees them: for a block without a `zone`, with `elb_check off`, it knows its own
    /// connections only. Blocks with a balancer of another module are omitted.
    pub fn report(&self, checks: &[Check]) -> Vec<metrics::Destination> {
        let mut found = Vec::new();
        for (block, checked) in self.blocks(checks) {
            let upstream = block.name();
            block.look(|peer| {
                let load = peer.load();
                let destination = metrics::Destination {
                    upstream: upstream.clone(),
                    server: peer.server(),
                    address: peer.name(),
                    up: !peer.is_down() && (checked || !load.has_failed),
                    checked,
                    backup: peer.is_backup(),
                    weight: peer.weight(),
                    connections: load.connections,
                };
                destination.add(&mut found);
            });
        }
        found
    }
}

/// The error for names to resolve in a block without nginx's peer list.
fn cannot_look_up(cf: &mut Conf, block: &Block, place: &Place) -> Error {
    let name = block.name();
    cf.error_at(
        place,
        format_args!(
            "\"elb_destination\" cannot look up names while nginx runs in upstream \"{name}\": its \
             balancer is not one of nginx's own, and must stand before \"elb_destination\", with \
             \"keepalive\" behind it"
        ),
    )
}

/// Adds a `zone` to a block, unless it has one or its peers are not in nginx's lists. Returns
/// whether it has.
fn give_zone(cf: &mut Conf, block: &Block, place: &Place) -> Result<bool, Error> {
    if block.has_zone() || !block.is_balanced_by_core() {
        return Ok(false);
    }
    let name = format!("elb_{}", block.name());
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
/// name if nginx refuses it. Records a fault of the variable.
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

/// Chooses the first candidate that resolves, or otherwise the most likely ones.
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

/// Looks up an absolute name with the system's resolver.
fn lookup(name: &str) -> Lookup {
    match resolve::ask(name) {
        Resolution::Found => Lookup::Found,
        Resolution::NotFound => Lookup::NotFound,
        Resolution::None => Lookup::NoAnswer,
    }
}
