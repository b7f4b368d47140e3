//! New settings for an open tunnel.

use super::phase::{short, Moment, Phase, Plan};
use super::{Driver, End, Next, Session, SessionSettings};

/// When a session gets new settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// When the tunnel began: its age counts from then.
    pub began: u64,
    /// The time now. This process may have read the clock earlier than the one that encoded the
    /// session.
    pub now: u64,
    /// Whatever the new settings make overdue becomes due at a random time within so many
    /// milliseconds.
    pub spread: u64,
}

impl Session {
    /// Makes `settings` hold from now on; pass them to all further calls. To be called after
    /// [`decode`](Self::decode), even if the settings are the same.
    ///
    /// An open tunnel gets the new `max_age`, counted from its beginning, and the new `grace`,
    /// `handshake` and `close_code`. A drain that was planned by [`begin_drain`](Self::begin_drain)
    /// stays as planned, and a drain or Close handshake that has begun continues as it began.
    ///
    /// Running times are not restarted. If a new setting makes one overdue, it ends at a random
    /// time within [`Reload::spread`], or within the setting itself if that is shorter, so that
    /// tunnels reconfigured together are not closed together. Handle whatever is
    /// [due](Self::deadline) before changing settings: otherwise it may be postponed too.
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

    /// Moves times after `now` to `now`. Otherwise a Pong that arrives now would not answer a Ping
    /// sent later, and its end would be found dead.
    fn turn_clock_back(&mut self, now: u64) {
        self.active = self.active.min(now);
        for side in &mut self.sides {
            let is_asked = side.asked > side.last;
            side.asked = side.asked.min(now);
            side.moved = side.moved.min(now);
            side.last = side.last.min(if is_asked { side.asked.saturating_sub(1) } else { now });
        }
    }

    /// Spreads the overdue times of one end.
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
                // a Ping of the other end keeps its age at the last sign of life
                let later = silent - side.last;
                side.foreign_at = side.foreign_at.wrapping_add(later as u32);
                side.last = silent;
            }
        }
    }

    /// Spreads the overdue times of the tunnel.
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

/// When a tunnel planned to expire at `at` expires with these settings.
fn new_expiry<D: Driver>(
    at: u64,
    settings: &SessionSettings,
    reload: &Reload,
    driver: &mut D,
) -> u64 {
    let Reload { began, now, spread } = *reload;
    // a time that these settings could have chosen is kept, with its random part
    if settings.expiries(began).is_some_and(|times| times.contains(&at)) {
        return at;
    }
    let due = settings.expiry(began, driver);
    if due > now {
        return due;
    }
    // A time within `spread` is kept, because an earlier reload may have chosen it. Choosing again
    // at every reload would postpone it for ever, or hasten it if the earlier time won.
    if at <= now.saturating_add(spread) {
        return at;
    }
    now.saturating_add(pick(spread, driver))
}

/// If something was due before now, `time` after it began: when it is assumed to have begun
/// instead. Never after now, so that an answer that arrives now comes after it.
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
