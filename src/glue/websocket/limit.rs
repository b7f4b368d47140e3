//! `websocket_limit_conn`: how many WebSockets one key may have.

use std::ffi::c_void;
use std::hash::{DefaultHasher, Hash, Hasher};

use ngx::ffi::{
    ngx_http_request_t, ngx_int_t, ngx_process, ngx_shared_memory_add, ngx_shm_zone_t,
    ngx_slab_calloc, ngx_slab_pool_t, NGX_ERROR, NGX_OK, NGX_PROCESS_SINGLE,
};

use super::ngx_http_websocket_module;
use crate::glue::conf::{Conf, Error};
use crate::glue::shared::{find, locked, Found};
use crate::glue::value::Value;
use crate::limit::{give_back, take, Refused, Slot};

/// Memory of the table, shared by all workers: about 57,000 keys.
const ZONE_SIZE: usize = 1024 * 1024;

/// Slots in that memory, less what the allocator needs for itself.
const SLOTS: usize = ZONE_SIZE / size_of::<Slot>() / 8 * 7;

/// A limit as configured.
#[derive(Clone, Copy)]
pub struct Limit {
    key: Value,
    most: u64,
    /// Answered over the limit.
    pub status: ngx_int_t,
    zone: *mut ngx_shm_zone_t,
}

/// One WebSocket of a key, given back when dropped.
pub struct Hold {
    zone: *mut ngx_shm_zone_t,
    key: u64,
}

impl Limit {
    /// A limit of `most` for what the variables in `key` come to.
    ///
    /// # Errors
    /// nginx refuses the key, or there is no memory.
    pub fn new(cf: &mut Conf, key: &str, most: u64, status: ngx_int_t) -> Result<Self, Error> {
        let key = Value::new(cf, key)?;
        let mut name = cf.string("websocket_limit_conn")?;
        // SAFETY: nginx copies the name; every limit of a configuration gets the same zone
        let zone = unsafe {
            ngx_shared_memory_add(
                cf.as_ptr(),
                &raw mut name,
                ZONE_SIZE,
                (&raw mut ngx_http_websocket_module).cast(),
            )
        };
        // SAFETY: null or the zone
        let Some(found) = (unsafe { zone.as_mut() }) else { return Err(Error::Logged) };
        found.init = Some(init_zone);
        Ok(Self { key, most, status, zone })
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
        let mut hasher = DefaultHasher::new();
        value.as_bytes().hash(&mut hasher);
        let key = hasher.finish();
        with_slots(self.zone, |slots| take(slots, key, own_pid(), self.most, is_alive))?;
        Ok(Some(Hold { zone: self.zone, key }))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        with_slots(self.zone, |slots| give_back(slots, self.key, own_pid()));
    }
}

fn own_pid() -> u32 {
    std::process::id()
}

/// Whether there is a process with this number. One of another user counts too: whether it may be
/// signalled is another question.
fn is_alive(process: u32) -> bool {
    find(process.into()) != Found::Nobody
}

/// Works on the table under the zone's lock.
fn with_slots<T>(zone: *mut ngx_shm_zone_t, work: impl FnOnce(&mut [Slot]) -> T) -> T {
    // SAFETY: `init_zone` has run before any request; the zone lives as long as the configuration
    unsafe {
        let pool = (*zone).shm.addr.cast::<ngx_slab_pool_t>();
        let slots = || std::slice::from_raw_parts_mut((*pool).data.cast::<Slot>(), SLOTS);
        locked(pool, || work(slots()))
    }
}

/// Makes the table; after a reload it is there already, and the counts go on.
unsafe extern "C" fn init_zone(zone: *mut ngx_shm_zone_t, _: *mut c_void) -> ngx_int_t {
    // SAFETY: nginx passes the zone with its memory mapped and its allocator ready
    unsafe {
        let pool = (*zone).shm.addr.cast::<ngx_slab_pool_t>();
        if (*pool).data.is_null() {
            (*pool).data = ngx_slab_calloc(pool, SLOTS * size_of::<Slot>());
        }
        if (*pool).data.is_null() {
            return NGX_ERROR as _;
        }
    }
    NGX_OK as _
}
