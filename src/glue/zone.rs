//! `websocket_zone`: where processes count, seen by all of them and kept over a reload.
//!
//! [`slot`] is where this process counts, whatever the configuration: before a process has taken
//! a slot of the zone, or where there is none, in memory of its own.

use std::ffi::c_void;
use std::ptr::{addr_of, null_mut, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ngx::ffi::{
    ngx_int_t, ngx_log_t, ngx_parse_size, ngx_process, ngx_shm_zone_t, ngx_slab_calloc,
    ngx_slab_pool_t, ngx_str_t, NGX_ERROR, NGX_LOG_WARN, NGX_OK, NGX_PROCESS_SINGLE,
    NGX_PROCESS_WORKER,
};

use super::conf::{Conf, Error};
use super::shared::{self, add_zone, locked, refuse_layout, Use};
use crate::glue::bits::Bits;
use crate::guard::guarded;
use crate::limit::PROCESSES;
use crate::metrics::{claim, sum, Owner, Slot, Sum};

/// The smallest zone: a worker takes about 2 kB, its successor after a reload as much again, and
/// nginx's allocator works in pages.
const LEAST: usize = 64 * 1024;

/// What [`Header::layout`] says where the memory is laid out as this version does it: raise the
/// number with any change to a [`Slot`].
const LAYOUT: u64 = (2 << 32) | size_of::<Slot>() as u64;

static USE: Use = Use::new();

/// The beginning of the zone's memory.
#[repr(C)]
struct Header {
    layout: u64,
    /// When it was made, in seconds since 1970.
    started: u64,
    /// How many slots follow.
    slots: usize,
}

/// Where a process counts that has no slot of the zone.
static PRIVATE: Slot = Slot::new();

static OWN: AtomicPtr<Slot> = AtomicPtr::new((&raw const PRIVATE).cast_mut());

/// The zone of this process, if it has one.
static ZONE: AtomicPtr<ngx_slab_pool_t> = AtomicPtr::new(null_mut());

/// When this process began to serve without one, in seconds since 1970.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// Where this process counts.
#[inline]
pub fn slot() -> &'static Slot {
    // SAFETY: it points to a static, or into memory that stays mapped until the process ends, and
    // that is read and written through atomics alone
    unsafe { &*OWN.load(Ordering::Relaxed) }
}

/// All that was counted, when that began in seconds since 1970; `newest` is the number of the
/// newest configuration.
pub fn total(newest: u64) -> (Sum, u64) {
    // SAFETY: null or the zone of this process, which stays mapped
    match unsafe { ZONE.load(Ordering::Relaxed).as_ref() } {
        // SAFETY: `init_zone` has made it
        Some(pool) => unsafe {
            (sum(slots(pool), newest, is_alive), (*pool.data.cast::<Header>()).started)
        },
        None => (sum([slot()], newest, |_| true), STARTED.load(Ordering::Relaxed)),
    }
}

/// Adds the zone that `NAME:SIZE` describes.
///
/// # Errors
/// It is none, is too small, or there is no memory.
pub fn add(cf: &mut Conf, word: &str) -> Result<NonNull<ngx_shm_zone_t>, Error> {
    let invalid = |expected: &str| {
        Error::Message(format!(
            "invalid value \"{word}\" in \"websocket_zone\" directive, it must be {expected}"
        ))
    };
    let (name, size) = word
        .split_once(':')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| invalid("a name and a size such as \"elb:256k\""))?;
    let mut text = ngx_str_t { len: size.len(), data: size.as_ptr().cast_mut() };
    // SAFETY: the text is only read
    let size = usize::try_from(unsafe { ngx_parse_size(&raw mut text) })
        .map_err(|_| invalid("a name and a size such as \"elb:256k\""))?;
    if size < LEAST {
        return Err(invalid("of 64k at least"));
    }
    add_zone(cf, name, size, &USE, Some(init_zone))
}

/// Makes the slots; after a reload they are there already, and the counts go on.
unsafe extern "C" fn init_zone(zone: *mut ngx_shm_zone_t, _: *mut c_void) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: nginx passes the zone with its memory mapped and its allocator ready
        unsafe {
            let pool = (*zone).shm.addr.cast::<ngx_slab_pool_t>();
            let found = (*pool).data.cast::<Header>();
            if found.is_null() {
                return if make(pool, (*zone).shm.size) { NGX_OK as _ } else { NGX_ERROR as _ };
            }
            if (*found).layout != LAYOUT {
                refuse_layout(zone, "websocket_zone");
                return NGX_ERROR as _;
            }
        }
        NGX_OK as _
    })
}

/// Makes as many slots as there is room for, and nginx can have processes.
///
/// # Safety
/// `pool` is a new zone of `size` bytes.
unsafe fn make(pool: *mut ngx_slab_pool_t, size: usize) -> bool {
    let most = PROCESSES.min((size - size_of::<ngx_slab_pool_t>()) / size_of::<Slot>());
    // SAFETY: by contract; zeroed memory is a valid header and free slots
    unsafe {
        // less is tried than there can be, so a failure is none
        (*pool).bits_mut().set_log_nomem(0);
        for slots in (1..=most).rev() {
            let bytes = size_of::<Header>() + slots * size_of::<Slot>();
            let header = ngx_slab_calloc(pool, bytes).cast::<Header>();
            if let Some(header) = header.as_mut() {
                *header = Header { layout: LAYOUT, started: unix_time(), slots };
                (*pool).data = (&raw mut *header).cast();
                return true;
            }
        }
    }
    false
}

/// Takes a slot for this process, or memory of its own where there is none.
///
/// # Safety
/// Called from `init_process`, with the zone of its configuration or null.
pub unsafe fn enter(zone: *mut ngx_shm_zone_t, generation: u64, log: *mut ngx_log_t) {
    STARTED.store(unix_time(), Ordering::Relaxed);
    let (pid, started) = shared::own();
    let owner = Owner { pid, started, generation };
    // SAFETY: a global that nginx sets once per process
    let process = unsafe { ngx_process };
    if process == NGX_PROCESS_SINGLE as usize {
        // a reload of a single process may free the zone under it
        PRIVATE.take(owner);
    }
    // nor does the cache manager serve
    if zone.is_null() || process != NGX_PROCESS_WORKER as usize {
        return;
    }
    // SAFETY: `init_zone` has made the slots
    unsafe {
        let pool = (*zone).shm.addr.cast::<ngx_slab_pool_t>();
        let slot = locked(pool, || claim(slots(&*pool), owner, is_alive));
        ZONE.store(pool, Ordering::Relaxed);
        match slot {
            Some(slot) => OWN.store((&raw const *slot).cast_mut(), Ordering::Relaxed),
            None => {
                ngx::ngx_log_error!(
                    NGX_LOG_WARN,
                    log,
                    "websocket_zone \"{}\" has no room for this process, whose counters nobody \
                     will see: it must be larger",
                    (*zone).shm.name
                );
            }
        }
    }
}

/// The process ends.
pub fn leave() {
    if !std::ptr::eq(slot(), addr_of!(PRIVATE)) {
        slot().release();
    }
}

/// # Safety
/// `init_zone` has made the slots.
unsafe fn slots(pool: &ngx_slab_pool_t) -> &'static [Slot] {
    // SAFETY: by contract; the slots follow the header, both are aligned to 8
    unsafe {
        let header = pool.data.cast::<Header>();
        std::slice::from_raw_parts(header.add(1).cast::<Slot>(), (*header).slots)
    }
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Whether a process is the one that it was.
fn is_alive(owner: Owner) -> bool {
    shared::is_alive(owner.pid, owner.started)
}
