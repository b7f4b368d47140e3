//! `websocket_limit_conn`: the maximum number of WebSockets of one key.

use std::cell::RefCell;

use nginx::complex_value::ComplexValue;
use nginx::log::Log;
use nginx::process::{self, is_alive, now, Role};
use nginx::request::Request;
use nginx::zone::{Exclusive, Shared, Tag};

use crate::connection_limit::{Memory, Place, Process, Refused, Table, PROCESSES, VERSION};
use crate::module::environment::directive::{Conf, Error};

/// The size of the zone: the table, and the overhead of nginx's allocator.
const ZONE_SIZE: usize = 1792 * 1024;

// with pages of 64 kB the allocator needs 24 more bytes for each and loses two pages at the ends
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
    /// The zone and the place in which this process counts.
    static OWN: RefCell<Option<(Zone, Place)>> = const { RefCell::new(None) };
}

/// A configured limit.
#[derive(Clone)]
pub struct Limit {
    key: ComplexValue,
    most: u64,
    /// The status code of the response when the limit is reached.
    pub status: u16,
    zone: Zone,
}

/// One counted WebSocket of a key, released when dropped.
pub struct Hold {
    key: u64,
}

impl Limit {
    /// A limit of `most` WebSockets for each value of `key`, which may contain variables.
    ///
    /// # Errors
    /// nginx refuses the key, or memory is exhausted.
    pub fn new(cf: &mut Conf, key: &str, most: u64, status: u16) -> Result<Self, Error> {
        let key = ComplexValue::new(cf, key)?;
        // all limits of a configuration share one zone
        let zone = Exclusive::add(cf, "websocket_limit_conn", ZONE_SIZE)?;
        Ok(Self { key, most, status, zone })
    }

    /// The zone with the table.
    pub fn zone(&self) -> Zone {
        self.zone.clone()
    }

    /// The maximum as text.
    pub fn most(&self) -> String {
        self.most.to_string()
    }

    /// Counts the WebSocket that `request` asks for. `None` if the key is empty, or in a single
    /// process, where a reload may free the zone while connections still use it.
    ///
    /// # Errors
    /// The limit of the key is reached, or the table has no room for the key.
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

/// Starts counting in a worker, and reclaims the places of dead processes. To be called when the
/// process starts, with the zone of its configuration.
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

/// Stops counting when the process exits.
pub fn leave() {
    if let Some((zone, place)) = OWN.take() {
        with_table(&zone, |table| table.leave(place));
    }
}

/// Removes the counts of dead processes; returns whether there were any. The check of each process
/// takes one or two system calls, so it is done without the lock.
fn remove_dead(zone: &Zone) -> bool {
    let Some(mut processes) = with_table(zone, |table| table.processes()) else { return false };
    processes.retain(|process| !is_alive(process.pid, process.started));
    !processes.is_empty() && with_table(zone, |table| table.remove(&processes)) == Some(true)
}

/// Calls `work` with the table under the lock of the zone.
fn with_table<T>(zone: &Zone, work: impl FnOnce(&mut Table) -> T) -> Option<T> {
    zone.with(|memory, seed| work(&mut Table::open(memory.parts(), seed)))
}
