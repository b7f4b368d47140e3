//! `elb_listen`: nginx's `listen` for each address in a variable.

use std::net::SocketAddr;

use nginx::process::starts_server;
use nginx::socket::is_in_use;

use super::ServerConf;
use crate::module::environment::directive::{invalid, Conf, Error, Outcome, ReadSettings};
use crate::settings;
use crate::settings::listeners::{self, Listening};
use crate::settings::types::Listen;

pub mod optional;

/// The parameters after the variable.
#[derive(Default)]
struct Parameters {
    /// `default=ADDRESS`
    default: Option<Vec<Listen>>,
    /// `proxy_protocol=optional`
    optional: bool,
    /// `proxy_protocol`
    proxy_protocol: bool,
    /// The others, for nginx's `listen`.
    others: Vec<String>,
}

/// `elb_listen VARIABLE [default=ADDRESS] [proxy_protocol=optional] [parameter ...];`
pub fn elb_listen(cf: &mut Conf, own: &mut ServerConf) -> Outcome {
    let args = cf.args()?;
    let variable = args.first().cloned().unwrap_or_default();
    if !settings::is_name(&variable) {
        let expected = "the name of a variable, of capitals, digits and \"_\"";
        return Err(invalid(cf, &variable, expected));
    }
    let mut parameters = Parameters::read(&args[1..])?;

    let default = parameters.default.as_deref();
    let listening = cf.read(|env| listeners::listen(env, &variable, default).map_err(Some));
    let proxy_protocol = cf.read(|env| settings::proxy_protocol(env).map_err(Some));
    parameters.proxy_protocol &= proxy_protocol != Some(false);

    let mut listens = false;
    // faults are recorded
    let none = Listening { addresses: Vec::new(), is_default: false };
    let Listening { addresses, is_default } = listening.unwrap_or(none);
    let variables = if is_default { Vec::new() } else { vec![variable.clone()] };
    for listen in addresses {
        if is_default && is_taken(cf, listen.address()) {
            cf.warn(format_args!(
                "default address \"{listen}\" of environment variable \"{variable}\" is in use by \
                 another process, so nginx does not listen there: set \"{variable}\" to another"
            ));
            continue;
        }
        if parameters.optional {
            own.optional.add(listen.address(), cf.place()?);
        }
        cf.apply(&parameters.words(&listen.to_string()), &variables)?;
        listens = true;
    }
    if !listens {
        // nginx would make the server listen on its default port
        cf.listen_nowhere()?;
    }
    Ok(())
}

impl Parameters {
    fn read(args: &[String]) -> Result<Self, Error> {
        let mut parameters = Self::default();
        for arg in args {
            if let Some(default) = arg.strip_prefix("default=") {
                if parameters.default.is_some() {
                    return Err(Error::Directive(c"has a duplicate \"default\" parameter"));
                }
                parameters.default = Some(listeners::parse_or_off(default).map_err(|must| {
                    Error::Message(format!(
                        "invalid default \"{default}\" in \"elb_listen\" directive, it must {must}"
                    ))
                })?);
            } else if arg == "proxy_protocol=optional" {
                parameters.optional = true;
            } else if arg.starts_with("proxy_protocol=") {
                return Err(Error::Message(format!(
                    "invalid parameter \"{arg}\" in \"elb_listen\" directive, \
                     it must be \"proxy_protocol\" or \"proxy_protocol=optional\""
                )));
            } else if arg == "proxy_protocol" {
                parameters.proxy_protocol = true;
            } else {
                parameters.others.push(arg.clone());
            }
        }
        if parameters.optional {
            parameters.are_compatible()?;
        }
        Ok(parameters)
    }

    /// nginx's directive for one of the addresses.
    fn words<'a>(&'a self, address: &'a str) -> Vec<&'a str> {
        let proxy_protocol = self.proxy_protocol.then_some("proxy_protocol");
        let others = self.others.iter().map(String::as_str);
        ["listen", address].into_iter().chain(proxy_protocol).chain(others).collect()
    }

    /// Checks that a connection can be inspected before nginx handles it, and that nginx then reads
    /// only a PROXY protocol header or a request.
    fn are_compatible(&self) -> Outcome {
        let clashes = |name: &str| {
            ["ssl", "quic", "deferred"].contains(&name) || name.starts_with("accept_filter=")
        };
        let other = self.others.iter().map(String::as_str).find(|name| clashes(name));
        match other.or(self.proxy_protocol.then_some("proxy_protocol")) {
            Some(other) => Err(Error::Message(format!(
                "\"proxy_protocol=optional\" parameter of \"elb_listen\" directive is \
                 incompatible with \"{other}\""
            ))),
            None => Ok(()),
        }
    }
}

/// Whether a process other than this nginx listens on an address. Not checked unless nginx starts a
/// server: `-t` accepts sockets in use, as nginx does, and `-s` only sends a signal.
fn is_taken(cf: &Conf, address: SocketAddr) -> bool {
    starts_server() && !cf.listened_before(address) && is_in_use(address)
}
