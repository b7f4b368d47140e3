//! `websocket_zone`: where processes count, seen by all of them and kept over a reload.
//!
//! [`slot`] is where this process counts, whatever the configuration: before a process has taken
//! a slot of the zone, or where there is none, in memory of its own.

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

/// The smallest zone: a worker takes about 2 kB, its successor after a reload as much again, and
/// nginx's allocator works in pages.
const LEAST: usize = 64 * 1024;

impl Shared for Slot {
    const DIRECTIVE: &'static str = "websocket_zone";
    const VERSION: u32 = 3;

    fn tag() -> &'static Tag<Self> {
        static TAG: Tag<Slot> = Tag::new();
        &TAG
    }
}

/// The slots that processes count in.
pub type Slots = Zone<Slot>;

/// Where a process counts that has no slot of the zone.
static PRIVATE: Slot = Slot::new();

/// Where this process counts.
static OWN: StaticRef<Slot> = StaticRef::new(&PRIVATE);

/// The zone of this process, where it has one, and when that was made.
static ALL: OnceLock<(&'static [Slot], u64)> = OnceLock::new();

/// When this process began to serve without one, in seconds since 1970.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// Where this process counts.
#[inline]
pub fn slot() -> &'static Slot {
    OWN.get()
}

/// All that was counted, when that began in seconds since 1970; `newest` is the number of the
/// newest configuration.
pub fn total(newest: u64) -> (Sum, u64) {
    match ALL.get() {
        Some((slots, made)) => (sum(*slots, newest, is_alive), *made),
        None => (sum([slot()], newest, |_| true), STARTED.load(Ordering::Relaxed)),
    }
}

/// Adds the zone that `NAME:SIZE` describes.
///
/// # Errors
/// It is none, is too small, or there is no memory.
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

/// Takes a slot for this process, or memory of its own where there is none. To be called as it
/// begins, with the zone of its configuration.
pub fn enter(zone: Option<&Slots>, generation: u64, log: Log) {
    STARTED.store(unix_time(), Ordering::Relaxed);
    let (pid, started) = process::own();
    let owner = Owner { pid, started, generation };
    if process::role() == Role::Single {
        // a reload of a single process may free the zone under it
        PRIVATE.take(owner);
    }
    // nor has a process that does not serve a part in it
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

/// The process ends.
pub fn leave() {
    if !std::ptr::eq(slot(), &PRIVATE) {
        slot().release();
    }
}

/// Whether a process is the one that it was.
fn is_alive(owner: Owner) -> bool {
    process::is_alive(owner.pid, owner.started)
}
