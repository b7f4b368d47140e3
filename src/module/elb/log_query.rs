//! `elb_log_query`: whether logs contain query strings.

use std::borrow::Cow;

use nginx::log_handler::LeaveOut;
use nginx::request::Request;
use nginx::variable::{Text, Variable};

use super::http_conf::MainConf;
use super::Elb;
use crate::module::environment::directive::{invalid, Conf, Error, Outcome};
use crate::query::without;
use crate::settings::types::{FromText, Switch};

/// `elb_log_query on | off;`
pub fn elb_log_query(cf: &mut Conf, main: &mut MainConf) -> Outcome {
    let args = cf.args()?;
    let word = args.first().map_or("", String::as_str);
    let Some(Switch(on)) = Switch::from_text(word) else {
        return Err(invalid(cf, word, Switch::EXPECTED));
    };
    match main.log_query.replace(on) {
        None => Ok(()),
        Some(_) => Err(Error::DUPLICATE),
    }
}

/// Whether logs contain the query string of a request.
pub fn is_logged(request: &Request) -> bool {
    request.main::<Elb>().is_none_or(|main| main.log_query != Some(false))
}

/// The variables for logs: nginx's own, without the query string if it is not to be logged.
pub const VARIABLES: [&Variable; 3] = [
    &Variable { name: "elb_log_request", changes: true, get: line },
    &Variable { name: "elb_log_uri", changes: true, get: uri },
    &Variable { name: "elb_log_referer", changes: true, get: referer },
];

fn line<'r>(request: &'r Request) -> Text<'r> {
    logged(request, b"request")
}

fn uri<'r>(request: &'r Request) -> Text<'r> {
    logged(request, b"request_uri")
}

fn referer<'r>(request: &'r Request) -> Text<'r> {
    logged(request, b"http_referer")
}

/// The value of a variable of nginx, for logs.
fn logged<'r>(request: &'r Request, name: &[u8]) -> Text<'r> {
    let text = request.variable(name)?;
    if is_logged(request) {
        return Some(Cow::Borrowed(text));
    }
    Some(match without(text) {
        (head, []) => Cow::Borrowed(head),
        (head, protocol) => Cow::Owned([head, protocol].concat()),
    })
}

/// Omits query strings from the error log's messages about a request from now on, if so configured.
pub fn leave_out(request: &Request) {
    if !is_logged(request) {
        request.leave_out_of_log::<Query>();
    }
}

struct Query;

impl LeaveOut for Query {
    fn kept(text: &[u8]) -> (&[u8], &[u8]) {
        without(text)
    }
}
