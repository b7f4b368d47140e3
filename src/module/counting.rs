//! `websocket_zone`: the counters of all processes, kept over a reload.
//!
//! [`slot`] has the counters of this process in every configuration: they are in private memory
//! until the process has a slot of the zone, or if there is no zone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;

use nginx::log::Log;
use nginx::process::{self, unix_time, Role};
use nginx::static_ref::StaticRef;
use nginx::text;
use nginx::zone::{Shared, Tag, Zone};

use super::environment::directive::{Conf, Error};
use crate::connection_limit::PROCESSES;
use crate::metrics::{claim, sum, Owner, Slot, Sum};

/// The minimum size of the zone: a worker needs about 2 kB, its successor after a reload the same
/// again, and nginx's allocator works in pages.
const LEAST: usize = 64 * 1024;

impl Shared for Slot {
    const DIRECTIVE: &'static str = "websocket_zone";
    const VERSION: u32 = 3;

    fn tag() -> &'static Tag<Self> {
        static TAG: Tag<Slot> = Tag::new();
        &TAG
    }
}

/// The slots for the counters of processes.
pub type Slots = Zone<Slot>;

/// The counters of a process without a slot.
static PRIVATE: Slot = Slot::new();

/// Where this process counts.
static OWN: StaticRef<Slot> = StaticRef::new(&PRIVATE);

/// The slots of the zone, if there is one, and when it was created.
static ALL: OnceLock<(&'static [Slot], u64)> = OnceLock::new();

/// When this process began to serve without a zone, in seconds since 1970.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// The counters of this process.
#[inline]
pub fn slot() -> &'static Slot {
    OWN.get()
}

/// The sum of all counters, and since when they count, in seconds since 1970. `newest` is the
/// number of the newest configuration.
pub fn total(newest: u64) -> (Sum, u64) {
    match ALL.get() {
        Some((slots, made)) => (sum(*slots, newest, is_alive), *made),
        None => (sum([slot()], newest, |_| true), STARTED.load(Ordering::Relaxed)),
    }
}

/// Adds the zone that `NAME:SIZE` describes.
///
/// # Errors
/// The argument is invalid, the size is too small, or memory is exhausted.
pub fn add(cf: &mut Conf, word: &str) -> Result<Slots, Error> {
    let invalid = |expected: &str| {
        Error::Message(format!(
            "invalid value \"{word}\" in \"websocket_zone\" directive, it must be {expected}"
        ))
    };
    let parts = word.split_once(':').filter(|(name, _)| !name.is_empty());
    let (name, size) = parts
        .and_then(|(name, size)| Some((name, text::size(size)?)))
        .ok_or_else(|| invalid("a name and a size such as \"elb:256k\""))?;
    if size < LEAST {
        return Err(invalid("of 64k at least"));
    }
    Zone::add::<PROCESSES>(cf, name, size)
}

/// Takes a slot for this process, or uses private memory if none is free. To be called when the
/// process starts, with the zone of its configuration.
pub fn enter(zone: Option<&Slots>, generation: u64, log: Log) {
    STARTED.store(unix_time(), Ordering::Relaxed);
    let (pid, started) = process::own();
    let owner = Owner { pid, started, generation };
    if process::role() == Role::Single {
        // a reload of a single process may free the zone
        PRIVATE.take(owner);
    }
    // a process that does not serve does not use the zone either
    let Some((zone, all)) = zone.and_then(|zone| Some((zone, zone.values()?))) else { return };
    let _ = ALL.set((all, zone.made().unwrap_or(0)));
    match zone.locked(|slots| claim(slots, owner, is_alive)).flatten() {
        Some(slot) => OWN.set(slot),
        None => log.warn(format_args!(
            "\"websocket_zone\" \"{}\" has no room for this process: its counters are missing from \
             metrics and status, make the zone larger",
            zone.name()
        )),
    }
}

/// Releases the slot when the process exits.
pub fn leave() {
    if !std::ptr::eq(slot(), &PRIVATE) {
        slot().release();
    }
}

/// Whether the process is still running.
fn is_alive(owner: Owner) -> bool {
    process::is_alive(owner.pid, owner.started)
}
