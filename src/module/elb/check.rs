//! `elb_check`: one worker checks each peer of an upstream block, and all workers skip those that
//! fail.

use std::cell::RefCell;

use nginx::block::Block;
use nginx::log::Log;
use nginx::peers::Address;
use nginx::process::{role, Role};

use crate::active_check::{is_host, is_path, CheckSettings, Statuses};
use crate::module::environment::directive::{
    invalid, time, time_or_off, Conf, Error, Outcome, Place,
};

mod group;
mod marks;
mod probe;

use group::Group;

/// `elb_check` of an upstream block.
pub struct Check {
    /// The block.
    pub block: Block,
    /// `None` for `off`.
    pub settings: Option<CheckSettings>,
    /// The position of the directive.
    pub place: Place,
    /// The addresses that the previous configuration has checked. Their peers have the marks
    /// already.
    known: RefCell<Vec<Address>>,
}

impl Check {
    /// Whether the block is checked.
    pub fn is_on(&self) -> bool {
        self.settings.is_some()
    }
}

/// `elb_check off | interval [timeout=time] [rise=number] [fall=number] [path=path]
/// [host=host] [status=statuses];`
pub fn elb_check(cf: &mut Conf, checks: &mut Vec<Check>) -> Outcome {
    let block = cf.upstream_block()?;
    if checks.iter().any(|check| check.block == block) {
        return Err(Error::DUPLICATE);
    }
    let args = cf.args()?;
    let interval = time_or_off(cf, args.first())?;
    let mut settings = CheckSettings { interval, ..CheckSettings::default() };
    for word in args.iter().skip(1) {
        parameter(cf, &mut settings, word)?;
    }
    let settings = (interval > 0).then_some(settings);
    checks.push(Check { block, settings, place: cf.place()?, known: RefCell::default() });
    Ok(())
}

fn parameter(cf: &Conf, settings: &mut CheckSettings, word: &str) -> Outcome {
    match word.split_once('=') {
        Some(("timeout", value)) => {
            settings.timeout = match time(cf, value)? {
                0 => return Err(invalid(cf, word, "\"timeout=\" with a time above 0")),
                timeout => timeout,
            }
        }
        Some(("rise", value)) => settings.rise = count(cf, word, value)?,
        Some(("fall", value)) => settings.fall = count(cf, word, value)?,
        Some(("status", value)) => {
            settings.statuses =
                Statuses::parse(value).ok_or_else(|| invalid(cf, word, Statuses::EXPECTED))?;
        }
        // empty if its variable is: only the TCP connection is checked
        Some(("path", value)) if value.is_empty() || is_path(value) => {
            value.clone_into(&mut settings.path);
        }
        Some(("path", _)) => {
            return Err(invalid(
                cf,
                word,
                "\"path=\" with a path of visible characters that begins with \"/\" and has no #",
            ))
        }
        Some(("host", value)) if value.is_empty() || is_host(value) => {
            value.clone_into(&mut settings.host);
        }
        Some(("host", _)) => {
            return Err(invalid(
                cf,
                word,
                "\"host=\" with a host name or an IP address, and a port behind it if need be",
            ))
        }
        _ => return Err(invalid(
            cf,
            word,
            "\"timeout=\", \"rise=\", \"fall=\", \"path=\", \"host=\" or \"status=\" with a value",
        )),
    }
    Ok(())
}

fn count(cf: &Conf, word: &str, value: &str) -> Result<u32, Error> {
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    let number = value.parse().ok().filter(|number| digits && *number > 0);
    number.ok_or_else(|| {
        let (name, _) = word.split_once('=').unwrap_or_default();
        invalid(cf, word, &format!("\"{name}=\" with a number above 0"))
    })
}

/// Whether any upstream block with `elb_check` is down, see [`Availability::is_down`].
///
/// [`Availability::is_down`]: crate::active_check::Availability::is_down
pub fn all_down(checks: &[Check]) -> bool {
    let checked = checks.iter().filter(|check| check.is_on());
    checked.filter_map(|check| marks::tally(&check.block)).any(|tally| tally.is_down())
}

/// Copies results of the previous configuration for peers that the new one checks too, so that
/// after a reload a dead peer gets no request and a live one is not judged by a single check.
pub fn take_along(log: Log, new: &[Check], old: &[Check]) {
    if stop() {
        // a single process has been reloaded
        log.warn(
            "destinations are no longer checked: nginx was reloaded with \"master_process off\", \
             restart it",
        );
        return;
    }
    for check in new.iter().filter(|check| check.is_on()) {
        let name = check.block.name();
        let Some(before) = old.iter().find(|old| old.is_on() && old.block.name() == name) else {
            continue;
        };
        let Some(states) = marks::all(&before.block) else {
            log.warn(format_args!(
                "destinations of upstream \"{name}\" are checked from scratch: their list from \
                 before the reload is locked, probably by a worker that died"
            ));
            continue;
        };
        marks::set(&check.block, &states);
        check.known.replace(states.into_iter().map(|(address, _)| address).collect());
    }
}

thread_local! {
    /// The checks of this process, if it is the one that checks.
    static RUNNING: RefCell<Vec<Group>> = const { RefCell::new(Vec::new()) };
}

/// Starts checking if this process is the one to do so: the first worker of a configuration, its
/// replacement, or a single process.
pub fn start(checks: &[Check]) {
    if !matches!(role(), Role::Worker(0) | Role::Single) {
        return;
    }
    for check in checks {
        // if its peers are unknown, a warning was logged when the configuration was read
        let settings = check.settings.as_ref().filter(|_| check.block.has_peers());
        let Some(settings) = settings else { continue };
        // the master keeps the addresses for a worker that replaces this one
        let known = check.known.borrow().clone();
        let group = Group::start(check.block.clone(), settings.clone(), known);
        RUNNING.with_borrow_mut(|running| running.push(group));
    }
}

/// Ends all checks of this process. Returns whether there were any.
pub fn stop() -> bool {
    !RUNNING.take().is_empty()
}
