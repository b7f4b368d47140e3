//! `websocket_metrics` and `websocket_status`: what was counted, told.

use std::borrow::Cow;

use ngx::ffi::{
    ngx_http_request_t, ngx_int_t, ngx_time, NGINX_VERSION, NGX_ERROR,
    NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_HTTP_NOT_ALLOWED,
};
use ngx::http::{HttpModuleLocationConf, NgxHttpCoreModule};

use super::conf::{Conf, Error, Outcome};
use super::elb::health::health;
use super::request::{Answer, PhaseHandler, Request};
use super::{elb, websocket, zone};
use crate::guard::guarded;
use crate::metrics::{exposition, quality, Settings, Snapshot, Text, WebSockets, PAGE};

/// Nothing that was told is good for later.
const FRESH: (&str, &str) = ("Cache-Control", "no-store");

/// Both representations have one address.
const VARY: (&str, &str) = ("Vary", "Accept");

/// The page runs what it holds and asks where it came from; no browser lets it do more.
/// The hashes are made by the build script.
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

/// Makes `handler` the one that answers the requests of a location.
pub fn answer_with(cf: &mut Conf, handler: PhaseHandler) -> Outcome {
    let core = NgxHttpCoreModule::location_conf_mut(cf)
        .ok_or_else(|| Error::Message("no location".to_owned()))?;
    if core.handler.is_some() {
        return Err(Error::Message(format!(
            "\"{}\" directive must be the only one of its location that answers",
            cf.directive()
        )));
    }
    core.handler = Some(handler);
    Ok(())
}

/// Answers with the counters for Prometheus.
pub unsafe extern "C" fn on_metrics(r: *mut ngx_http_request_t) -> ngx_int_t {
    guarded(NGX_HTTP_INTERNAL_SERVER_ERROR as _, || {
        // SAFETY: nginx passes the request whose location has this handler
        unsafe { tell(r, metrics) }
    })
}

/// Answers with all there is to say: to a browser as a page, else as JSON.
pub unsafe extern "C" fn on_status(r: *mut ngx_http_request_t) -> ngx_int_t {
    guarded(NGX_HTTP_INTERNAL_SERVER_ERROR as _, || {
        // SAFETY: as above
        unsafe { tell(r, status) }
    })
}

/// # Safety
/// `r` is a live request.
unsafe fn tell(
    r: *mut ngx_http_request_t,
    answer: fn(&Request, Option<&str>) -> Option<Answer>,
) -> ngx_int_t {
    // SAFETY: by contract
    let Some(mut request) = (unsafe { Request::from_ptr(r) }) else { return NGX_ERROR as _ };
    if !request.is_get_or_head() {
        return NGX_HTTP_NOT_ALLOWED as _;
    }
    let accept = request.header(b"accept").map(String::from_utf8_lossy);
    match answer(&request, accept.as_deref()) {
        Some(answer) => request.send(&answer),
        None => NGX_HTTP_INTERNAL_SERVER_ERROR as _,
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
    let newest = websocket::drain::newest();
    let (sum, started) = zone::total(newest);
    Snapshot {
        module: env!("CARGO_PKG_VERSION"),
        nginx: NGINX_VERSION.to_string_lossy().into_owned(),
        started,
        // SAFETY: nginx keeps the time in a global
        uptime: u64::try_from(ngx_time()).unwrap_or(0).saturating_sub(started),
        health: health(request.raw()),
        generation: newest,
        websockets: WebSockets::of(&sum),
        redirects: sum.counts.redirects.get(),
        health_checks: sum.counts.health_checks.get(),
        workers: sum.workers,
        destinations: elb::destinations(request.raw()),
        settings: Settings(websocket::settings_of(request.raw())),
    }
}
