//! `websocket_metrics` and `websocket_status`: reports of the counters.

use std::borrow::Cow;

use nginx::lifecycle;
use nginx::process::unix_time;
use nginx::request::{Answer, Handler, Request, Status};
use nginx::NGINX_VERSION;

use super::health::health;
use super::{LocationConf, Operator};
use crate::metrics::{
    exposition, quality, SettingsInEffect, Snapshot, Text, Totals, WebSockets, PAGE,
};
use crate::module::environment::directive::{Conf, Outcome, ReadSettings};
use crate::module::{counting, elb, websocket};
use crate::registry::StatusPart;
use crate::settings;

/// Responses must not be cached: they are valid at this moment only.
const FRESH: (&str, &str) = ("Cache-Control", "no-store");

/// Both representations have the same URL.
const VARY: (&str, &str) = ("Vary", "Accept");

/// The page may run its own script and connect to its origin; the browser refuses anything else.
/// The build script computes the hashes.
const PAGE_HEADERS: &[(&str, &str)] = &[
    FRESH,
    VARY,
    (
        "Content-Security-Policy",
        concat!(
            "default-src 'none'; style-src '",
            env!("STATUS_STYLE_HASH"),
            "'; script-src '",
            env!("STATUS_SCRIPT_HASH"),
            "'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
];

/// `websocket_metrics;`
pub fn websocket_metrics(cf: &mut Conf, _: &mut LocationConf) -> Outcome {
    report_by::<OnMetrics>(cf, "websocket_metrics")
}

/// `websocket_status;`
pub fn websocket_status(cf: &mut Conf, conf: &mut LocationConf) -> Outcome {
    let environment = cf.read(|env| Ok::<_, Vec<_>>(settings::in_effect(env)));
    conf.environment = environment.unwrap_or_default();
    report_by::<OnStatus>(cf, "websocket_status")
}

fn report_by<H: Handler>(cf: &mut Conf, directive: &'static str) -> Outcome {
    cf.main::<Operator>()?.reported_by.get_or_insert(directive);
    cf.answer_with::<H>()
}

/// Returns the counters for Prometheus.
pub struct OnMetrics;

impl Handler for OnMetrics {
    fn handle(request: Request) -> Status {
        report(request, metrics)
    }
}

/// Returns the full status: as a page to a browser, otherwise as JSON.
pub struct OnStatus;

impl Handler for OnStatus {
    fn handle(request: Request) -> Status {
        report(request, status)
    }
}

fn report(request: Request, answer: fn(&Request, Option<&str>) -> Option<Answer>) -> Status {
    if !request.is_get_or_head() {
        return Status::code(405);
    }
    let accept = request.header(b"accept").map(String::from_utf8_lossy);
    match answer(&request, accept.as_deref()) {
        Some(answer) => request.answer(&answer),
        None => Status::code(500),
    }
}
fn metrics(request: &Request, accept: Option<&str>) -> Option<Answer> {
    let wants_open =
        quality(accept, "application/openmetrics-text") > quality(accept, "text/plain");
    let format = if wants_open { Text::OpenMetrics } else { Text::Prometheus };
    Some(Answer {
        status: 200,
        content_type: format.content_type(),
        body: Cow::Owned(exposition(&snapshot(request), format)),
        headers: &[FRESH, VARY],
    })
}

fn status(request: &Request, accept: Option<&str>) -> Option<Answer> {
    if quality(accept, "text/html") > quality(accept, "application/json") {
        return Some(Answer {
            status: 200,
            content_type: "text/html; charset=utf-8",
            body: Cow::Borrowed(PAGE),
            headers: PAGE_HEADERS,
        });
    }
    let mut body = serde_json::to_string(&snapshot(request)).ok()?;
    body.push('\n');
    Some(Answer {
        status: 200,
        content_type: "application/json",
        body: Cow::Owned(body),
        headers: &[FRESH, VARY],
    })
}

fn snapshot(request: &Request) -> Snapshot {
    let newest = lifecycle::newest();
    let (sum, started) = counting::total(newest);
    Snapshot {
        module: env!("CARGO_PKG_VERSION"),
        nginx: NGINX_VERSION.to_string_lossy().into_owned(),
        started,
        uptime: unix_time().saturating_sub(started),
        health: health(request),
        generation: newest,
        websockets: WebSockets::of(&sum),
        totals: Totals::of(&sum.counts, StatusPart::Instance),
        workers: sum.workers,
        destinations: elb::destinations(request),
        settings: SettingsInEffect(settings_of(request)),
    }
}

/// The settings of the location of a request, by name.
fn settings_of(request: &Request) -> Vec<(String, String)> {
    let environment = request.location::<Operator>().map(|conf| conf.environment.clone());
    let mut all = environment.unwrap_or_default();
    all.extend(websocket::settings_of(request));
    all
}
