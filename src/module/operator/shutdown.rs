//! `elb_shutdown_timeout`: ends ordinary requests that are still active when their worker exits.
//! `worker_shutdown_timeout` is not suitable: it closes WebSockets too, which have their own drain.

use std::cell::{Cell, RefCell};

use nginx::clients::end_requests;
use nginx::cycle::Cycle;
use nginx::lifecycle::{self, Leaving};
use nginx::process::{role, Role};
use nginx::timer::Timer;

use super::{MainConf, Operator};
use crate::module::elb::Elb;
use crate::module::environment::directive::{
    invalid, time_in_words, time_or_off, Conf, Error, Outcome,
};
use crate::module::websocket::is_tunnel;

/// How long requests may continue, in milliseconds; 0 for no limit.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When nginx stops.
    pub stop: u64,
    /// After a reload.
    pub reload: u64,
}

/// The default of `reload=`.
const RELOAD: u64 = 60_000;

/// `elb_shutdown_timeout time | off [reload=time | reload=off];`
pub fn elb_shutdown_timeout(cf: &mut Conf, main: &mut MainConf) -> Outcome {
    if main.shutdown.is_some() {
        return Err(Error::DUPLICATE);
    }
    let args = cf.args()?;
    let stop = time_or_off(cf, args.first())?;
    let reload = match args.get(1) {
        None => RELOAD,
        Some(word) => {
            let value = word.strip_prefix("reload=").map(str::to_owned);
            let value =
                value.ok_or_else(|| invalid(cf, word, "\"reload=\" with a time or \"off\""))?;
            time_or_off(cf, Some(&value))?
        }
    };
    main.shutdown = Some(Times { stop, reload });
    Ok(())
}

thread_local! {
    /// The times in the configuration of this worker.
    static TIMES: Cell<Option<Times>> = const { Cell::new(None) };
    /// Expires when the time is over.
    static TIMER: RefCell<Option<Timer>> = const { RefCell::new(None) };
}

/// Makes this worker end its requests in time. To be called when the process starts.
pub fn start(cycle: Cycle) {
    // a single process exits at once, and cache processes have no requests
    if !matches!(role(), Role::Worker(_)) {
        return;
    }
    let Some(times) = cycle.main::<Operator>().and_then(|main| main.shutdown) else { return };
    TIMES.set(Some(times));
    TIMER.set(Some(Timer::new(on_time)));
    lifecycle::on_stop(|| set_timer(Leaving::Stopping));
    if !lifecycle::on_leaving(cycle, set_timer) {
        cycle.log().error(
            "\"elb_shutdown_timeout\" has no effect in this worker, which has no free connection or \
             file descriptor for it: raise \"worker_connections\" or the limit of open files",
        );
    }
}

/// Sets the timer, unless it expires early enough already.
fn set_timer(why: Leaving) {
    let time = TIMES.get().map_or(0, |times| match why {
        Leaving::Stopping => times.stop,
        Leaving::Superseded => times.reload,
    });
    if time > 0 {
        TIMER.with_borrow(|timer| timer.iter().for_each(|timer| timer.set_to_fire_by(time)));
    }
}

fn on_time() {
    let ended = end_requests::<Elb>(is_tunnel);
    let (why, time) = match (lifecycle::why(), TIMES.get()) {
        (Leaving::Superseded, Some(times)) => ("a reload", times.reload),
        (_, times) => ("the stop", times.map_or(0, |times| times.stop)),
    };
    let what = match ended {
        0 => return,
        1 => "connection",
        _ => "connections",
    };
    nginx::log::running(|log| {
        log.warn(format_args!(
            "{ended} client {what} with requests closed {} after {why}: raise \
             \"elb_shutdown_timeout\" if requests need longer",
            time_in_words(time)
        ));
    });
}
