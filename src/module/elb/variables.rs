//! `$elb_*`: what is sent to the destination and written to logs of a request.

use std::borrow::Cow;
use std::cell::RefCell;

use nginx::random::Random;
use nginx::request::Request;
use nginx::variable::{Prefix, Text, Variable};

use super::{log_query, Elb};
use crate::module::asks_for_websocket;
use crate::module::environment::directive::{Conf, Outcome};
use crate::request_id::{hexadecimal, is_sane};

/// The variables. What may change as a request goes on is not cached; an id is one for all who ask.
const ALL: [&Variable; 5] = [
    &Variable { name: "elb_upgrade", changes: false, get: upgrade },
    &Variable { name: "elb_connection", changes: false, get: connection },
    &Variable { name: "elb_host", changes: true, get: host },
    &Variable { name: "elb_request_id", changes: false, get: request_id },
    &Variable { name: "elb_status", changes: true, get: status },
];

/// Makes the variables.
///
/// # Errors
/// There is no memory.
pub fn add(cf: &mut Conf) -> Outcome {
    ALL.iter().chain(&log_query::VARIABLES).try_for_each(|variable| cf.add_variable(variable))?;
    cf.add_prefix::<Utf8>()?;
    if cf.cycle().has_module("ngx_http_proxy_module") {
        // it cannot be asked for by its name (`ngx_http_proxy_vars`, `NGX_HTTP_VAR_NOHASH`)
        cf.main::<Elb>()?.proxy_host = Some(cf.variable_index("proxy_host")?);
    }
    Ok(())
}

/// What the client has to ask for a WebSocket by. Without it there is no value, and no header is
/// sent: no other protocol is passed on, as with "Upgrade: h2c" a client could smuggle requests past
/// the configuration, and the connection to the destination is kept for the next one.
fn upgrade<'r>(request: &'r Request) -> Text<'r> {
    asks_for_websocket(request).then_some(Cow::Borrowed(b"websocket"))
}

/// The same for `Connection`.
fn connection<'r>(request: &'r Request) -> Text<'r> {
    asks_for_websocket(request).then_some(Cow::Borrowed(b"upgrade"))
}

/// `Host` as the client sent it, else `$proxy_host`: HTTP/1.0 may leave it out, and a destination is
/// spoken to in HTTP/1.1.
fn host<'r>(request: &'r Request) -> Text<'r> {
    let sent = request.host_header().filter(|host| !host.is_empty());
    let proxy_host = || request.variable_at(request.main::<Elb>()?.proxy_host?);
    sent.or_else(proxy_host).map(Cow::Borrowed)
}

/// The client's `X-Request-Id` where there is one and it is sane, else 32 random digits. nginx's
/// `$request_id` is as random, but asks OpenSSL for it, which was a fifth of the instructions of a
/// proxied request.
fn request_id<'r>(request: &'r Request) -> Text<'r> {
    thread_local! {
        // empty until the first request, so no two workers begin with the same bits
        static RANDOM: RefCell<Random> = RefCell::default();
    }
    let mut sent = request.headers(b"x-request-id");
    if let (Some(id), None) = (sent.next().filter(|id| is_sane(id)), sent.next()) {
        return Some(Cow::Borrowed(id));
    }
    let bits = RANDOM.with_borrow_mut(|random| [random.next_u64(), random.next_u64()]);
    Some(hexadecimal(bits).to_vec().into())
}

/// `$status` as a number: 0 without an answer, where that is `000`, no number in JSON.
fn status<'r>(request: &'r Request) -> Text<'r> {
    Some(request.final_status().to_string().into_bytes().into())
}

/// Another variable, with what is no UTF-8 in it replaced by U+FFFD: `escape=json` leaves such
/// bytes as they are, and then the line is no JSON.
struct Utf8;

impl Prefix for Utf8 {
    const PREFIX: &'static str = "elb_utf8_";

    fn get<'r>(request: &'r Request, rest: &[u8]) -> Text<'r> {
        Some(match String::from_utf8_lossy(request.variable(rest)?) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }
}
