//! `websocket_limit_conn`: how many WebSockets one key may have.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::NonNull;

use ngx::ffi::{
    ngx_http_request_t, ngx_int_t, ngx_log_t, ngx_process, ngx_shm_zone_t, ngx_slab_calloc,
    ngx_slab_pool_t, NGX_ERROR, NGX_LOG_EMERG, NGX_LOG_ERR, NGX_OK, NGX_PROCESS_SINGLE,
    NGX_PROCESS_WORKER,
};

use super::now;
use crate::glue::conf::{Conf, Error};
use crate::glue::shared::{add_zone, is_alive, locked, own, refuse_layout, Use};
use crate::glue::value::Value;
use crate::guard::guarded;
use crate::limit::{
    Entry, Head, Link, Parts, Place, Process, Refused, Table, KEYS, LAYOUT, PROCESSES,
};

/// The table, and what nginx's allocator needs for itself.
const ZONE_SIZE: usize = 1792 * 1024;

/// The table's memory.
#[repr(C)]
struct Memory {
    head: Head,
    processes: [Process; PROCESSES],
    chains: [Link; KEYS],
    next: [Link; KEYS],
    entries: [Entry; KEYS],
}

// an allocator of pages of 64 kB, which take 24 bytes more each, loses two of them at the ends
const _: () = assert!(size_of::<Memory>() / 100 * 101 + 2 * 65_536 < ZONE_SIZE);

/// What [`Head::layout`] says in memory of this version.
const OWN_LAYOUT: u64 = (LAYOUT << 32) | size_of::<Memory>() as u64;

static USE: Use = Use::new();

thread_local! {
    /// Where this process counts.
    static OWN: Cell<Option<(Zone, Place)>> = const { Cell::new(None) };
}

/// The zone with the table.
type Zone = NonNull<ngx_shm_zone_t>;

/// A limit as configured.
#[derive(Clone, Copy)]
pub struct Limit {
    key: Value,
    most: u64,
    /// Answered over the limit.
    pub status: ngx_int_t,
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
    pub fn new(cf: &mut Conf, key: &str, most: u64, status: ngx_int_t) -> Result<Self, Error> {
        let key = Value::new(cf, key)?;
        // every limit of a configuration gets the same zone
        let zone = add_zone(cf, "websocket_limit_conn", ZONE_SIZE, &USE, Some(init_zone))?;
        Ok(Self { key, most, status, zone })
    }

    /// Where it counts.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// How many a key may have, in words.
    pub fn most(&self) -> String {
        self.most.to_string()
    }

    /// Counts the WebSocket that `r` asks for; `None` where its key is empty, or where nginx is a
    /// single process, whose reload may free the zone under its connections.
    ///
    /// # Errors
    /// The key has as many as it may have, or there is no room for it.
    pub fn take(&self, r: &mut ngx_http_request_t) -> Result<Option<Hold>, Refused> {
        // SAFETY: a global that nginx sets once per process
        if unsafe { ngx_process } == NGX_PROCESS_SINGLE as usize {
            return Ok(None);
        }
        // SAFETY: a live request
        let Some(value) = (unsafe { self.key.of(r) }) else { return Ok(None) };
        let (zone, place) = OWN.get().ok_or(Refused::Full)?;
        let take = |table: &mut Table| {
            let key = table.hash(value.as_bytes());
            let refused = table.take(key, place, self.most).err();
            (key, refused, refused.is_some() && table.is_time_to_look(now()))
        };
        let (key, mut refused, look) = with_table(zone, take);
        if look && remove_dead(zone) {
            refused = with_table(zone, |table| table.take(key, place, self.most).err());
        }
        match refused {
            Some(refused) => Err(refused),
            None => Ok(Some(Hold { key })),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some((zone, place)) = OWN.get() {
            with_table(zone, |table| table.give_back(self.key, place));
        }
    }
}

/// A worker begins to count, in the place of one that has died, as the case may be.
///
/// # Safety
/// Called from `init_process`, with the zone of its configuration.
pub unsafe fn enter(zone: Zone, log: *mut ngx_log_t) {
    // SAFETY: a global that nginx sets once per process
    if unsafe { ngx_process } != NGX_PROCESS_WORKER as usize {
        return;
    }
    remove_dead(zone);
    let (pid, started) = own();
    let place = with_table(zone, |table| table.enter(Process { pid, started }));
    if place.is_none() {
        ngx::ngx_log_error!(
            NGX_LOG_ERR,
            log,
            "\"websocket_limit_conn\" refuses all: there are more than {PROCESSES} processes"
        );
    }
    OWN.set(place.map(|place| (zone, place)));
}

/// The process ends.
pub fn leave() {
    if let Some((zone, place)) = OWN.take() {
        with_table(zone, |table| table.leave(place));
    }
}

/// Takes back what dead processes hold; whether there were any. They are looked for without the
/// lock: that takes a system call or two for each.
fn remove_dead(zone: Zone) -> bool {
    let mut processes = with_table(zone, |table| table.processes());
    processes.retain(|process| !is_alive(process.pid, process.started));
    !processes.is_empty() && with_table(zone, |table| table.remove(&processes))
}

/// Works on the table under the zone's lock.
fn with_table<T>(zone: Zone, work: impl FnOnce(&mut Table) -> T) -> T {
    // SAFETY: `init_zone` has run before any request; the zone lives as long as the configuration,
    // and nobody else works on its memory while it is locked
    unsafe {
        let pool = zone.as_ref().shm.addr.cast::<ngx_slab_pool_t>();
        let open = || {
            let Memory { head, processes, chains, next, entries } = &mut *(*pool).data.cast();
            Table::open(Parts { head, processes, chains, next, entries })
        };
        locked(pool, || work(&mut open()))
    }
}

/// Makes the table; after a reload it is there already, and the counts go on.
unsafe extern "C" fn init_zone(zone: *mut ngx_shm_zone_t, _: *mut c_void) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: nginx passes the zone with its memory mapped and its allocator ready
        let made = unsafe {
            let pool = (*zone).shm.addr.cast::<ngx_slab_pool_t>();
            match (*pool).data.cast::<Head>().as_ref() {
                Some(head) if head.layout == OWN_LAYOUT => true,
                Some(_) => {
                    refuse_layout(zone, "websocket_limit_conn");
                    false
                }
                None => make(pool, (*zone).shm.log),
            }
        };
        match made {
            true => NGX_OK as _,
            false => NGX_ERROR as _,
        }
    })
}

/// Makes a table in a zone; `false` where that cannot be.
///
/// # Safety
/// `pool` is a new zone of [`ZONE_SIZE`].
unsafe fn make(pool: *mut ngx_slab_pool_t, log: *mut ngx_log_t) -> bool {
    let mut seed = [0; 16];
    if let Err(error) = getrandom::fill(&mut seed) {
        ngx::ngx_log_error!(NGX_LOG_EMERG, log, "no random bits for a zone: {error}");
        return false;
    }
    let seed = u128::from_ne_bytes(seed);
    // SAFETY: by contract; all-zero is a valid value of all parts but the head
    unsafe {
        let memory = ngx_slab_calloc(pool, size_of::<Memory>()).cast::<Memory>();
        if memory.is_null() {
            return false;
        }
        (&raw mut (*memory).head).write(Head::new(OWN_LAYOUT, [seed as u64, (seed >> 64) as u64]));
        (*pool).data = memory.cast();
    }
    true
}
