//! Memory that processes share, and those processes.

use std::fs;
use std::io::ErrorKind;
use std::ptr::NonNull;

use ngx::ffi::{
    kill, ngx_errno, ngx_shared_memory_add, ngx_shm_zone_init_pt, ngx_shm_zone_t, ngx_shmtx_lock,
    ngx_shmtx_unlock, ngx_slab_pool_t, EPERM, NGX_LOG_EMERG,
};

use super::conf::{Conf, Error};

/// What a zone is for; each use has one of its own, by whose address nginx tells them apart. The
/// module would not do for that: two uses under one name would be one memory.
pub struct Use(#[allow(dead_code)] u8);

impl Use {
    /// To be kept in a static.
    pub const fn new() -> Self {
        Self(0)
    }
}

/// Adds a zone to the configuration.
///
/// # Errors
/// One of this name has another use or size, or there is no memory.
pub fn add_zone(
    cf: &mut Conf,
    name: &str,
    size: usize,
    what_for: &'static Use,
    init: ngx_shm_zone_init_pt,
) -> Result<NonNull<ngx_shm_zone_t>, Error> {
    let mut name = cf.string(name)?;
    let tag = (&raw const *what_for).cast_mut().cast();
    // SAFETY: the name is in the configuration's memory; nginx compares the tag alone
    let zone = unsafe { ngx_shared_memory_add(cf.as_ptr(), &raw mut name, size, tag) };
    let Some(mut zone) = NonNull::new(zone) else { return Err(Error::Logged) };
    // SAFETY: a zone of this use, whose only user is the caller
    unsafe { zone.as_mut().init = init };
    Ok(zone)
}

/// Tells why a zone that an older configuration has left cannot be used.
///
/// # Safety
/// `zone` is what nginx passes to its `init`.
pub unsafe fn refuse_layout(zone: *mut ngx_shm_zone_t, directive: &str) {
    // SAFETY: by contract
    let shm = unsafe { &(*zone).shm };
    ngx::ngx_log_error!(
        NGX_LOG_EMERG,
        shm.log,
        "zone \"{}\" of \"{directive}\" was made by another version of the module: restart nginx, \
         or give the zone another name",
        shm.name
    );
}

/// The start time of a process where there is no /proc to tell.
const UNKNOWN: u64 = 0;

/// A zone that is locked, until it is dropped.
struct Lock(*mut ngx_slab_pool_t);

impl Drop for Lock {
    fn drop(&mut self) {
        // SAFETY: mapped by the contract of `locked`, and locked there
        unsafe { ngx_shmtx_unlock(&raw mut (*self.0).mutex) };
    }
}

/// Works under the lock of a zone, which nginx opens again should the process die, and a panic
/// does too.
///
/// # Safety
/// `pool` is the beginning of a zone that is mapped.
pub unsafe fn locked<T>(pool: *mut ngx_slab_pool_t, work: impl FnOnce() -> T) -> T {
    // SAFETY: by contract
    unsafe { ngx_shmtx_lock(&raw mut (*pool).mutex) };
    let _lock = Lock(pool);
    work()
}

/// The number of this process and when it started, in the system's ticks since its boot, as
/// [`is_alive`] takes them.
pub fn own() -> (u64, u64) {
    let pid = u64::from(std::process::id());
    match look_up(pid) {
        Stat::Started(started) => (pid, started),
        _ => (pid, UNKNOWN),
    }
}

/// Whether a process is the one that it was. Where there is no /proc, one with the same number is
/// taken for it; so is one of another user, which /proc may hide, and one of which nothing can be
/// found out now, as when this process has no file descriptor left.
pub fn is_alive(pid: u64, started: u64) -> bool {
    match (look_up(pid), find(pid)) {
        (Stat::Started(at), _) => at == started || started == UNKNOWN,
        (Stat::Ended, _) | (_, Found::Nobody) => false,
        (Stat::Nothing, Found::Process) => started == UNKNOWN,
        (Stat::Nothing, Found::Foreign) | (Stat::Unreadable, _) => true,
    }
}

/// What proc_pid_stat(5) says of a process.
enum Stat {
    /// When it started.
    Started(u64),
    /// That it has ended, but for its status.
    Ended,
    /// Nothing: there is none, or no /proc, or it is hidden.
    Nothing,
    /// That cannot be told now.
    Unreadable,
}

fn look_up(pid: u64) -> Stat {
    let stat = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error) if error.kind() == ErrorKind::NotFound => return Stat::Nothing,
        Err(_) => return Stat::Unreadable,
    };
    // the name of the program is in brackets and may hold anything; the state is the next field
    let end = stat.iter().rposition(|byte| *byte == b')').map_or(0, |end| end + 1);
    let fields = String::from_utf8_lossy(stat.get(end..).unwrap_or_default());
    let mut fields = fields.split_ascii_whitespace();
    match (fields.next(), fields.nth(18).and_then(|field| field.parse().ok())) {
        (Some("Z" | "X"), _) => Stat::Ended,
        (Some(_), Some(started)) => Stat::Started(started),
        _ => Stat::Unreadable,
    }
}

/// Who has the number of a process.
enum Found {
    /// Nobody.
    Nobody,
    /// A process, which may have ended but for its status.
    Process,
    /// One of another user, of which no more can be told.
    Foreign,
}

/// Looks for the process with a number.
fn find(pid: u64) -> Found {
    // SAFETY: signal 0 is none
    match unsafe { kill(pid as _, 0) } {
        0 => Found::Process,
        _ if ngx_errno() == EPERM as i32 => Found::Foreign,
        _ => Found::Nobody,
    }
}
