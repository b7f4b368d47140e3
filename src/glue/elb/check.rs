//! `elb_check`: one worker asks each destination of an upstream block whether it is there, and all
//! workers skip those that are not.

use std::cell::{RefCell, UnsafeCell};

use nginx::cycle::Cycle;

use ngx::ffi::{
    ngx_http_upstream_rr_peer_t, ngx_http_upstream_srv_conf_t, ngx_process, ngx_worker,
    NGX_LOG_WARN, NGX_PROCESS_SINGLE, NGX_PROCESS_WORKER,
};
use ngx::http::{HttpModuleServerConf, NgxHttpUpstreamModule};

use super::destination::MainConf;
use super::peers::{for_each, is_found, look, look_soon, DOWN_BY_CHECK, DOWN_BY_CONFIGURATION};
use super::Elb;
use crate::check::{is_host, is_path, Settings, Statuses, Tally};
use crate::glue::conf::{invalid, time, time_or_off, Conf, Error, Outcome, Place};

mod connection;
mod group;
mod probe;

use group::Group;

/// `elb_check` of an upstream block.
pub struct Check {
    /// The block.
    pub upstream: *mut ngx_http_upstream_srv_conf_t,
    /// `None` where it says `off`.
    pub settings: Option<Settings>,
    /// Where it stands.
    pub place: Place,
    /// Addresses that the configuration before this one has checked; their peers have the marks.
    known: RefCell<Vec<Address>>,
}

/// The address of a peer: the bytes of its `sockaddr`. Peers come and go, so this and not a pointer
/// tells which one is meant.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Box<[u8]>);

impl Address {
    /// # Safety
    /// `peer` is live and locked.
    unsafe fn of(peer: *const ngx_http_upstream_rr_peer_t) -> Self {
        // SAFETY: by contract; core sees to the length
        Self(unsafe { sockaddr(peer) }.into())
    }

    /// # Safety
    /// As of [`Self::of`].
    unsafe fn is_of(&self, peer: *const ngx_http_upstream_rr_peer_t) -> bool {
        // SAFETY: as above
        *self.0 == *unsafe { sockaddr(peer) }
    }
}

/// # Safety
/// `peer` is live and locked for as long as the result is used.
unsafe fn sockaddr<'a>(peer: *const ngx_http_upstream_rr_peer_t) -> &'a [u8] {
    // SAFETY: by contract
    unsafe { std::slice::from_raw_parts((*peer).sockaddr.cast::<u8>(), (*peer).socklen as usize) }
}

/// `elb_check off | interval [timeout=time] [rise=number] [fall=number] [path=path]
/// [host=host] [status=statuses];`
pub fn elb_check(cf: &mut Conf, own: &mut MainConf) -> Outcome {
    // SAFETY: what nginx passed
    let upstream: *mut _ = NgxHttpUpstreamModule::server_conf_mut(unsafe { &*cf.as_ptr() })
        .ok_or_else(|| Error::Message("no upstream block".to_owned()))?;
    if own.checks.iter().any(|check| check.upstream == upstream) {
        return Err(Error::DUPLICATE);
    }
    let args = cf.args()?;
    let interval = time_or_off(cf, args.first())?;
    let mut settings = Settings { interval, ..Settings::default() };
    for word in args.iter().skip(1) {
        parameter(cf, &mut settings, word)?;
    }
    let settings = (interval > 0).then_some(settings);
    own.checks.push(Check { upstream, settings, place: cf.place()?, known: RefCell::default() });
    Ok(())
}

fn parameter(cf: &Conf, settings: &mut Settings, word: &str) -> Outcome {
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
        // empty where a variable is: a TCP connection
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

/// Whether some upstream block with `elb_check` is down, see [`Tally::is_down`].
pub fn all_down(main: &MainConf) -> bool {
    main.checks.iter().filter(|check| check.settings.is_some()).any(|check| {
        let mut tally = Tally::default();
        // SAFETY: the block lives in the same configuration as `main`; a peer while it is locked
        let has_peers = unsafe {
            look(&*check.upstream, |_, _, peer| match (*peer).down {
                down if down & DOWN_BY_CONFIGURATION != 0 => tally.out += 1,
                down if down & DOWN_BY_CHECK != 0 => tally.dead += 1,
                _ => tally.up += 1,
            })
        };
        has_peers && tally.is_down()
    })
}

/// Takes over what is known of destinations that the new configuration checks too, so that a dead
/// one gets no request after a reload and a live one is not judged by one check alone.
pub fn take_along(cycle: Cycle) {
    let log = cycle.log().as_ptr();
    if stop() {
        // a single process was reloaded
        ngx::ngx_log_error!(
            NGX_LOG_WARN,
            log,
            "destinations are no longer checked: nginx was reloaded with \"master_process off\", restart it"
        );
        return;
    }
    let (new, old) = (cycle.main::<Elb>(), cycle.old().and_then(Cycle::main::<Elb>));
    let (Some(new), Some(old)) = (new, old) else { return };
    for check in new.checks.iter().filter(|check| check.settings.is_some()) {
        let before = old.checks.iter().find(|before| {
            // SAFETY: each block lives as long as its configuration
            before.settings.is_some()
                && unsafe { (*before.upstream).host == (*check.upstream).host }
        });
        if let Some(before) = before {
            // SAFETY: nginx gives the memory of the old configuration back later
            let Some(states) = (unsafe { states(&*before.upstream) }) else {
                // SAFETY: as above
                let host = unsafe { &(*check.upstream).host };
                ngx::ngx_log_error!(
                    NGX_LOG_WARN,
                    log,
                    "destinations of upstream \"{host}\" are checked from scratch: their list \
                     from before the reload is locked, probably by a worker that died"
                );
                continue;
            };
            // SAFETY: initialized, with its zone
            unsafe { mark(&*check.upstream, &states) };
            check.known.replace(states.into_iter().map(|(address, _)| address).collect());
        }
    }
}

/// What the checks of a block have found out; `None` where its peers cannot be looked at.
///
/// # Safety
/// The block is initialized.
unsafe fn states(upstream: &ngx_http_upstream_srv_conf_t) -> Option<Vec<(Address, bool)>> {
    let mut found = Vec::new();
    // SAFETY: by contract; a peer lives while its list is locked
    let all = unsafe {
        look_soon(upstream, |peer| {
            if (*peer).down & DOWN_BY_CONFIGURATION == 0 {
                found.push((Address::of(peer), (*peer).down & DOWN_BY_CHECK == 0));
            }
        })
    };
    all.then_some(found)
}

/// Marks all peers with these addresses; whether that changes anything.
///
/// # Safety
/// As of [`states`].
unsafe fn mark(upstream: &ngx_http_upstream_srv_conf_t, states: &[(Address, bool)]) -> bool {
    let mut changed = false;
    // SAFETY: by contract; a peer lives while it is locked, and is one of the list
    unsafe {
        for_each(upstream, |_, locked, peer| {
            if (*peer).down & DOWN_BY_CONFIGURATION != 0 {
                return;
            }
            if let Some((_, up)) = states.iter().find(|(address, _)| address.is_of(peer)) {
                changed |= locked.mark(peer, *up);
            }
        });
    }
    changed
}

/// What this process checks, if it is the one that does.
struct Running(UnsafeCell<Vec<Group>>);

// SAFETY: a worker of nginx is one thread
unsafe impl Sync for Running {}

static RUNNING: Running = Running(UnsafeCell::new(Vec::new()));

/// Begins to check where this process is the one to do so: the first worker of a configuration,
/// and one that takes its place, or the only process.
pub fn start(cycle: Cycle) {
    // SAFETY: globals that nginx sets before
    let (process, number) = unsafe { (ngx_process as u32, ngx_worker) };
    if !(process == NGX_PROCESS_WORKER && number == 0 || process == NGX_PROCESS_SINGLE) {
        return;
    }
    let (log, main) = (cycle.log().as_ptr(), cycle.main::<Elb>());
    for check in main.iter().flat_map(|main| &main.checks) {
        let Some(settings) = &check.settings else { continue };
        // SAFETY: initialized, and it lives as long as the configuration
        let upstream = unsafe { &*check.upstream };
        if !is_found(upstream) {
            // it was told as the configuration was read
            continue;
        }
        // the master keeps them, for a worker that takes this one's place
        let known = check.known.borrow().clone();
        // SAFETY: the block and the log live as long as the process uses the configuration, and
        // `stop` comes before its end
        let group = unsafe { Group::start(check.upstream, settings.clone(), known, log) };
        // SAFETY: nobody else holds it
        unsafe { (*RUNNING.0.get()).push(group) };
    }
}

/// Ends all checks of this process; whether there were any.
pub fn stop() -> bool {
    // SAFETY: nobody else holds it
    let groups = std::mem::take(unsafe { &mut *RUNNING.0.get() });
    !groups.is_empty()
}
