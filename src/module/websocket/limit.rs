//! `websocket_limit_conn`: how many WebSockets one key may have.

use std::cell::RefCell;

use nginx::complex_value::ComplexValue;
use nginx::log::Log;
use nginx::process::{self, is_alive, now, Role};
use nginx::request::Request;
use nginx::zone::{Exclusive, Shared, Tag};

use crate::connection_limit::{Memory, Place, Process, Refused, Table, PROCESSES, VERSION};
use crate::module::environment::directive::{Conf, Error};

/// The table, and what nginx's allocator needs for itself.
const ZONE_SIZE: usize = 1792 * 1024;

// an allocator of pages of 64 kB, which take 24 bytes more each, loses two of them at the ends
const _: () = assert!(size_of::<Memory>() / 100 * 101 + 2 * 65_536 < ZONE_SIZE);

impl Shared for Memory {
    const DIRECTIVE: &'static str = "websocket_limit_conn";
    const VERSION: u32 = VERSION;

    fn tag() -> &'static Tag<Self> {
        static TAG: Tag<Memory> = Tag::new();
        &TAG
    }
}

/// The zone with the table.
type Zone = Exclusive<Memory>;

thread_local! {
    /// Where this process counts.
    static OWN: RefCell<Option<(Zone, Place)>> = const { RefCell::new(None) };
}

/// A limit as configured.
#[derive(Clone)]
pub struct Limit {
    key: ComplexValue,
    most: u64,
    /// Answered over the limit.
    pub status: u16,
    zone: Zone,
}

/// One WebSocket of a key, given back when dropped.
pub struct Hold {
    key: u64,
}

impl Limit {
    /// A limit of `most` for what the variables in `key` come to.
    ///
    /// # Errors
    /// nginx refuses the key, or there is no memory.
    pub fn new(cf: &mut Conf, key: &str, most: u64, status: u16) -> Result<Self, Error> {
        let key = ComplexValue::new(cf, key)?;
        // every limit of a configuration gets the same zone
        let zone = Exclusive::add(cf, "websocket_limit_conn", ZONE_SIZE)?;
        Ok(Self { key, most, status, zone })
    }

    /// Where it counts.
    pub fn zone(&self) -> Zone {
        self.zone.clone()
    }

    /// How many a key may have, in words.
    pub fn most(&self) -> String {
        self.most.to_string()
    }

    /// Counts the WebSocket that `request` asks for; `None` where its key is empty, or where nginx is
    /// a single process, whose reload may free the zone under its connections.
    ///
    /// # Errors
    /// The key has as many as it may have, or there is no room for it.
    pub fn take(&self, request: &Request) -> Result<Option<Hold>, Refused> {
        if process::role() == Role::Single {
            return Ok(None);
        }
        let Some(value) = self.key.of(request) else { return Ok(None) };
        let own = OWN.with_borrow(Clone::clone);
        let (zone, place) = own.ok_or(Refused::Full)?;
        let taken = with_table(&zone, |table| {
            let key = table.hash(value);
            let refused = table.take(key, place, self.most).err();
            (key, refused, refused.is_some() && table.is_time_to_look(now()))
        });
        let (key, mut refused, look) = taken.ok_or(Refused::Full)?;
        if look && remove_dead(&zone) {
            let again = with_table(&zone, |table| table.take(key, place, self.most).err());
            refused = again.unwrap_or(refused);
        }
        match refused {
            Some(refused) => Err(refused),
            None => Ok(Some(Hold { key })),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some((zone, place)) = OWN.with_borrow(Clone::clone) {
            with_table(&zone, |table| table.give_back(self.key, place));
        }
    }
}

/// A worker begins to count, in the place of one that has died, as the case may be. To be called as
/// it begins, with the zone of its configuration.
pub fn enter(zone: &Zone, log: Log) {
    if !matches!(process::role(), Role::Worker(_)) {
        return;
    }
    remove_dead(zone);
    let (pid, started) = process::own();
    let place = with_table(zone, |table| table.enter(Process { pid, started })).flatten();
    if place.is_none() {
        log.error(format_args!(
            "\"websocket_limit_conn\" refuses every WebSocket of this worker: more than {PROCESSES} \
             processes hold some, end old workers or lower \"worker_processes\""
        ));
    }
    OWN.set(place.map(|place| (zone.clone(), place)));
}

/// The process ends.
pub fn leave() {
    if let Some((zone, place)) = OWN.take() {
        with_table(&zone, |table| table.leave(place));
    }
}

/// Takes back what dead processes hold; whether there were any. They are looked for without the
/// lock: that takes a system call or two for each.
fn remove_dead(zone: &Zone) -> bool {
    let Some(mut processes) = with_table(zone, |table| table.processes()) else { return false };
    processes.retain(|process| !is_alive(process.pid, process.started));
    !processes.is_empty() && with_table(zone, |table| table.remove(&processes)) == Some(true)
}

/// Works on the table under the zone's lock.
fn with_table<T>(zone: &Zone, work: impl FnOnce(&mut Table) -> T) -> Option<T> {
    zone.with(|memory, seed| work(&mut Table::open(memory.parts(), seed)))
}
