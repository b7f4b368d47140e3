//! Tries the paths that nginx will open, before it does: nginx's own message names neither the
//! variable nor a remedy.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, stderr, stdout, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{chown, DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nginx::cycle::Cycle;

use crate::settings::paths::{fault, Step, Use};
use crate::settings::Fault;

/// A path in a directive, and the variable that it comes from.
pub struct Named {
    /// The name of the variable, also if its default applies.
    pub variable: String,
    /// What nginx uses the path for.
    pub what_for: Use,
    /// The path.
    pub path: PathBuf,
}

/// The faults of the paths, one for each variable.
pub fn faults(named: &[Named], user: Option<u32>) -> Vec<Fault> {
    let mut faulty: Vec<&str> = Vec::new();
    let mut faults = Vec::new();
    for Named { variable, what_for, path } in named {
        let tried = match what_for {
            Use::Log => try_log(path).map_err(|error| (Step::Open, error)),
            Use::Folder => try_folder(path, user),
        };
        let Err((step, error)) = tried else { continue };
        if !faulty.contains(&variable.as_str()) {
            faulty.push(variable);
            faults.push(fault(variable, *what_for, &path.to_string_lossy(), step, &error));
        }
    }
    faults
}

/// Opens a log as nginx does (`ngx_init_cycle`). Standard streams are skipped, see [`streams`]; so
/// are named pipes, whose reader would see an end of file.
fn try_log(path: &Path) -> io::Result<()> {
    let is_pipe = || fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    if STREAMS.contains(&path.as_os_str().as_encoded_bytes()) || is_pipe() {
        return Ok(());
    }
    open(path)
}

fn open(path: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(path).map(drop)
}

/// Creates a directory as nginx does (`ngx_create_paths`).
fn try_folder(path: &Path, user: Option<u32>) -> Result<(), (Step, io::Error)> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err((Step::Open, error)),
        _ => {}
    }
    let Some(user) = user else { return Ok(()) };
    let owner = fs::metadata(path).map_err(|error| (Step::Open, error))?.uid();
    match owner == user {
        true => Ok(()),
        false => chown(path, Some(user), None).map_err(|error| (Step::Give(user), error)),
    }
}

/// The paths of the standard streams.
const STREAMS: [&[u8]; 2] = [b"/dev/stdout", b"/dev/stderr"];

/// Makes nginx use a standard stream itself for logs to it if its path cannot be opened: it is a
/// socket under systemd, and may be a pipe of another user. nginx closes the descriptor with the
/// configuration, so each log gets a copy.
///
/// # Errors
/// The stream is not open; the message says which one.
pub fn streams(cycle: Cycle) -> Result<(), String> {
    cycle.for_each_file(|mut file| {
        let path = file.path();
        let which = STREAMS.iter().position(|stream| *stream == path.as_bytes());
        let Some(which) = which.filter(|_| open(Path::new(&path)).is_err()) else { return Ok(()) };
        let copy = match which {
            0 => stdout().as_fd().try_clone_to_owned(),
            _ => stderr().as_fd().try_clone_to_owned(),
        };
        file.replace(copy.map_err(|error| format!("\"{path}\" is not open: {error}"))?);
        Ok(())
    })
}
