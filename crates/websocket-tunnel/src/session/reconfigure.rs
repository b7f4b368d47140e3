//! Other settings for a tunnel that is open.

use super::phase::{short, Moment, Phase, Plan};
use super::{Driver, End, Next, Session, SessionSettings};

/// The circumstances in which a session gets other settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// When the tunnel began, which its age counts from.
    pub began: u64,
    /// What time it is. The clock may be behind that of the process that encoded the session.
    pub now: u64,
    /// What the settings make overdue becomes due at random within so many milliseconds.
    pub spread: u64,
}

impl Session {
    /// From now on `settings` hold, in this and all further calls; to be called after
    /// [`decode`](Self::decode), with the settings of old as well.
    ///
    /// An open tunnel ends by the new `max_age`, with the new `grace`, `handshake` and `close_code`.
    /// A drain that its owner has planned stands, and an end under way is finished as it was begun.
    ///
    /// No time that runs begins anew. But where it is over by the new settings already, it is over
    /// at a random moment within [`Reload::spread`], and within the time itself if that is shorter:
    /// many tunnels that are reconfigured together do not end together. So a driver sees to what is
    /// [due](Self::deadline) before it changes settings.
    pub fn reconfigure<D: Driver>(
        &mut self,
        settings: &SessionSettings,
        reload: &Reload,
        driver: &mut D,
    ) -> Next {
        self.turn_clock_back(reload.now);
        if let (Phase::Open(plan), false) = (self.phase, self.is_drained) {
            self.code = settings.close_code;
            self.phase = Phase::Open(Plan {
                at: Moment(new_expiry(plan.at.0, settings, reload, driver)),
                grace: short(settings.grace),
                handshake: short(settings.handshake),
            });
        }
        if reload.spread > 0 {
            for end in End::BOTH {
                self.spread_end(end, settings, reload, driver);
            }
            self.spread_idle(settings, reload, driver);
        }
        self.settle(Next::Timer)
    }

    /// Nothing was later than `now`. A process may look at the clock less often than another, and an
    /// answer that comes now to a Ping of the future would be none.
    fn turn_clock_back(&mut self, now: u64) {
        self.active = self.active.min(now);
        for side in &mut self.sides {
            let is_asked = side.asked > side.last;
            side.asked = side.asked.min(now);
            side.moved = side.moved.min(now);
            side.last = side.last.min(if is_asked { side.asked.saturating_sub(1) } else { now });
        }
    }

    /// Spreads what is overdue of one end.
    fn spread_end<D: Driver>(
        &mut self,
        end: End,
        settings: &SessionSettings,
        reload: &Reload,
        driver: &mut D,
    ) {
        let mut since = |due: Option<u64>, time| begin_anew(due, time, reload, driver);
        if let Some(moved) = since(self.send_deadline(settings, end), settings.send_timeout) {
            self.side_mut(end).moved = moved;
        }
        if let Some(asked) = since(self.pong_deadline(settings, end), settings.patience(end)) {
            self.side_mut(end).asked = asked;
        }
        if let Some(silent) = since(self.ping_deadline(settings, end), settings.ping) {
            let side = self.side_mut(end);
            if side.asked > side.last {
                side.asked = silent;
            } else {
                // as old as before when it spoke last
                let later = silent - side.last;
                side.foreign_at = side.foreign_at.wrapping_add(later as u32);
                side.last = silent;
            }
        }
    }

    /// Spreads what is overdue of the tunnel.
    fn spread_idle<D: Driver>(
        &mut self,
        settings: &SessionSettings,
        reload: &Reload,
        driver: &mut D,
    ) {
        let due = self.close_deadline(settings).map(|(due, _)| due);
        if let Some(since) = begin_anew(due, settings.close_timeout, reload, driver) {
            for side in &mut self.sides {
                side.last = side.last.max(since);
            }
        }
        let due = self.idle_deadline(settings).map(|(due, _)| due);
        if let Some(active) = begin_anew(due, settings.idle_timeout, reload, driver) {
            self.active = active;
        }
    }
}

/// When a tunnel that was to expire at `at` does so with these settings.
fn new_expiry<D: Driver>(
    at: u64,
    settings: &SessionSettings,
    reload: &Reload,
    driver: &mut D,
) -> u64 {
    let Reload { began, now, spread } = *reload;
    // What these settings may have planned themselves they have, as far as anybody can tell.
    if settings.expiries(began).is_some_and(|times| times.contains(&at)) {
        return at;
    }
    let due = settings.expiry(began, driver);
    if due > now {
        return due;
    }
    // Planned for within that time it is spread already: by an earlier reload, for example. Taken
    // at random again and again, it would come ever sooner or never.
    if at <= now.saturating_add(spread) {
        return at;
    }
    now.saturating_add(pick(spread, driver))
}

/// Where something is overdue after `time`, when it is said to have begun instead.
fn begin_anew<D: Driver>(
    due: Option<u64>,
    time: u64,
    reload: &Reload,
    driver: &mut D,
) -> Option<u64> {
    due.filter(|due| *due < reload.now)?;
    let rest = pick(reload.spread.min(time), driver);
    Some(reload.now.saturating_sub(time) + rest)
}

/// A number up to `most`.
fn pick<D: Driver>(most: u64, driver: &mut D) -> u64 {
    driver.random() % most.saturating_add(1)
}
