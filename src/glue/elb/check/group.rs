//! The destinations of one upstream block that are checked, and when.

use std::mem::zeroed;

use ngx::ffi::{
    ngx_connection_t, ngx_current_msec, ngx_event_handler_pt, ngx_event_t, ngx_exiting,
    ngx_http_upstream_srv_conf_t, ngx_log_t, NGX_LOG_ALERT, NGX_LOG_INFO, NGX_LOG_NOTICE,
    NGX_LOG_WARN,
};

use super::probe::{Begin, Probe, Step};
use super::{mark, Address};
use crate::check::{request, Failure, Settings, State};
use crate::glue::elb::peers::{for_each, text, DOWN_BY_CHECK, DOWN_BY_CONFIGURATION};
use nginx::bits::Bits;
use nginx::event::{ngx_add_timer, ngx_del_timer};
use nginx::guard::guarded;
use nginx::random::Random;

/// How often the peers are looked through for new ones, in milliseconds: core adds and removes them
/// as names are looked up again.
const SCAN: u64 = 250;

/// All checks of an upstream block; they end when it is dropped.
pub struct Group(*mut Inner);

struct Inner {
    upstream: *mut ngx_http_upstream_srv_conf_t,
    settings: Settings,
    /// For what is told.
    log: *mut ngx_log_t,
    /// For nginx's own messages about connections, less those that a check expects to meet.
    quiet: ngx_log_t,
    random: Random,
    /// Addresses of which more than a first result is known, before the first scan.
    known: Vec<Address>,
    scan: ngx_event_t,
    targets: Vec<*mut Target>,
}

/// A destination.
struct Target {
    group: *mut Inner,
    address: Address,
    /// The address in words.
    name: String,
    /// As configured.
    server: String,
    state: State,
    /// Checks that were begun.
    done: u64,
    /// When the last one was, in nginx's milliseconds.
    started: u64,
    timer: ngx_event_t,
    probe: Option<Probe>,
}

fn now() -> u64 {
    // SAFETY: a global of nginx
    unsafe { ngx_current_msec as u64 }
}

/// Whether the worker leaves: another one checks now.
fn is_leaving() -> bool {
    // SAFETY: a global of nginx
    unsafe { ngx_exiting != 0 }
}

impl Group {
    /// Begins to check.
    ///
    /// # Safety
    /// `upstream` is initialized, its balancer is core's, and it and `log` outlive the group.
    pub unsafe fn start(
        upstream: *mut ngx_http_upstream_srv_conf_t,
        settings: Settings,
        known: Vec<Address>,
        log: *mut ngx_log_t,
    ) -> Self {
        // SAFETY: by contract
        let mut quiet = unsafe { *log };
        quiet.log_level = quiet.log_level.min(NGX_LOG_ALERT as usize);
        let inner = Box::into_raw(Box::new(Inner {
            upstream,
            settings,
            log,
            quiet,
            random: Random::default(),
            known,
            // SAFETY: all-zero is a valid event
            scan: unsafe { zeroed() },
            targets: Vec::new(),
        }));
        // SAFETY: just made, and it stays where it is until the group is dropped
        unsafe {
            set_up(&raw mut (*inner).scan, inner, Some(on_scan), log);
            ngx_add_timer(&raw mut (*inner).scan, 1);
        }
        Self(inner)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: made by Box::into_raw in `start`; no handler of it runs
        let mut inner = unsafe { Box::from_raw(self.0) };
        delete_timer(&mut inner.scan);
        for target in std::mem::take(&mut inner.targets) {
            // SAFETY: made by Box::into_raw in `add`, and forgotten here
            drop(unsafe { Box::from_raw(target) });
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        delete_timer(&mut self.timer);
    }
}

/// Sets up an event that is a timer only, and that no worker stays for.
///
/// # Safety
/// `event` is all-zero and stays where it is while its timer is set, as does `data`.
unsafe fn set_up<T>(
    event: *mut ngx_event_t,
    data: *mut T,
    handler: ngx_event_handler_pt,
    log: *mut ngx_log_t,
) {
    // SAFETY: by contract
    unsafe {
        (*event).handler = handler;
        (*event).data = data.cast();
        (*event).log = log;
        (*event).bits_mut().set_cancelable(1);
    }
}

fn delete_timer(event: &mut ngx_event_t) {
    if event.bits().timer_set() != 0 {
        // SAFETY: it is set
        unsafe { ngx_del_timer(event) };
    }
}

impl Inner {
    /// Adds targets for new peers and drops those whose peers are gone. A peer that comes back with
    /// an address that is known gets the mark that goes with it.
    fn scan(&mut self) {
        let mut seen = vec![false; self.targets.len()];
        let mut new: Vec<(Address, String, String, State)> = Vec::new();
        // SAFETY: by the contract of `Group::start`; a peer lives while it is locked, and targets
        // until they are removed here
        unsafe {
            for_each(&*self.upstream, |_, locked, peer| {
                if (*peer).down & DOWN_BY_CONFIGURATION != 0 {
                    return;
                }
                let is_it = |target: &*mut Target| (**target).address.is_of(peer);
                if let Some(index) = self.targets.iter().position(is_it) {
                    seen[index] = true;
                    if let Some(up) = (*self.targets[index]).state.up() {
                        locked.mark(peer, up);
                    }
                } else if !new.iter().any(|(address, ..)| address.is_of(peer)) {
                    let is_down = (*peer).down & DOWN_BY_CHECK != 0;
                    let is_known = self.known.iter().any(|address| address.is_of(peer));
                    let state = match is_down || is_known {
                        true => State::known(!is_down),
                        false => State::default(),
                    };
                    let (name, server) = (text(&(*peer).name), text(&(*peer).server));
                    new.push((Address::of(peer), name, server, state));
                }
            });
        }
        self.known = Vec::new();
        let mut seen = seen.into_iter();
        self.targets.retain(|target| {
            let stays = seen.next().unwrap_or(true);
            if !stays {
                // SAFETY: made by Box::into_raw in `add`; none of its handlers runs
                drop(unsafe { Box::from_raw(*target) });
            }
            stays
        });
        for (address, name, server, state) in new {
            self.add(address, name, server, state);
        }
    }

    fn add(&mut self, address: Address, name: String, server: String, state: State) {
        let target = Box::into_raw(Box::new(Target {
            group: self,
            address,
            name,
            server,
            state,
            done: 0,
            started: now(),
            // SAFETY: all-zero is a valid event
            timer: unsafe { zeroed() },
            probe: None,
        }));
        self.targets.push(target);
        // SAFETY: just made, and it stays where it is until it is dropped, with its timer
        unsafe {
            set_up(&raw mut (*target).timer, target, Some(on_timer), self.log);
            (*target).wait(&self.settings, &mut self.random);
        }
    }
}

impl Target {
    /// Sets the timer for the next check.
    fn wait(&mut self, settings: &Settings, random: &mut Random) {
        let at = self.started + settings.delay(self.done, random.next_u64());
        // SAFETY: set up in `Inner::add`
        unsafe { ngx_add_timer(&raw mut self.timer, at.saturating_sub(now()) as usize) };
    }

    /// Begins a check.
    fn check(&mut self, group: &mut Inner) {
        // one whose answer did not end
        self.probe = None;
        self.started = now();
        self.done += 1;
        let request = request(&group.settings, &self.server).into_bytes();
        let (until, quiet) = (self.started + group.settings.timeout, &raw mut group.quiet);
        // SAFETY: the group outlives its targets
        let begun = unsafe {
            let data = (&raw mut *self).cast();
            Probe::begin(&self.address, request, until, quiet, data, Some(on_event))
        };
        match begun {
            Begin::Pending(probe) => {
                self.probe = Some(probe);
                // it may have connected at once
                self.go_on(group);
            }
            Begin::Failed(failure) => self.finish(group, Err(failure)),
            Begin::Unable => self.wait(&group.settings, &mut group.random),
        }
    }

    fn go_on(&mut self, group: &mut Inner) {
        while let Some(probe) = &mut self.probe {
            match probe.step(&group.settings) {
                Step::Wait => return,
                Step::Over => self.probe = None,
                Step::Result(result) => {
                    if !probe.is_decided() {
                        self.probe = None;
                    }
                    self.finish(group, result);
                }
            }
        }
    }

    fn on_event(&mut self, group: &mut Inner) {
        let Some(probe) = &self.probe else { return };
        if probe.connection().take_close().is_some() {
            self.probe = None;
        } else if probe.connection().take_timeout() {
            let decided = probe.is_decided();
            self.probe = None;
            if !decided {
                self.finish(group, Err(Failure::Timeout(group.settings.timeout)));
            }
        } else {
            self.go_on(group);
        }
    }

    /// Takes a result in, tells all workers and sets the timer for the next check.
    fn finish(&mut self, group: &mut Inner, result: Result<(), Failure>) {
        if let Err(failure) = &result {
            self.tell(group, NGX_LOG_INFO, &format!("fails a check: {failure}"));
        }
        self.state.record(result.is_ok(), &group.settings);
        let up = self.state.up() != Some(false);
        // SAFETY: by the contract of `Group::start`
        let changed = unsafe { mark(&*group.upstream, &[(self.address.clone(), up)]) };
        match (&result, changed) {
            (Err(failure), true) => {
                self.tell(group, NGX_LOG_WARN, &format!("is down: {failure}"));
            }
            (Ok(()), true) => self.tell(group, NGX_LOG_NOTICE, "is up"),
            _ => {}
        }
        self.wait(&group.settings, &mut group.random);
    }

    fn tell(&self, group: &Inner, level: u32, what: &str) {
        let Self { name, server, .. } = self;
        // SAFETY: by the contract of `Group::start`
        let host = unsafe { &(*group.upstream).host };
        let server = if server == name { String::new() } else { format!(" (\"{server}\")") };
        let log = group.log;
        ngx::ngx_log_error!(level, log, "destination {name}{server} of upstream \"{host}\" {what}");
    }
}

/// Works on a target. Where that panics, its check is lost, and not those after it.
///
/// # Safety
/// `target` and its group are live, and nobody else holds them.
unsafe fn work_on(target: *mut Target, work: impl FnOnce(&mut Target, &mut Inner)) {
    // SAFETY: by contract
    let done = guarded(false, || unsafe {
        work(&mut *target, &mut *(*target).group);
        true
    });
    if !done {
        // SAFETY: as above; the timer was set up in `Inner::add`
        unsafe {
            let interval = (*(*target).group).settings.interval;
            ngx_add_timer(&raw mut (*target).timer, interval as usize);
        }
    }
}

unsafe extern "C" fn on_scan(ev: *mut ngx_event_t) {
    guarded((), || {
        if is_leaving() {
            return;
        }
        // SAFETY: nginx passes the event of `Group::start`, whose data is the group; nobody else
        // holds it, since nginx calls one handler at a time
        guarded((), || unsafe { (*(*ev).data.cast::<Inner>()).scan() });
        // SAFETY: as above
        unsafe { ngx_add_timer(ev, SCAN as usize) };
    })
}

unsafe extern "C" fn on_timer(ev: *mut ngx_event_t) {
    guarded((), || {
        if !is_leaving() {
            // SAFETY: nginx passes the event of `Inner::add`, whose data is the target; as above
            unsafe { work_on((*ev).data.cast(), Target::check) };
        }
    })
}

unsafe extern "C" fn on_event(ev: *mut ngx_event_t) {
    guarded((), || {
        // SAFETY: nginx passes an event of a connection of a probe: its data is the connection,
        // whose data is the target; as above
        unsafe {
            let c = (*ev).data.cast::<ngx_connection_t>();
            work_on((*c).data.cast(), Target::on_event);
        }
    })
}
