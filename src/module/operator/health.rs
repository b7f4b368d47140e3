//! Whether the instance should get traffic: `elb_drain_file`, and the answer to a readiness check.

use std::cell::Cell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use nginx::lifecycle::{self, Leaving};
use nginx::log::Log;
use nginx::process::{is_asked_to_leave, now};
use nginx::request::Request;

use super::{Operator, ServerConf};
use crate::metrics::Health;
use crate::module::elb;
use crate::module::environment::directive::{
    invalid, time, time_in_words, Conf, Error, Outcome, Place,
};
use crate::module::websocket::drain::Times;
use crate::module::websocket::longest_drain;

/// How long a worker trusts its last look at the file, in milliseconds.
const BELIEVED: u64 = 1_000;

/// The drain file of `elb_drain_file`, shared by all servers.
pub struct DrainFile {
    path: PathBuf,
    /// How long nginx continues after the file is created, in milliseconds. Whoever creates the
    /// file waits that long before stopping nginx.
    delay: u64,
    /// The time from the request to stop until nginx is killed, in milliseconds.
    stop_timeout: Option<u64>,
    place: Place,
    seen: Cell<Seen>,
}

/// What a worker has found when it looked for the file.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// When, on nginx's clock in milliseconds; `None` before the first time.
    at: Option<u64>,
    exists: bool,
    /// Why the file could not be checked.
    error: Option<io::ErrorKind>,
}

/// `elb_drain_file path [delay=time] [stop_timeout=time];`
pub fn elb_drain_file(cf: &mut Conf, own: &mut ServerConf) -> Outcome {
    if own.drain_file.is_some() {
        return Err(Error::DUPLICATE);
    }
    let args = cf.args()?;
    let path = args.first().map_or("", String::as_str);
    if path.is_empty() {
        return Err(invalid(cf, path, "the path of a file"));
    }
    let (mut delay, mut stop_timeout) = (None, None);
    for word in &args[1..] {
        let (slot, value) = match word.split_once('=') {
            Some(("delay", value)) => (&mut delay, value),
            Some(("stop_timeout", value)) => (&mut stop_timeout, value),
            _ => return Err(invalid(cf, word, "\"delay=\" or \"stop_timeout=\" with a time")),
        };
        if slot.replace(time(cf, value)?).is_some() {
            return Err(Error::Message(format!(
                "\"{word}\" in \"elb_drain_file\" directive is duplicate"
            )));
        }
    }
    if stop_timeout == Some(0) {
        return Err(invalid(cf, "stop_timeout=0", "a time above 0"));
    }
    own.drain_file = Some(Rc::new(DrainFile {
        path: cf.full_path(path)?,
        delay: delay.unwrap_or(0),
        stop_timeout,
        place: cf.place()?,
        seen: Cell::default(),
    }));
    Ok(())
}

impl DrainFile {
    /// Whether the file exists. It is looked up once a second at most, whatever the number of
    /// health checks. On a local file system this does not block.
    fn exists(&self, now: u64, log: Log) -> bool {
        let last = self.seen.get();
        if last.at.is_some_and(|at| now.wrapping_sub(at) < BELIEVED) {
            return last.exists;
        }
        let (exists, error) = match self.path.try_exists() {
            Ok(exists) => (exists, None),
            Err(error) => (false, Some(error)),
        };
        let path = self.path.display();
        let kind = error.as_ref().map(io::Error::kind);
        if let Some(error) = error.filter(|_| kind != last.error) {
            log.error(format_args!("cannot check drain file \"{path}\": {error}"));
        }
        if exists && !last.exists {
            log.notice(format_args!(
                "draining: drain file \"{path}\" exists, remove it to end that"
            ));
        }
        if !exists && last.exists {
            log.notice(format_args!("no longer draining: drain file \"{path}\" was removed"));
        }
        self.seen.set(Seen { at: Some(now), exists, error: kind });
        exists
    }

    /// Warns if a stop takes longer than allowed. Called once everything is read.
    fn compare_times(&self, cf: &mut Conf) {
        let Some(stop_timeout) = self.stop_timeout else { return };
        let drain = longest_drain(cf).filter(|times| times.longest().is_some());
        let tunnels = drain.and_then(Times::longest).unwrap_or(0);
        let requests = cf.main::<Operator>().ok().and_then(|main| main.shutdown);
        let requests = requests.map_or(0, |times| times.stop);
        let sum = self.delay + tunnels.max(requests);
        if sum < stop_timeout {
            return;
        }
        let longest = match drain {
            Some(times) if tunnels >= requests => {
                let [stop, grace, handshake] =
                    [times.stop.unwrap_or(0), times.grace, times.handshake].map(time_in_words);
                format!(
                    " + {stop} of \"websocket_drain\" + its grace of {grace} and handshake of \
                     {handshake}"
                )
            }
            _ if requests > 0 => {
                format!(" + {} of \"elb_shutdown_timeout\"", time_in_words(requests))
            }
            _ => String::new(),
        };
        let (delay, timeout, sum) =
            (time_in_words(self.delay), time_in_words(stop_timeout), time_in_words(sum));
        cf.warn_at(
            &self.place,
            format_args!(
                "a stop takes up to {sum} (delay of {delay}{longest}), but what is left after \
                 stop_timeout={timeout} is killed: raise stop_timeout (STOP_TIMEOUT), and the \
                 platform's own with it, above {sum}"
            ),
        );
    }
}

/// Warns if a stop takes longer than allowed. To be called in `postconfiguration`, when everything
/// is merged.
pub fn compare_times(cf: &mut Conf) {
    let drain_file = cf.server::<Operator>().ok().and_then(|http| http.drain_file.clone());
    if let Some(drain_file) = drain_file {
        drain_file.compare_times(cf);
    }
}

/// The health of the instance, according to the configuration of the request's server.
pub fn health(request: &Request) -> Health {
    let drain_file = request.server::<Operator>().and_then(|server| server.drain_file.as_ref());
    if is_stopping() || drain_file.is_some_and(|file| file.exists(now(), request.log())) {
        return Health::Draining;
    }
    match elb::all_down(request) {
        true => Health::DestinationDown,
        false => Health::Ok,
    }
}

/// Whether nginx is stopping, as far as this worker knows. A worker that exits after a reload does
/// not affect the health of the instance.
fn is_stopping() -> bool {
    is_asked_to_leave() && lifecycle::why() == Leaving::Stopping
}
