//! The `websocket_*` directives.

use std::ffi::CStr;

use nginx::command::{Command, Handler};

use super::location_conf::{LocationConf, MainConf};
use super::{drain, limit, log, WebSocket};
use crate::module::counting;
use crate::module::environment::directive::{
    invalid, kind, time, time_or_off, Conf, Error, Outcome,
};
use crate::settings::paths::stream;
use crate::tunnel_log::Format;

/// The table of directives.
pub const COMMANDS: &[Command] = &[
    setting(c"websocket_tunnel", websocket_tunnel),
    setting(c"websocket_ping", websocket_ping),
    setting(c"websocket_pong_timeout", websocket_pong_timeout),
    setting(c"websocket_idle_timeout", websocket_idle_timeout),
    setting(c"websocket_send_timeout", websocket_send_timeout),
    setting(c"websocket_max_age", websocket_max_age),
    setting(c"websocket_drain", websocket_drain),
    setting(c"websocket_log", websocket_log),
    setting(c"websocket_limit_conn", websocket_limit_conn),
    Command::main::<WebSocket>(c"websocket_zone", kind(c"websocket_zone"), websocket_zone),
    Command::END,
];

/// An entry of the table with a handler for the location configuration.
const fn setting(name: &'static CStr, handler: Handler<LocationConf>) -> Command {
    Command::location::<WebSocket>(name, kind(name), handler)
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

/// `websocket_pong_timeout time | off [destination=time | destination=off];`
fn websocket_pong_timeout(cf: &mut Conf, conf: &mut LocationConf) -> Outcome {
    let args = cf.args()?;
    let general = time_or_off(cf, args.first())?;
    let destination = match args.get(1).map(|word| (word, word.strip_prefix("destination="))) {
        None => 0,
        Some((_, Some(value))) => time_or_off(cf, Some(&value.to_owned()))?,
        Some((word, None)) => {
            return Err(invalid(cf, word, "\"destination=\" with a time or \"off\""));
        }
    };
    once(&mut conf.own.pong_timeout, (general, destination))
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
        path => Some(log::Log::open(
            cf,
            stream(path).unwrap_or(path),
            format.unwrap_or(Format::Text),
            id,
        )?),
    };
    once(&mut conf.own.log, log)
}

/// `websocket_limit_conn key number | off [status=503 | status=429];`
fn websocket_limit_conn(cf: &mut Conf, conf: &mut LocationConf) -> Outcome {
    let args = cf.args()?;
    let [key, most, rest @ ..] = args.as_slice() else { return Err(Error::Logged) };
    let status = match rest.first().map(String::as_str) {
        None | Some("status=503") => 503,
        Some("status=429") => 429,
        Some(word) => return Err(invalid(cf, word, "\"status=503\" or \"status=429\"")),
    };
    let limit = match most.as_str() {
        "off" => None,
        most => match most.parse() {
            Ok(most) if most > 0 => {
                let limit = limit::Limit::new(cf, key, most, status)?;
                cf.main::<WebSocket>()?.limit_zone = Some(limit.zone());
                Some(limit)
            }
            _ => return Err(invalid(cf, most, "a number above 0 or \"off\"")),
        },
    };
    once(&mut conf.own.limit, limit)
}

/// `websocket_zone name:size;`
fn websocket_zone(cf: &mut Conf, conf: &mut MainConf) -> Outcome {
    if conf.zone.is_some() {
        return Err(Error::DUPLICATE);
    }
    let args = cf.args()?;
    let word = args.first().map_or("", String::as_str);
    conf.zone = Some(counting::add(cf, word)?);
    Ok(())
}

fn once<T>(slot: &mut Option<T>, value: T) -> Outcome {
    if slot.is_some() {
        return Err(Error::DUPLICATE);
    }
    *slot = Some(value);
    Ok(())
}

fn set_time(cf: &mut Conf, slot: &mut Option<u64>) -> Outcome {
    let args = cf.args()?;
    let value = time_or_off(cf, args.first())?;
    once(slot, value)
}
