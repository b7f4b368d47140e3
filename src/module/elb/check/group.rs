//! The checked peers of one upstream block, and when they are checked.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use nginx::block::Block;
use nginx::guard::guarded;
use nginx::log::{self, Level, QuietLog};
use nginx::peers::{Address, Peer};
use nginx::process::{is_exiting, now};
use nginx::random::Random;
use nginx::timer::Timer;

use super::marks;
use super::probe::{Begin, Probe, Step};
use crate::active_check::{request, CheckSettings, Failure, State};

/// How often the peers are scanned for new ones, in milliseconds: nginx adds and removes peers when
/// names are resolved again.
const SCAN: u64 = 250;

/// All checks of an upstream block. Dropping it ends them.
pub struct Group {
    _scan: Rc<Scan>,
}

/// What the checks of a block share.
struct Common {
    block: Block,
    settings: CheckSettings,
    /// For nginx's own messages about connections: drops those about failures that a check expects.
    quiet: QuietLog,
    random: RefCell<Random>,
}

/// Scans the peers.
struct Scan {
    common: Rc<Common>,
    timer: Timer,
    targets: RefCell<Vec<Rc<Target>>>,
    /// The addresses with an established result, until the first scan.
    known: Cell<Vec<Address>>,
}

/// A checked peer.
struct Target {
    common: Rc<Common>,
    address: Address,
    /// The address as text.
    name: String,
    /// As configured.
    server: String,
    state: Cell<State>,
    timer: Timer,
    course: RefCell<Course>,
    own: Weak<Self>,
}

/// The progress of the checks of a peer.
struct Course {
    /// The number of checks started.
    done: u64,
    /// When the latest one started, on nginx's clock in milliseconds.
    started: u64,
    probe: Option<Probe>,
}

impl Group {
    /// Starts checking.
    pub fn start(block: Block, settings: CheckSettings, known: Vec<Address>) -> Self {
        let (quiet, random) = (QuietLog::new(), RefCell::default());
        let common = Common { block, settings, quiet, random };
        let scan = Rc::new_cyclic(|scan: &Weak<Scan>| {
            let scan = scan.clone();
            Scan {
                common: Rc::new(common),
                timer: Timer::new(move || {
                    if let Some(scan) = scan.upgrade() {
                        scan.on_time();
                    }
                }),
                targets: RefCell::default(),
                known: Cell::new(known),
            }
        });
        scan.timer.set(1);
        Self { _scan: scan }
    }
}

impl Scan {
    fn on_time(&self) {
        // another worker checks now
        if is_exiting() {
            return;
        }
        guarded((), || self.look_through());
        self.timer.set(SCAN);
    }

    /// Adds targets for new peers and removes those whose peers are gone. A new peer with a known
    /// address gets the mark of that address.
    fn look_through(&self) {
        let (mut targets, known) = (self.targets.borrow_mut(), self.known.take());
        let mut seen = vec![false; targets.len()];
        let mut new: Vec<Rc<Target>> = Vec::new();
        self.common.block.change(|peer| {
            if peer.is_taken_out() {
                return;
            }
            if let Some(index) = targets.iter().position(|target| target.address.is_of(&peer)) {
                seen[index] = true;
                if let Some(up) = targets[index].state.get().up() {
                    peer.mark(up);
                }
            } else if !new.iter().any(|target| target.address.is_of(&peer)) {
                let is_known = peer.is_marked() || known.iter().any(|known| known.is_of(&peer));
                let state = is_known.then(|| State::known(!peer.is_marked()));
                new.push(Target::new(&self.common, &peer, state.unwrap_or_default()));
            }
        });
        let mut seen = seen.into_iter();
        targets.retain(|_| seen.next().unwrap_or(true));
        for target in new {
            target.wait(&target.course.borrow());
            targets.push(target);
        }
    }
}

impl Target {
    fn new(common: &Rc<Common>, peer: &Peer, state: State) -> Rc<Self> {
        Rc::new_cyclic(|own| Self {
            common: Rc::clone(common),
            address: peer.address(),
            name: peer.name(),
            server: peer.server(),
            state: Cell::new(state),
            timer: Timer::new(Self::caller(own, Self::check)),
            course: RefCell::new(Course { done: 0, started: now(), probe: None }),
            own: own.clone(),
        })
    }

    /// A function that calls `work` on a target if it still exists. If `work` panics, only this
    /// check is lost.
    fn caller(own: &Weak<Self>, work: fn(&Self, &mut Course)) -> impl FnMut() + 'static {
        let own = own.clone();
        move || {
            let Some(target) = own.upgrade() else { return };
            let done = guarded(false, || {
                work(&target, &mut target.course.borrow_mut());
                true
            });
            if !done {
                target.timer.set(target.common.settings.interval);
            }
        }
    }

    /// Sets the timer for the next check.
    fn wait(&self, course: &Course) {
        let random = self.common.random.borrow_mut().next_u64();
        let at = course.started + self.common.settings.delay(course.done, random);
        self.timer.set(at.saturating_sub(now()));
    }

    /// Starts a check.
    fn check(&self, course: &mut Course) {
        // another worker checks now
        if is_exiting() {
            return;
        }
        // the previous one, if its response has not ended
        course.probe = None;
        course.started = now();
        course.done += 1;
        let settings = &self.common.settings;
        let request = request(settings, &self.server).into_bytes();
        let until = course.started + settings.timeout;
        let on_event = Self::caller(&self.own, Self::on_event);
        match Probe::begin(&self.address, request, until, &self.common.quiet, on_event) {
            Begin::Pending(probe) => {
                course.probe = Some(probe);
                // the connection may be established already
                self.go_on(course);
            }
            Begin::Failed(failure) => self.finish(course, Err(failure)),
            Begin::Unable => self.wait(course),
        }
    }

    fn go_on(&self, course: &mut Course) {
        while let Some(probe) = &mut course.probe {
            match probe.step(&self.common.settings) {
                Step::Wait => return,
                Step::Over => course.probe = None,
                Step::Result(result) => {
                    if !probe.is_decided() {
                        course.probe = None;
                    }
                    self.finish(course, result);
                }
            }
        }
    }

    fn on_event(&self, course: &mut Course) {
        let Some(probe) = &course.probe else { return };
        if probe.is_called_off() {
            course.probe = None;
        } else if probe.is_late() {
            let decided = probe.is_decided();
            course.probe = None;
            if !decided {
                self.finish(course, Err(Failure::Timeout(self.common.settings.timeout)));
            }
        } else {
            self.go_on(course);
        }
    }

    /// Records a result, marks the peer for all workers and sets the timer for the next check.
    fn finish(&self, course: &Course, result: Result<(), Failure>) {
        if let Err(failure) = &result {
            self.report(Level::Info, &format!("fails a check: {failure}"));
        }
        let mut state = self.state.get();
        state.record(result.is_ok(), &self.common.settings);
        self.state.set(state);
        let up = state.up() != Some(false);
        let changed = marks::set(&self.common.block, &[(self.address.clone(), up)]);
        match (&result, changed) {
            (Err(failure), true) => self.report(Level::Warn, &format!("is down: {failure}")),
            (Ok(()), true) => self.report(Level::Notice, "is up"),
            _ => {}
        }
        self.wait(course);
    }

    fn report(&self, level: Level, what: &str) {
        let (Self { name, server, .. }, block) = (self, self.common.block.name());
        let server = if server == name { String::new() } else { format!(" (\"{server}\")") };
        let message = format_args!("destination {name}{server} of upstream \"{block}\" {what}");
        log::running(|log| log.write(level, message));
    }
}
