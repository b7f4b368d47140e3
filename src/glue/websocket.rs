//! The HTTP module of the WebSocket tunnel.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::ptr::{addr_of, null_mut, NonNull};
use std::rc::Rc;

use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ffi::{
    ngx_command_t, ngx_conf_t, ngx_cycle_t, ngx_http_module_t, ngx_http_output_header_filter_pt,
    ngx_http_request_t, ngx_http_top_header_filter, ngx_int_t, ngx_module_t, ngx_pool_cleanup_add,
    ngx_shm_zone_t, NGX_CONF_1MORE, NGX_CONF_NOARGS, NGX_CONF_TAKE1, NGX_CONF_TAKE12,
    NGX_CONF_TAKE123, NGX_CONF_TAKE23, NGX_DECLINED, NGX_ERROR, NGX_HTTP_LOC_CONF,
    NGX_HTTP_LOC_CONF_OFFSET, NGX_HTTP_MAIN_CONF, NGX_HTTP_MAIN_CONF_OFFSET, NGX_HTTP_MODULE,
    NGX_HTTP_SERVICE_UNAVAILABLE, NGX_HTTP_SRV_CONF, NGX_HTTP_TOO_MANY_REQUESTS, NGX_LOG_ERR,
    NGX_OK,
};
use ngx::http::{HttpModule, HttpModuleLocationConf, HttpModuleMainConf, Merge, MergeConfigError};

use super::conf::{command, invalid, time, time_or_off, Conf, Error, Outcome};
use super::request::{register, PhaseHandler, PREACCESS};
use super::{status, zone};
use crate::limit::Refused;
use crate::metrics::{Left, RefusedBy};
use crate::session::{Format, Settings};

mod balancer;
pub(super) mod connection;
mod detach;
pub mod drain;
mod handshake;
mod limit;
mod log;
mod tunnel;
mod variables;
mod wire;
pub(super) mod worker;

pub use tunnel::now;

const ANYWHERE: u32 = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

/// An entry of the table for what stands in http, server and location.
macro_rules! setting {
    ($name:literal, $arguments:expr, $handler:path) => {
        command!($name, ANYWHERE | $arguments, NGX_HTTP_LOC_CONF_OFFSET, $handler)
    };
}

static mut COMMANDS: [ngx_command_t; 13] = [
    setting!("websocket_tunnel", NGX_CONF_TAKE1, websocket_tunnel),
    setting!("websocket_ping", NGX_CONF_TAKE1, websocket_ping),
    setting!("websocket_pong_timeout", NGX_CONF_TAKE1, websocket_pong_timeout),
    setting!("websocket_idle_timeout", NGX_CONF_TAKE1, websocket_idle_timeout),
    setting!("websocket_send_timeout", NGX_CONF_TAKE1, websocket_send_timeout),
    setting!("websocket_max_age", NGX_CONF_TAKE12, websocket_max_age),
    setting!("websocket_drain", NGX_CONF_1MORE, websocket_drain),
    setting!("websocket_log", NGX_CONF_TAKE123, websocket_log),
    setting!("websocket_limit_conn", NGX_CONF_TAKE23, websocket_limit_conn),
    command!(
        "websocket_zone",
        NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
        NGX_HTTP_MAIN_CONF_OFFSET,
        websocket_zone
    ),
    command!(
        "websocket_metrics",
        NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
        NGX_HTTP_LOC_CONF_OFFSET,
        websocket_metrics
    ),
    command!(
        "websocket_status",
        NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
        NGX_HTTP_LOC_CONF_OFFSET,
        websocket_status
    ),
    ngx_command_t::empty(),
];

static CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: Some(Module::preconfiguration),
    postconfiguration: Some(Module::postconfiguration),
    create_main_conf: Some(Module::create_main_conf),
    init_main_conf: Some(Module::init_main_conf),
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: Some(Module::create_loc_conf),
    merge_loc_conf: Some(Module::merge_loc_conf),
};

/// The module, as `load_module` finds it.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub static mut ngx_http_websocket_module: ngx_module_t = ngx_module_t {
    ctx: (&raw const CONTEXT).cast_mut().cast(),
    commands: (&raw mut COMMANDS).cast(),
    type_: NGX_HTTP_MODULE as _,
    init_module: Some(init_module),
    init_process: Some(init_process),
    exit_process: Some(exit_process),
    ..ngx_module_t::default()
};

struct Module;

/// Configuration of http{}.
#[derive(Default)]
pub struct MainConf {
    zone: Option<NonNull<ngx_shm_zone_t>>,
    /// The first directive that tells what the zone holds.
    told_by: Option<&'static str>,
}

/// Configuration of a location. It lives in the pool of its cycle, which nginx keeps as long as
/// the process has connections of that cycle.
#[derive(Default)]
pub struct LocationConf {
    own: Own,
    tunnel: bool,
    settings: Settings,
    drain: drain::Times,
    log: Option<log::Log>,
    limit: Option<limit::Limit>,
    /// The longest drain of all locations with tunnels, one for the whole configuration; it is
    /// known once everything is merged.
    longest: Rc<Cell<Option<drain::Times>>>,
    /// What `websocket_status` tells of the environment.
    environment: Vec<(String, String)>,
}

/// What is said at one level, each to be inherited where it is not.
#[derive(Default, Clone)]
struct Own {
    tunnel: Option<bool>,
    ping: Option<u64>,
    pong_timeout: Option<u64>,
    idle_timeout: Option<u64>,
    send_timeout: Option<u64>,
    max_age: Option<(u64, u8)>,
    drain: Option<drain::Times>,
    log: Option<Option<log::Log>>,
    limit: Option<Option<limit::Limit>>,
}

impl Merge for LocationConf {
    fn merge(&mut self, prev: &Self) -> Result<(), MergeConfigError> {
        let longest = &prev.longest;
        let (own, prev) = (&mut self.own, &prev.own);
        own.tunnel = own.tunnel.or(prev.tunnel);
        own.ping = own.ping.or(prev.ping);
        own.pong_timeout = own.pong_timeout.or(prev.pong_timeout);
        own.idle_timeout = own.idle_timeout.or(prev.idle_timeout);
        own.send_timeout = own.send_timeout.or(prev.send_timeout);
        own.max_age = own.max_age.or(prev.max_age);
        own.drain = own.drain.or(prev.drain);
        own.log = own.log.or(prev.log);
        own.limit = own.limit.or(prev.limit);

        self.tunnel = own.tunnel.unwrap_or(false);
        self.drain = own.drain.unwrap_or_default();
        self.log = own.log.flatten();
        self.limit = own.limit.flatten();
        self.longest = Rc::clone(longest);
        if self.tunnel && self.drain.longest() > longest.get().and_then(|times| times.longest()) {
            longest.set(Some(self.drain));
        }
        let (max_age, max_age_jitter) = own.max_age.unwrap_or((0, 10));
        self.settings = Settings {
            ping: own.ping.unwrap_or(25_000),
            pong_timeout: own.pong_timeout.unwrap_or(10_000),
            idle_timeout: own.idle_timeout.unwrap_or(0),
            send_timeout: own.send_timeout.unwrap_or(60_000),
            max_age,
            max_age_jitter,
            grace: self.drain.grace,
            handshake: self.drain.handshake,
            ..Settings::default()
        };
        Ok(())
    }
}

impl LocationConf {
    /// The settings of this place as they would be written.
    fn in_words(&self) -> Vec<(String, String)> {
        let Settings { ping, pong_timeout, idle_timeout, send_timeout, max_age, .. } =
            self.settings;
        let max_age = match max_age {
            0 => "off".to_owned(),
            age => format!("{} jitter={}%", in_words(age), self.settings.max_age_jitter),
        };
        let drain = match self.drain.stop {
            None => "off".to_owned(),
            Some(stop) => {
                let drain::Times { reload, grace, handshake, .. } = self.drain;
                let [stop, reload, grace, handshake] = [stop, reload, grace, handshake].map(whole);
                format!("{stop} reload={reload} grace={grace} handshake={handshake}")
            }
        };
        let on_off = |on| if on { "on" } else { "off" }.to_owned();
        [
            ("websocket_tunnel", on_off(self.tunnel)),
            ("websocket_ping", in_words(ping)),
            ("websocket_pong_timeout", in_words(pong_timeout)),
            ("websocket_idle_timeout", in_words(idle_timeout)),
            ("websocket_send_timeout", in_words(send_timeout)),
            ("websocket_max_age", max_age),
            ("websocket_drain", drain),
            ("websocket_log", on_off(self.log.is_some())),
            ("websocket_limit_conn", self.limit.map_or("off".to_owned(), |limit| limit.most())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

/// A time in milliseconds in nginx's notation, `off` for 0.
fn in_words(time: u64) -> String {
    if time == 0 {
        "off".to_owned()
    } else {
        whole(time)
    }
}

/// The same where 0 is a time.
fn whole(time: u64) -> String {
    match time % 1000 {
        0 => format!("{}s", time / 1000),
        _ => format!("{time}ms"),
    }
}

// SAFETY: create_main_conf of the trait makes a value of this very type
unsafe impl HttpModuleMainConf for Module {
    type MainConf = MainConf;
}

// SAFETY: as above
unsafe impl HttpModuleLocationConf for Module {
    type LocationConf = LocationConf;
}

impl HttpModule for Module {
    fn module() -> &'static ngx_module_t {
        // SAFETY: nginx writes the indexes before it calls any function of the module
        unsafe { &*addr_of!(ngx_http_websocket_module) }
    }

    unsafe extern "C" fn preconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
        // SAFETY: nginx passes the configuration of http{}
        match unsafe { variables::add(cf) } {
            true => NGX_OK as _,
            false => NGX_ERROR as _,
        }
    }

    unsafe extern "C" fn init_main_conf(cf: *mut ngx_conf_t, conf: *mut c_void) -> *mut c_char {
        // SAFETY: nginx passes what create_main_conf made
        let (cf, own) = unsafe { (Conf::from_ptr(cf), conf.cast::<MainConf>().as_ref()) };
        match (cf, own) {
            (Some(mut cf), Some(MainConf { zone: None, told_by: Some(directive) })) => {
                cf.refuse(format_args!(
                    "\"{directive}\" needs a zone to tell of, as in \
                     \"websocket_zone elb:256k;\" in http"
                ));
                NGX_CONF_ERROR
            }
            _ => NGX_CONF_OK,
        }
    }

    unsafe extern "C" fn postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
        // SAFETY: nginx passes the configuration of http{}
        if !unsafe { register(cf, PREACCESS, on_preaccess) } {
            return NGX_ERROR as _;
        }
        // SAFETY: globals of nginx, while it reads the configuration
        unsafe {
            NEXT_HEADER_FILTER = ngx_http_top_header_filter;
            ngx_http_top_header_filter = Some(header_filter);
        }
        NGX_OK as _
    }
}

/// `websocket_tunnel on | off;`
fn websocket_tunnel(cf: &mut Conf, conf: &mut LocationConf) -> Outcome {
    let args = cf.args()?;
    let on = match args.first().map(String::as_str) {
        Some("on") => true,
        Some("off") => false,
        _ => return Err(invalid(cf, &args.join(" "), "\"on\" or \"off\"")),
    };
    once(&mut conf.own.tunnel, on)
}

/// `websocket_ping time | off;`
fn websocket_ping(cf: &mut Conf, conf: &mut LocationConf) -> Outcome {
    set_time(cf, &mut conf.own.ping)
}

/// `websocket_pong_timeout time | off;`
fn websocket_pong_timeout(cf: &mut Conf, conf: &mut LocationConf) -> Outcome {
    set_time(cf, &mut conf.own.pong_timeout)
}

/// `websocket_idle_timeout time | off;`
fn websocket_idle_timeout(cf: &mut Conf, conf: &mut LocationConf) -> Outcome {
    set_time(cf, &mut conf.own.idle_timeout)
}

/// `websocket_send_timeout time | off;`
fn websocket_send_timeout(cf: &mut Conf, conf: &mut LocationConf) -> Outcome {
    set_time(cf, &mut conf.own.send_timeout)
}

/// `websocket_max_age time | off [jitter=percent%];`
fn websocket_max_age(cf: &mut Conf, conf: &mut LocationConf) -> Outcome {
    let args = cf.args()?;
    let age = time_or_off(cf, args.first())?;
    let jitter = match args.get(1) {
        None => 10,
        Some(word) => word
            .strip_prefix("jitter=")
            .and_then(|word| word.strip_suffix('%')?.parse().ok())
            .filter(|percent| *percent <= 100)
            .ok_or_else(|| invalid(cf, word, "\"jitter=\" with 0% to 100%"))?,
    };
    once(&mut conf.own.max_age, (age, jitter))
}

/// `websocket_drain time | off [reload=time] [grace=time] [handshake=time];`
fn websocket_drain(cf: &mut Conf, conf: &mut LocationConf) -> Outcome {
    let args = cf.args()?;
    let stop = match args.first().map(String::as_str) {
        Some("off") => None,
        word => Some(time(cf, word.unwrap_or_default())?),
    };
    let mut times = drain::Times { stop, ..Default::default() };
    for word in args.iter().skip(1) {
        let (slot, value) = match word.split_once('=') {
            Some(("reload", value)) => (&mut times.reload, value),
            Some(("grace", value)) => (&mut times.grace, value),
            Some(("handshake", value)) => (&mut times.handshake, value),
            _ => {
                return Err(invalid(
                    cf,
                    word,
                    "\"reload=\", \"grace=\" or \"handshake=\" with a time",
                ))
            }
        };
        *slot = time(cf, value)?;
    }
    once(&mut conf.own.drain, times)
}

/// `websocket_log path [text | json] [id=value];` or `websocket_log off;`
fn websocket_log(cf: &mut Conf, conf: &mut LocationConf) -> Outcome {
    let args = cf.args()?;
    let (mut format, mut id) = (None, None);
    for word in args.iter().skip(1) {
        match (word.as_str(), word.strip_prefix("id=")) {
            ("text", _) if format.is_none() => format = Some(Format::Text),
            ("json", _) if format.is_none() => format = Some(Format::Json),
            (_, Some(value)) if id.is_none() && !value.is_empty() => id = Some(value),
            _ => {
                let expected = "\"text\", \"json\" or \"id=\" with a value such as $request_id";
                return Err(invalid(cf, word, expected));
            }
        }
    }
    let log = match args.first().map_or("", String::as_str) {
        "off" => None,
        path if path.is_empty() || path.starts_with("syslog:") => {
            return Err(invalid(cf, path, "a path or \"off\""));
        }
        path => Some(log::Log::open(cf, path, format.unwrap_or(Format::Text), id)?),
    };
    once(&mut conf.own.log, log)
}

/// `websocket_limit_conn key number | off [status=503 | status=429];`
fn websocket_limit_conn(cf: &mut Conf, conf: &mut LocationConf) -> Outcome {
    let args = cf.args()?;
    let [key, most, rest @ ..] = args.as_slice() else { return Err(Error::Logged) };
    let status = match rest.first().map(String::as_str) {
        None | Some("status=503") => NGX_HTTP_SERVICE_UNAVAILABLE,
        Some("status=429") => NGX_HTTP_TOO_MANY_REQUESTS,
        Some(word) => return Err(invalid(cf, word, "\"status=503\" or \"status=429\"")),
    };
    let limit = match most.as_str() {
        "off" => None,
        most => match most.parse() {
            Ok(most) if most > 0 => Some(limit::Limit::new(cf, key, most, status as _)?),
            _ => return Err(invalid(cf, most, "a number above 0 or \"off\"")),
        },
    };
    once(&mut conf.own.limit, limit)
}

/// `websocket_zone name:size;`
fn websocket_zone(cf: &mut Conf, conf: &mut MainConf) -> Outcome {
    if conf.zone.is_some() {
        return Err(Error::Directive(c"is duplicate"));
    }
    let args = cf.args()?;
    let word = args.first().map_or("", String::as_str);
    conf.zone = NonNull::new(zone::add(cf, word, (&raw mut ngx_http_websocket_module).cast())?);
    Ok(())
}

/// `websocket_metrics;`
fn websocket_metrics(cf: &mut Conf, _: &mut LocationConf) -> Outcome {
    tell(cf, "websocket_metrics", status::on_metrics)
}

/// `websocket_status;`
fn websocket_status(cf: &mut Conf, conf: &mut LocationConf) -> Outcome {
    let environment = cf.read(|env| Ok::<_, Vec<_>>(crate::settings::in_effect(env)));
    conf.environment = environment.unwrap_or_default();
    tell(cf, "websocket_status", status::on_status)
}

fn tell(cf: &mut Conf, directive: &'static str, handler: PhaseHandler) -> Outcome {
    if let Some(main) = Module::main_conf_mut(cf) {
        main.told_by.get_or_insert(directive);
    }
    status::answer_with(cf, handler)
}

/// Number of the newest configuration.
pub fn newest_generation() -> u64 {
    drain::newest()
}

/// The settings that hold where a request is answered, by name.
pub fn settings_of(r: &ngx_http_request_t) -> Vec<(String, String)> {
    let Some(conf) = Module::location_conf(r) else { return Vec::new() };
    let mut all = conf.environment.clone();
    all.extend(conf.in_words());
    all
}

fn once<T>(slot: &mut Option<T>, value: T) -> Outcome {
    if slot.is_some() {
        return Err(Error::Directive(c"is duplicate"));
    }
    *slot = Some(value);
    Ok(())
}

fn set_time(cf: &mut Conf, slot: &mut Option<u64>) -> Outcome {
    let args = cf.args()?;
    let value = time_or_off(cf, args.first())?;
    once(slot, value)
}

/// The longest drain of all locations with tunnels, of a configuration that is read and merged.
pub fn longest_drain(cf: &Conf) -> Option<drain::Times> {
    Module::location_conf(cf).and_then(|http| http.longest.get())
}

static mut NEXT_HEADER_FILTER: ngx_http_output_header_filter_pt = None;

unsafe extern "C" fn header_filter(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a live request; set in postconfiguration
    let (request, next) = unsafe { (&*r, NEXT_HEADER_FILTER) };
    let Some(next) = next else { return NGX_ERROR as _ };
    let conf = match handshake::is_upgrade(request) {
        true => Module::location_conf(request).filter(|conf| conf.tunnel),
        false => None,
    };
    match conf {
        Some(_) => handshake::count_time(request),
        None => handshake::count_refused(request),
    }
    // SAFETY: the next filter of nginx's chain
    let rc = unsafe { next(r) };
    if let Some(conf) = conf.filter(|_| rc != NGX_ERROR as ngx_int_t && rc <= NGX_OK as ngx_int_t) {
        // SAFETY: a request whose answer is an upgrade has an upstream
        let fit = unsafe { handshake::check(&*r, &*(*r).upstream) };
        match fit {
            // SAFETY: checked
            Ok(()) => unsafe {
                detach::prepare(r, conf);
            },
            Err(why) => {
                handshake::leave(request, why);
                // SAFETY: live, and nobody else holds its context
                unsafe { RequestContext::note(r, Fate::Left(why)) };
            }
        }
    }
    rc
}

/// What this module keeps of a request; it goes with the request's pool.
#[derive(Default)]
struct RequestContext {
    handover: Option<NonNull<detach::Handover>>,
    hold: Option<limit::Hold>,
    fate: Option<Fate>,
}

/// What became of an upgrade.
#[derive(Clone, Copy)]
enum Fate {
    /// It is a tunnel of this module.
    Tunnelled,
    /// nginx's own copier has it.
    Left(Left),
}

impl Fate {
    /// As one word, for `$websocket_state`.
    fn word(self) -> String {
        match self {
            Self::Tunnelled => "tunnelled".to_owned(),
            Self::Left(why) => format!("left_{}", why.as_str()),
        }
    }
}

impl RequestContext {
    /// The context of a request, made where there is none.
    ///
    /// # Safety
    /// `r` is live, and nobody else holds its context.
    unsafe fn of<'a>(r: *mut ngx_http_request_t) -> Option<&'a mut Self> {
        // SAFETY: nginx makes the array with a slot for every HTTP module; the slot holds null or
        // what is made here, in the pool of the same request
        unsafe {
            let slot = (*r).ctx.add(Module::module().ctx_index);
            if (*slot).is_null() {
                *slot = Self::find(r).unwrap_or_else(|| Self::make(r)).cast();
            }
            (*slot).cast::<Self>().as_mut()
        }
    }

    /// Notes what became of the upgrade of a request.
    ///
    /// # Safety
    /// As `of`.
    unsafe fn note(r: *mut ngx_http_request_t, fate: Fate) {
        // SAFETY: by contract
        unsafe {
            // the context of a subrequest is that of its main request
            if !std::ptr::eq(r, (*r).main) {
                return;
            }
            if let Some(context) = Self::of(r) {
                context.fate = Some(fate);
            }
        }
    }

    /// What became of the upgrade of a request, if it was one.
    fn fate(r: &ngx_http_request_t) -> Option<Fate> {
        // SAFETY: the slot holds null or a context, see `of`; what is read of it is copied
        unsafe {
            let slot = *r.ctx.add(Module::module().ctx_index);
            slot.cast::<Self>().as_ref()?.fate
        }
    }

    /// An internal redirect forgets the contexts of a request, but not its cleanups
    /// (`ngx_http_realip_get_module_ctx`).
    ///
    /// # Safety
    /// `r` is live.
    unsafe fn find(r: *mut ngx_http_request_t) -> Option<*mut Self> {
        let ours: unsafe extern "C" fn(*mut c_void) = drop_context;
        // SAFETY: by contract; each link is null or a cleanup of the pool
        unsafe {
            let mut cleanup = (*(*r).pool).cleanup;
            while let Some(link) = cleanup.as_ref() {
                if link.handler.is_some_and(|handler| std::ptr::fn_addr_eq(handler, ours)) {
                    return Some(link.data.cast());
                }
                cleanup = link.next;
            }
        }
        None
    }

    /// # Safety
    /// `r` is live.
    unsafe fn make(r: *mut ngx_http_request_t) -> *mut Self {
        // SAFETY: by contract; the cleanup's data has room for a context
        unsafe {
            let cleanup = ngx_pool_cleanup_add((*r).pool, size_of::<Self>());
            if cleanup.is_null() {
                return null_mut();
            }
            let context = (*cleanup).data.cast::<Self>();
            context.write(Self::default());
            (*cleanup).handler = Some(drop_context);
            context
        }
    }
}

unsafe extern "C" fn drop_context(data: *mut c_void) {
    // SAFETY: the data of a cleanup that `RequestContext::make` has added; called once
    unsafe { data.cast::<RequestContext>().drop_in_place() };
}

/// Counts a handshake before it goes to the destination.
unsafe extern "C" fn on_preaccess(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes the request that it works on
    let request = unsafe { &mut *r };
    let limit = Module::location_conf(request).and_then(|conf| conf.limit);
    let Some(limit) = limit.filter(|_| handshake::is_asked_for(request)) else {
        return NGX_DECLINED as _;
    };
    // SAFETY: live, and the context is held here alone
    let Some(context) = (unsafe { RequestContext::of(r) }) else { return NGX_ERROR as _ };
    if context.hold.is_some() {
        // it is counted; an internal redirect brought it here again
        return NGX_DECLINED as _;
    }
    match limit.take(request) {
        Ok(hold) => {
            context.hold = hold;
            NGX_DECLINED as _
        }
        Err(refused) => {
            zone::slot().counts.refuse(RefusedBy::Limit);
            let why = match refused {
                Refused::Limit => "its key has as many as it may have",
                Refused::Full => "there is no room to count its key",
            };
            // SAFETY: a live request has a connection with a log
            let log = unsafe { (*request.connection).log };
            ngx::ngx_log_error!(NGX_LOG_ERR, log, "WebSocket refused: {why}");
            limit.status
        }
    }
}

unsafe extern "C" fn init_module(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx passes the new cycle
    drain::raise_generation(unsafe { (*cycle).log });
    NGX_OK as _
}

unsafe extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx calls it before the process serves, with its cycle
    unsafe {
        worker::Worker::init(cycle);
        let zone = Module::main_conf(&*cycle).and_then(|conf| conf.zone);
        zone::enter(zone.map_or(null_mut(), NonNull::as_ptr), drain::own(), (*cycle).log);
    }
    NGX_OK as _
}

unsafe extern "C" fn exit_process(_: *mut ngx_cycle_t) {
    // a worker without tunnels has not been asked yet
    drain::why();
    // SAFETY: the process serves no longer
    unsafe { tunnel::finish_all() };
    zone::leave();
}
