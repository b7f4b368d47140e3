//! This process and other processes.

use std::fs;
use std::io::ErrorKind;

use ngx::ffi::{
    kill, ngx_current_msec, ngx_errno, ngx_exiting, ngx_process, ngx_quit, ngx_terminate,
    ngx_test_config, ngx_time, ngx_worker, EPERM, NGX_PROCESS_SIGNALLER, NGX_PROCESS_SINGLE,
    NGX_PROCESS_WORKER,
};

/// The role of a process of nginx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A worker, with its number among the workers of its configuration.
    Worker(usize),
    /// The only process (`master_process off`).
    Single,
    /// Another role: master, cache process, or a process that sends a signal.
    Other,
}

/// The role of this process. Final from `init_process` on; before that it is that of the process
/// that reads the configuration.
pub fn role() -> Role {
    // SAFETY: nginx sets both once in each process, before it calls `init_process`
    let (process, number) = unsafe { (ngx_process as u32, ngx_worker) };
    match process {
        NGX_PROCESS_WORKER => Role::Worker(number),
        NGX_PROCESS_SINGLE => Role::Single,
        _ => Role::Other,
    }
}

/// Whether this process starts a server, rather than to test a configuration (`-t`) or to send a
/// signal (`-s`).
pub fn starts_server() -> bool {
    // SAFETY: nginx sets this global once, before it reads a configuration
    unsafe { ngx_test_config == 0 && !only_signals() }
}

/// Whether this process only sends a signal to another one (`-s`). It opens no files or sockets.
pub fn only_signals() -> bool {
    // SAFETY: nginx sets this global once, before it reads a configuration
    unsafe { ngx_process == NGX_PROCESS_SIGNALLER as usize }
}

/// Whether this worker has begun a graceful exit.
#[inline]
pub fn is_exiting() -> bool {
    // SAFETY: only nginx's thread writes this global
    unsafe { ngx_exiting != 0 }
}

/// Whether this process has been asked to exit, even if only its signal handler knows yet.
pub fn is_asked_to_leave() -> bool {
    // SAFETY: the signal handler writes these globals, so they are read as volatile
    let asked = unsafe {
        (&raw const ngx_quit).read_volatile() != 0
            || (&raw const ngx_terminate).read_volatile() != 0
    };
    asked || is_exiting()
}

/// Removes a variable from the environment of this process. Ignores names that no variable can
/// have. To be called in `init_process`, before anything starts a thread.
pub fn remove_variable(name: &str) {
    if !name.is_empty() && !name.contains(['=', '\0']) {
        // SAFETY: a process of nginx has one thread when it calls modules
        unsafe { std::env::remove_var(name) };
    }
}

/// nginx's clock in milliseconds, monotonic and of arbitrary origin. nginx updates it once per
/// iteration of the event loop.
#[inline]
pub fn now() -> u64 {
    // SAFETY: only nginx's thread writes this global
    unsafe { ngx_current_msec as u64 }
}

/// nginx's clock in seconds since 1970.
pub fn unix_time() -> u64 {
    u64::try_from(ngx_time()).unwrap_or(0)
}

/// The start time of a process if /proc does not provide it.
const UNKNOWN: u64 = 0;
/// The ID of this process and its start time in clock ticks since boot, for [`is_alive`].
pub fn own() -> (u64, u64) {
    let pid = u64::from(std::process::id());
    match look_up(pid) {
        Stat::Started(started) => (pid, started),
        _ => (pid, UNKNOWN),
    }
}

/// Whether the process with this ID and start time, from [`own`], is still running. Without /proc,
/// any process with this ID is taken for it. The same applies to a process of another user, which
/// /proc may hide, and if /proc cannot be read now, for example for lack of file descriptors.
pub fn is_alive(pid: u64, started: u64) -> bool {
    match (look_up(pid), find(pid)) {
        (Stat::Started(at), _) => at == started || started == UNKNOWN,
        (Stat::Ended, _) | (_, Found::Nobody) => false,
        (Stat::Nothing, Found::Process) => started == UNKNOWN,
        (Stat::Nothing, Found::Foreign) | (Stat::Unreadable, _) => true,
    }
}

/// What proc_pid_stat(5) reports about a process.
enum Stat {
    /// Its start time.
    Started(u64),
    /// It has ended and is a zombie.
    Ended,
    /// No entry: there is no such process or no /proc, or the entry is hidden.
    Nothing,
    /// It cannot be read now.
    Unreadable,
}

fn look_up(pid: u64) -> Stat {
    let stat = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error) if error.kind() == ErrorKind::NotFound => return Stat::Nothing,
        Err(_) => return Stat::Unreadable,
    };
    // the name of the program is in parentheses and may contain any character; the state is the
    // next field
    let end = stat.iter().rposition(|byte| *byte == b')').map_or(0, |end| end + 1);
    let fields = String::from_utf8_lossy(stat.get(end..).unwrap_or_default());
    let mut fields = fields.split_ascii_whitespace();
    match (fields.next(), fields.nth(18).and_then(|field| field.parse().ok())) {
        (Some("Z" | "X"), _) => Stat::Ended,
        (Some(_), Some(started)) => Stat::Started(started),
        _ => Stat::Unreadable,
    }
}

/// The result of looking for a process by its ID.
enum Found {
    /// No process.
    Nobody,
    /// A process, which may be a zombie.
    Process,
    /// A process of another user.
    Foreign,
}

/// Looks for a process by its ID.
fn find(pid: u64) -> Found {
    // SAFETY: signal 0 only checks for the process
    match unsafe { kill(pid as _, 0) } {
        0 => Found::Process,
        _ if ngx_errno() == EPERM as i32 => Found::Foreign,
        _ => Found::Nobody,
    }
}
