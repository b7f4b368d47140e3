//! Memory that processes share, and those processes.

use ngx::ffi::{kill, ngx_errno, ngx_shmtx_lock, ngx_shmtx_unlock, ngx_slab_pool_t, EPERM};

/// Works under the lock of a zone, which nginx opens again should the process die.
///
/// # Safety
/// `pool` is the beginning of a zone that is mapped.
pub unsafe fn locked<T>(pool: *mut ngx_slab_pool_t, work: impl FnOnce() -> T) -> T {
    // SAFETY: by contract
    unsafe {
        ngx_shmtx_lock(&raw mut (*pool).mutex);
        let result = work();
        ngx_shmtx_unlock(&raw mut (*pool).mutex);
        result
    }
}

/// Who has the number of a process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nobody.
    Nobody,
    /// A process, which may have ended but for its status.
    Process,
    /// One of another user, of which no more can be told.
    Foreign,
}

/// Looks for the process with a number.
pub fn find(pid: u64) -> Found {
    // SAFETY: signal 0 is none
    match unsafe { kill(pid as _, 0) } {
        0 => Found::Process,
        _ if ngx_errno() == EPERM as i32 => Found::Foreign,
        _ => Found::Nobody,
    }
}
