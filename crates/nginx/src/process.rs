//! This process, and others.

use std::fs;
use std::io::ErrorKind;

use ngx::ffi::{
    kill, ngx_current_msec, ngx_errno, ngx_exiting, ngx_process, ngx_quit, ngx_terminate,
    ngx_test_config, ngx_time, ngx_worker, EPERM, NGX_PROCESS_SIGNALLER, NGX_PROCESS_SINGLE,
    NGX_PROCESS_WORKER,
};

/// What a process of nginx is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It serves, with this number among the workers of its configuration.
    Worker(usize),
    /// It is the only one (`master_process off`).
    Single,
    /// It does something else: it watches over workers, over a cache, or sends a signal.
    Other,
}

/// What this process is for.
pub fn role() -> Role {
    // SAFETY: globals that nginx sets once per process, before it calls a module
    let (process, number) = unsafe { (ngx_process as u32, ngx_worker) };
    match process {
        NGX_PROCESS_WORKER => Role::Worker(number),
        NGX_PROCESS_SINGLE => Role::Single,
        _ => Role::Other,
    }
}

/// Whether this process starts a server: it does not where it tests a configuration (`-t`) or sends
/// a signal (`-s`).
pub fn starts_server() -> bool {
    // SAFETY: a global that nginx sets once, before it reads a configuration
    unsafe { ngx_test_config == 0 && !only_signals() }
}

/// Whether this process only sends a signal to another (`-s`): it opens nothing.
pub fn only_signals() -> bool {
    // SAFETY: a global that nginx sets once, before it reads a configuration
    unsafe { ngx_process == NGX_PROCESS_SIGNALLER as usize }
}

/// Whether this worker has begun to leave.
#[inline]
pub fn is_exiting() -> bool {
    // SAFETY: a global of nginx
    unsafe { ngx_exiting != 0 }
}

/// Whether this process has been asked to leave, as far as its signal handler knows.
pub fn is_asked_to_leave() -> bool {
    // SAFETY: globals of nginx, which its signal handler writes
    let asked = unsafe {
        (&raw const ngx_quit).read_volatile() != 0
            || (&raw const ngx_terminate).read_volatile() != 0
    };
    asked || is_exiting()
}

/// Removes a variable from the environment of this process.
pub fn remove_variable(name: &str) {
    if !name.is_empty() && !name.contains(['=', '\0']) {
        // SAFETY: a process of nginx is one thread where modules are called
        unsafe { std::env::remove_var(name) };
    }
}

/// nginx's clock, in milliseconds; it stands still while a handler runs.
#[inline]
pub fn now() -> u64 {
    // SAFETY: a global of nginx that its single thread writes
    unsafe { ngx_current_msec as u64 }
}

/// nginx's clock, in seconds since 1970.
pub fn unix_time() -> u64 {
    u64::try_from(ngx_time()).unwrap_or(0)
}

/// The start time of a process where there is no /proc to tell.
const UNKNOWN: u64 = 0;
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
