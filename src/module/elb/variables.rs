//! `$elb_*`: values for upstream request headers and for logs.

use std::borrow::Cow;
use std::cell::RefCell;

use nginx::random::Random;
use nginx::request::Request;
use nginx::variable::{Prefix, Text, Variable};

use super::{log_query, Elb};
use crate::module::environment::directive::{Conf, Outcome};
use crate::module::handshake::asks_for_websocket;
use crate::request_id::{hexadecimal, is_sane};

/// The variables. Those that may change during a request are not cached; the request ID is the same
/// for all readers.
const ALL: [&Variable; 5] = [
    &Variable { name: "elb_upgrade", changes: false, get: upgrade },
    &Variable { name: "elb_connection", changes: false, get: connection },
    &Variable { name: "elb_host", changes: true, get: host },
    &Variable { name: "elb_request_id", changes: false, get: request_id },
    &Variable { name: "elb_status", changes: true, get: status },
];

/// Adds the variables.
///
/// # Errors
/// Memory is exhausted.
pub fn add(cf: &mut Conf) -> Outcome {
    ALL.iter().chain(&log_query::VARIABLES).try_for_each(|variable| cf.add_variable(variable))?;
    cf.add_prefix::<Utf8>()?;
    if cf.cycle().has_module("ngx_http_proxy_module") {
        // it has no entry in the hash of names (`ngx_http_proxy_vars`, `NGX_HTTP_VAR_NOHASH`)
        cf.main::<Elb>()?.proxy_host = Some(cf.variable_index("proxy_host")?);
    }
    Ok(())
}

/// `websocket` if the client asks for a WebSocket in `Upgrade`, otherwise no value, so that no
/// header field is sent. No other protocol is passed on: with "Upgrade: h2c" a client could smuggle
/// requests past the configuration, and nginx reuses the upstream connection.
fn upgrade<'r>(request: &'r Request) -> Text<'r> {
    asks_for_websocket(request).then_some(Cow::Borrowed(b"websocket"))
}

/// The corresponding value of `Connection`.
fn connection<'r>(request: &'r Request) -> Text<'r> {
    asks_for_websocket(request).then_some(Cow::Borrowed(b"upgrade"))
}

/// `Host` as the client sent it, or else `$proxy_host`: HTTP/1.0 clients may omit it, but upstream
/// requests use HTTP/1.1.
fn host<'r>(request: &'r Request) -> Text<'r> {
    let sent = request.host_header().filter(|host| !host.is_empty());
    let proxy_host = || request.variable_at(request.main::<Elb>()?.proxy_host?);
    sent.or_else(proxy_host).map(Cow::Borrowed)
}

/// The client's `X-Request-Id` if it has exactly one that is sane, otherwise 32 random hexadecimal
/// digits. nginx's `$request_id` is equally random, but uses OpenSSL, which took a fifth of the
/// instructions of a proxied request.
fn request_id<'r>(request: &'r Request) -> Text<'r> {
    thread_local! {
        // empty until the first request, so no two workers have the same bits
        static RANDOM: RefCell<Random> = RefCell::default();
    }
    let mut sent = request.headers(b"x-request-id");
    if let (Some(id), None) = (sent.next().filter(|id| is_sane(id)), sent.next()) {
        return Some(Cow::Borrowed(id));
    }
    let bits = RANDOM.with_borrow_mut(|random| [random.next_u64(), random.next_u64()]);
    Some(hexadecimal(bits).to_vec().into())
}

/// `$status` as a number: 0 without a response, where `$status` is `000`, which is not a number in
/// JSON.
fn status<'r>(request: &'r Request) -> Text<'r> {
    Some(request.final_status().to_string().into_bytes().into())
}

/// The value of another variable in which invalid UTF-8 is replaced by U+FFFD: `escape=json` does
/// not change such bytes, and the line would not be valid JSON.
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
