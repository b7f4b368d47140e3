//! The counters of one process.
//!
//! Each worker process has its own [`Slot`], in memory that all workers share. Its counters remain
//! when the process ends, and the next owner of the slot adds to them: the sum over all slots never
//! decreases. Its gauges are valid only while the process is alive, so a slot records its owner by
//! process id and start time, and a slot whose owner has died is free.

use std::sync::atomic::{fence, Ordering};
use zerocopy::FromBytes;

use websocket_tunnel::{End, Event, Proof, Reason, Summary};

use super::frames::FrameCounts;
use super::histogram::{Histogram, DURATION, HANDSHAKE};
use crate::counter::Counter;
use crate::registry::{Total, CLOSE_REASONS};

/// A worker process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Its process id.
    pub pid: u64,
    /// When it started, in any unit: process ids are reused, but not with the same start time.
    pub started: u64,
    /// Number of its configuration; each reload increments it.
    pub generation: u64,
}

/// The gauges and counters of one process. All-zero is a free slot.
#[derive(Debug, Default, FromBytes)]
#[repr(C)]
pub struct Slot {
    pid: Counter,
    started: Counter,
    generation: Counter,
    /// Whether the process is shutting down.
    draining: Counter,
    /// Bytes buffered for peers that read slowly.
    pub buffered: Counter,
    /// Its counters.
    pub counts: Counts,
}

/// Why nginx's own copying handles an upgraded connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The handshake does not follow RFC 6455 section 4.
    NotWebSocket,
    /// A subrequest, or a stream of HTTP/2 or HTTP/3.
    NotOfItsOwn,
    /// Another part of nginx still works on the request.
    Busy,
    /// Another part of nginx seems to, but nothing confirms it.
    Unexplained,
}

impl Left {
    /// All reasons.
    pub const ALL: [Self; 4] =
        [Self::NotWebSocket, Self::NotOfItsOwn, Self::Busy, Self::Unexplained];

    /// The reason as one word, for labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotWebSocket => "not_websocket",
            Self::NotOfItsOwn => "not_of_its_own",
            Self::Busy => "busy",
            Self::Unexplained => "unexplained",
        }
    }
}

/// Why a handshake was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedBy {
    /// The destination answered with another status than 101.
    Destination,
    /// nginx answered, because no destination did.
    Unreachable,
    /// `websocket_limit_conn`.
    Limit,
}

impl RefusedBy {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::Destination, Self::Unreachable, Self::Limit];

    /// The reason as one word, for labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Destination => "destination",
            Self::Unreachable => "unreachable",
            Self::Limit => "limit",
        }
    }
}

/// Status codes of Close frames, in the ranges of RFC 6455 section 7.4.2, with the two common codes
/// separate. The first class is for tunnels without a code.
pub const CODES: [&str; 7] = ["none", "1000", "1001", "1xxx", "3xxx", "4xxx", "other"];

fn code_class(code: Option<u16>) -> usize {
    match code {
        None => 0,
        Some(1000) => 1,
        Some(1001) => 2,
        Some(1002..=2999) => 3,
        Some(3000..=3999) => 4,
        Some(4000..=4999) => 5,
        Some(_) => 6,
    }
}

/// Why a tunnel ended: a [`Reason`] of the session, or one of two that the session does not have.
pub fn enders() -> impl Iterator<Item = &'static str> {
    CLOSE_REASONS.iter().map(|reason| reason.word)
}

const FAULT: usize = Reason::ALL.len();
const WORKER_LOST: usize = FAULT + 1;

/// The counters of one process.
#[derive(Debug, FromBytes)]
#[repr(C)]
pub struct Counts {
    /// Tunnels opened.
    pub opened: Counter,
    totals: [Counter; Total::ALL.len()],
    left: [Counter; Left::ALL.len()],
    refused: [Counter; RefusedBy::ALL.len()],
    /// Tunnels that ended, by reason and class of the code.
    closed: [[Counter; CODES.len()]; WORKER_LOST + 1],
    /// Pings inserted, by the end that receives them.
    pings: [Counter; 2],
    /// Pongs received for those Pings.
    pongs: [Counter; 2],
    /// Ends that were dead because they did not answer a Ping.
    pongs_missed: [Counter; 2],
    /// Frames received from each end.
    frames: [FrameCounts; 2],
    /// How long tunnels were open.
    pub duration: Histogram<{ DURATION.len() }>,
    /// How long destinations took to answer with a 101.
    pub handshake: Histogram<{ HANDSHAKE.len() }>,
}

impl Default for Counts {
    fn default() -> Self {
        Self::new()
    }
}

impl Counts {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            opened: Counter::new(),
            totals: [const { Counter::new() }; Total::ALL.len()],
            left: [const { Counter::new() }; Left::ALL.len()],
            refused: [const { Counter::new() }; RefusedBy::ALL.len()],
            closed: [const { [const { Counter::new() }; CODES.len()] }; WORKER_LOST + 1],
            pings: [const { Counter::new() }; 2],
            pongs: [const { Counter::new() }; 2],
            pongs_missed: [const { Counter::new() }; 2],
            frames: [const { FrameCounts::new() }; 2],
            duration: Histogram::new(),
            handshake: Histogram::new(),
        }
    }

    /// The table for the frames of one end.
    #[inline]
    pub fn frames(&self, from: End) -> &FrameCounts {
        &self.frames[from as usize]
    }

    /// Adds one to a total.
    pub fn count(&self, total: Total) {
        self.totals[total as usize].add(1);
    }

    /// The value of a total.
    pub fn total(&self, total: Total) -> u64 {
        self.totals[total as usize].get()
    }

    /// An upgraded connection was left to nginx's own copying.
    pub fn leave(&self, why: Left) {
        self.left[why as usize].add(1);
    }

    /// The number of connections left to nginx for this reason.
    pub fn left(&self, why: Left) -> u64 {
        self.left[why as usize].get()
    }

    /// A handshake was refused.
    pub fn refuse(&self, by: RefusedBy) {
        self.refused[by as usize].add(1);
    }

    /// The number of handshakes refused for this reason.
    pub fn refused(&self, by: RefusedBy) -> u64 {
        self.refused[by as usize].get()
    }

    /// An event in a tunnel.
    pub fn event(&self, event: Event) {
        match event {
            Event::Pinged(end) => self.pings[end as usize].add(1),
            Event::Ponged(end) => self.pongs[end as usize].add(1),
            Event::Passthrough(..) => self.count(Total::Passthrough),
            Event::Died(end, Proof::Pong, _) => self.pongs_missed[end as usize].add(1),
            Event::CloseSeen(..) | Event::CloseSent(..) | Event::Died(..) => {}
        }
    }

    /// A tunnel has ended after this many milliseconds.
    pub fn close(&self, summary: &Summary, duration: u64) {
        let row = summary.reason.map_or(FAULT, Reason::index);
        // for `merge`: a reader that sees the end also sees the beginning
        fence(Ordering::Release);
        self.closed[row][code_class(summary.code)].add(1);
        self.duration.observe(&DURATION, duration);
    }

    /// Tunnels that ended, by reason and class of the code.
    pub fn closed(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        enders().zip(&self.closed).flat_map(|(by, row)| {
            CODES.iter().zip(row).map(move |(code, count)| (by, *code, count.get()))
        })
    }

    /// Tunnels that began and have not ended. This is no separate gauge: at any moment, even when
    /// the process dies, each tunnel is counted either as open or as ended.
    pub fn open(&self) -> u64 {
        let ended = self.closed.as_flattened().iter().map(Counter::get).sum();
        self.opened.get().saturating_sub(ended)
    }

    /// Pings inserted towards an end, and the Pongs received for them.
    pub fn pings(&self, end: End) -> (u64, u64) {
        (self.pings[end as usize].get(), self.pongs[end as usize].get())
    }

    /// How often an end was dead because it did not answer a Ping.
    pub fn pongs_missed(&self, end: End) -> u64 {
        self.pongs_missed[end as usize].get()
    }

    /// Adds the counters of another process.
    pub fn merge(&self, other: &Self) {
        for (own, more) in self.plain().zip(other.plain()) {
            own.add(more.get());
        }
        for (own, more) in self.frames.iter().zip(&other.frames) {
            own.merge(more);
        }
        self.duration.merge(&other.duration);
        self.handshake.merge(&other.handshake);
        // last, so that no tunnel ends that has not begun
        fence(Ordering::Acquire);
        self.opened.add(other.opened.get());
    }

    /// All counters that are plain numbers, except `opened`.
    fn plain(&self) -> impl Iterator<Item = &Counter> {
        self.totals
            .iter()
            .chain(&self.left)
            .chain(&self.refused)
            .chain(self.closed.as_flattened())
            .chain(&self.pings)
            .chain(&self.pongs)
            .chain(&self.pongs_missed)
    }
}

impl Slot {
    /// A free slot.
    pub const fn new() -> Self {
        Self {
            pid: Counter::new(),
            started: Counter::new(),
            generation: Counter::new(),
            draining: Counter::new(),
            buffered: Counter::new(),
            counts: Counts::new(),
        }
    }

    /// The owner, if there is one.
    pub fn owner(&self) -> Option<Owner> {
        let pid = self.pid.get();
        (pid != 0).then(|| Owner {
            pid,
            started: self.started.get(),
            generation: self.generation.get(),
        })
    }

    /// Open tunnels.
    pub fn active(&self) -> u64 {
        self.counts.open()
    }

    /// Assigns the slot to a process. The gauges of an earlier owner are discarded.
    pub fn take(&self, owner: Owner) {
        self.counts.closed[WORKER_LOST][0].add(self.active());
        self.buffered.set(0);
        self.draining.set(0);
        self.started.set(owner.started);
        self.generation.set(owner.generation);
        self.pid.set(owner.pid);
    }

    /// Frees the slot.
    pub fn release(&self) {
        self.take(Owner::default());
    }

    /// Marks the owner as shutting down.
    pub fn set_draining(&self) {
        self.draining.set(1);
    }

    /// Whether the owner is shutting down, or has a configuration older than `newest`.
    pub fn is_draining(&self, newest: u64) -> bool {
        self.draining.get() != 0 || self.generation.get() < newest
    }
}

/// Finds a slot for a process: a free one, otherwise one whose owner has died. The caller ensures
/// that no other process searches at the same time.
pub fn claim(slots: &[Slot], owner: Owner, is_alive: impl Fn(Owner) -> bool) -> Option<&Slot> {
    let free = slots.iter().find(|slot| slot.owner().is_none());
    let gone = || slots.iter().find(|slot| slot.owner().is_some_and(|owner| !is_alive(owner)));
    let slot = free.or_else(gone)?;
    slot.take(owner);
    Some(slot)
}

/// The sum over all slots.
#[derive(Debug, Default)]
pub struct Sum {
    /// The counters of all owners, including those that have ended.
    pub counts: Counts,
    /// The processes that are alive.
    pub workers: Vec<WorkerStatus>,
}

/// A worker process, as reported.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WorkerStatus {
    /// Its process id.
    pub pid: u64,
    /// Number of its configuration.
    pub generation: u64,
    /// Whether it is shutting down.
    pub draining: bool,
    /// Open tunnels.
    pub active: u64,
    /// Bytes buffered for peers that read slowly.
    pub buffered_bytes: u64,
}

/// Adds the slots up; `newest` is the number of the newest configuration.
pub fn sum<'a>(
    slots: impl IntoIterator<Item = &'a Slot>,
    newest: u64,
    is_alive: impl Fn(Owner) -> bool,
) -> Sum {
    let mut sum = Sum::default();
    for slot in slots {
        // its owner continues to count
        let seen = Counts::new();
        seen.merge(&slot.counts);
        let active = seen.open();
        match slot.owner() {
            Some(owner) if is_alive(owner) => sum.workers.push(WorkerStatus {
                pid: owner.pid,
                generation: owner.generation,
                draining: slot.is_draining(newest),
                active,
                buffered_bytes: slot.buffered.get(),
            }),
            _ => seen.closed[WORKER_LOST][0].add(active),
        }
        sum.counts.merge(&seen);
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    const FIRST: Owner = Owner { pid: 7, started: 70, generation: 1 };
    const AGAIN: Owner = Owner { pid: 7, started: 99, generation: 2 };

    fn ended(reason: Reason, code: u16) -> Summary {
        Summary {
            reason: Some(reason),
            proof: None,
            code: Some(code),
            client: Default::default(),
            destination: Default::default(),
            passthrough: false,
        }
    }

    fn closed(counts: &Counts) -> Vec<(&str, &str, u64)> {
        counts.closed().filter(|(_, _, count)| *count > 0).collect()
    }

    #[test]
    fn a_tunnel_that_ended_for_no_reason_of_its_own_is_a_fault() {
        let counts = Counts::default();
        counts.close(&Summary { reason: None, ..ended(Reason::Drain, 1001) }, 5);
        assert_eq!(closed(&counts), [("fault", "1001", 1)]);
    }

    #[test]
    fn what_was_counted_stays_and_what_was_held_goes_with_its_process() {
        let slots = [Slot::new(), Slot::new()];
        let slot = claim(&slots, FIRST, |_| true).unwrap();
        slot.counts.opened.add(3);
        slot.counts.close(&ended(Reason::Drain, 1001), 1);
        slot.buffered.add(9);

        let alive = sum(&slots, 1, |_| true);
        let worker =
            WorkerStatus { pid: 7, generation: 1, draining: false, active: 2, buffered_bytes: 9 };
        assert_eq!((alive.counts.opened.get(), alive.workers), (3, vec![worker]));
        assert_eq!(closed(&alive.counts), [("drain", "1001", 1)]);

        // the same process id with another start time is another process
        let is_alive = |owner: Owner| owner == AGAIN;
        for _ in 0..2 {
            let gone = sum(&slots, 1, is_alive);
            assert_eq!((gone.counts.opened.get(), gone.workers.len()), (3, 0));
            assert_eq!(closed(&gone.counts), [("drain", "1001", 1), ("worker_lost", "none", 2)]);
        }

        // a free slot is preferred to one of a dead process
        let second = claim(&slots, AGAIN, is_alive).unwrap();
        assert!(std::ptr::eq(second, &raw const slots[1]));
        let third = claim(&slots, AGAIN, is_alive).unwrap();
        assert!(std::ptr::eq(third, &raw const slots[0]));
        assert!(claim(&slots, AGAIN, is_alive).is_none());
        let again = sum(&slots, 2, is_alive);
        assert_eq!((again.counts.opened.get(), again.workers.len()), (3, 2));
        assert_eq!(closed(&again.counts), [("drain", "1001", 1), ("worker_lost", "none", 2)]);
    }

    #[test]
    fn every_tunnel_is_open_or_ended_whenever_one_looks() {
        let (slots, is_over) = ([Slot::new()], AtomicBool::new(false));
        let slot = claim(&slots, FIRST, |_| true).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    slot.counts.opened.add(1);
                    slot.counts.close(&ended(Reason::Drain, 1001), 1);
                }
            });
            let looked = (0..5_000).map(|_| {
                let sum = sum(&slots, 1, |_| true);
                let ended: u64 = closed(&sum.counts).iter().map(|(.., count)| count).sum();
                let active: u64 = sum.workers.iter().map(|worker| worker.active).sum();
                (sum.counts.opened.get(), ended + active)
            });
            let wrong: Vec<_> = looked.filter(|(opened, other)| opened != other).collect();
            is_over.store(true, Ordering::Relaxed);
            assert!(wrong.is_empty(), "opened, and ended or open: {wrong:?}");
        });
    }

    #[test]
    fn a_process_is_draining_when_it_says_so_or_is_superseded() {
        let slot = Slot::new();
        slot.take(FIRST);
        assert!(!slot.is_draining(1));
        assert!(slot.is_draining(2));
        slot.set_draining();
        assert!(slot.is_draining(1));
        slot.release();
        assert_eq!(slot.owner(), None);
        slot.take(AGAIN);
        assert!(!slot.is_draining(2));
    }

    #[test]
    fn every_code_has_its_class() {
        let cases = [
            (None, "none"),
            (Some(0), "other"),
            (Some(999), "other"),
            (Some(1000), "1000"),
            (Some(1001), "1001"),
            (Some(1002), "1xxx"),
            (Some(2999), "1xxx"),
            (Some(3000), "3xxx"),
            (Some(4999), "4xxx"),
            (Some(5000), "other"),
        ];
        for (code, class) in cases {
            assert_eq!(CODES[code_class(code)], class, "{code:?}");
        }
    }

    #[test]
    fn a_tunnel_counts_by_who_ended_it() {
        let counts = Counts::new();
        let summary = |reason, code| Summary {
            reason,
            proof: None,
            code,
            client: Default::default(),
            destination: Default::default(),
            passthrough: false,
        };
        for (row, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), row);
            counts.close(&summary(Some(reason), Some(1001)), 1);
        }
        counts.close(&summary(None, None), 1);
        counts.event(Event::Pinged(End::Client));
        counts.event(Event::Died(End::Client, Proof::Pong, 1));
        counts.event(Event::Died(End::Client, Proof::Unacknowledged, 1));
        let found = closed(&counts);
        assert_eq!(found.len(), Reason::ALL.len() + 1);
        assert!(found.contains(&("dead_client", "1001", 1)));
        assert!(found.contains(&("fault", "none", 1)));
        assert_eq!((counts.pongs_missed(End::Client), counts.pings(End::Client)), (1, (1, 0)));

        let sum = Counts::new();
        sum.merge(&counts);
        sum.merge(&counts);
        assert_eq!(closed(&sum).len(), found.len());
        assert_eq!(sum.duration.times(&DURATION).count, 2 * found.len() as u64);
    }
}
