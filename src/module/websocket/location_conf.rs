//! The configuration of the `websocket_*` directives at each level, and merged.

use std::cell::Cell;
use std::rc::Rc;

use nginx::module::Merge;
use nginx::zone::Exclusive;
use websocket_tunnel::SessionSettings;

use super::{drain, limit, log};
use crate::connection_limit::Memory;
use crate::module::counting::Slots;
use crate::module::environment::directive::time_in_words;

/// The main configuration.
#[derive(Default)]
pub struct MainConf {
    pub zone: Option<Slots>,
    /// The zone of `websocket_limit_conn`.
    pub limit_zone: Option<Exclusive<Memory>>,
}

/// The location configuration.
#[derive(Default)]
pub struct LocationConf {
    pub own: Own,
    pub tunnel: bool,
    /// The merged settings, for the tunnels of this location.
    pub shared: Rc<TunnelConf>,
    pub limit: Option<limit::Limit>,
    /// The longest drain of all locations with tunnels, shared by the whole configuration. Complete
    /// once everything is merged.
    pub longest: Rc<Cell<Option<drain::Times>>>,
}

/// The settings that tunnels use after their request is freed.
#[derive(Default)]
pub struct TunnelConf {
    pub settings: SessionSettings,
    pub drain: drain::Times,
    pub log: Option<log::Log>,
}

/// The settings of one level. Those that are not set are inherited.
#[derive(Default, Clone)]
pub struct Own {
    pub tunnel: Option<bool>,
    pub ping: Option<u64>,
    /// In general, and for Pongs of an upstream.
    pub pong_timeout: Option<(u64, u64)>,
    pub idle_timeout: Option<u64>,
    pub send_timeout: Option<u64>,
    pub max_age: Option<(u64, u8)>,
    pub drain: Option<drain::Times>,
    pub log: Option<Option<log::Log>>,
    pub limit: Option<Option<limit::Limit>>,
}

impl Merge for LocationConf {
    fn merge(&mut self, prev: &Self) {
        let longest = &prev.longest;
        let (own, prev) = (&mut self.own, &prev.own);
        own.tunnel = own.tunnel.or(prev.tunnel);
        own.ping = own.ping.or(prev.ping);
        own.pong_timeout = own.pong_timeout.or(prev.pong_timeout);
        own.idle_timeout = own.idle_timeout.or(prev.idle_timeout);
        own.send_timeout = own.send_timeout.or(prev.send_timeout);
        own.max_age = own.max_age.or(prev.max_age);
        own.drain = own.drain.or(prev.drain);
        own.log = own.log.take().or_else(|| prev.log.clone());
        own.limit = own.limit.take().or_else(|| prev.limit.clone());

        self.tunnel = own.tunnel.unwrap_or(false);
        self.limit = own.limit.clone().flatten();
        self.longest = Rc::clone(longest);
        let drain = own.drain.unwrap_or_default();
        if self.tunnel && drain.longest() > longest.get().and_then(|times| times.longest()) {
            longest.set(Some(drain));
        }
        let log = own.log.clone().flatten();
        self.shared = Rc::new(TunnelConf { settings: own.settings(drain), drain, log });
    }
}

impl Own {
    /// The settings of a session.
    fn settings(&self, drain: drain::Times) -> SessionSettings {
        let (pong_timeout, destination_pong_timeout) = self.pong_timeout.unwrap_or((10_000, 0));
        let (max_age, max_age_jitter) = self.max_age.unwrap_or((0, 10));
        SessionSettings {
            ping: self.ping.unwrap_or(25_000),
            pong_timeout,
            destination_pong_timeout,
            idle_timeout: self.idle_timeout.unwrap_or(0),
            send_timeout: self.send_timeout.unwrap_or(60_000),
            max_age,
            max_age_jitter,
            close_code: drain::GOING_AWAY,
            grace: drain.grace,
            handshake: drain.handshake,
            ..SessionSettings::default()
        }
    }
}

impl LocationConf {
    /// The settings of this location, in the notation of the directives.
    pub fn in_words(&self) -> Vec<(String, String)> {
        let TunnelConf { settings, drain, log } = &*self.shared;
        let SessionSettings { ping, idle_timeout, send_timeout, max_age, .. } = *settings;
        let SessionSettings { pong_timeout, destination_pong_timeout, .. } = *settings;
        let [pong_timeout, destination] = [pong_timeout, destination_pong_timeout].map(in_words);
        let max_age = match max_age {
            0 => "off".to_owned(),
            age => format!("{} jitter={}%", in_words(age), settings.max_age_jitter),
        };
        let drain = match drain.stop {
            None => "off".to_owned(),
            Some(stop) => {
                let drain::Times { reload, grace, handshake, .. } = *drain;
                let [stop, reload, grace, handshake] =
                    [stop, reload, grace, handshake].map(time_in_words);
                format!("{stop} reload={reload} grace={grace} handshake={handshake}")
            }
        };
        let on_off = |on| if on { "on" } else { "off" }.to_owned();
        [
            ("websocket_tunnel", on_off(self.tunnel)),
            ("websocket_ping", in_words(ping)),
            ("websocket_pong_timeout", format!("{pong_timeout} destination={destination}")),
            ("websocket_idle_timeout", in_words(idle_timeout)),
            ("websocket_send_timeout", in_words(send_timeout)),
            ("websocket_max_age", max_age),
            ("websocket_drain", drain),
            ("websocket_log", on_off(log.is_some())),
            (
                "websocket_limit_conn",
                self.limit.as_ref().map_or("off".to_owned(), limit::Limit::most),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

/// A time in milliseconds, in nginx's notation; `off` for 0.
fn in_words(time: u64) -> String {
    if time == 0 {
        "off".to_owned()
    } else {
        time_in_words(time)
    }
}
