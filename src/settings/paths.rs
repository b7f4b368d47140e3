//! Files and folders that variables name and nginx opens: why one cannot be opened, and the remedy.

use std::io::{Error, ErrorKind};

use super::Fault;

/// How nginx uses a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// nginx appends lines to it.
    Log,
    /// nginx creates the folder and files in it.
    Folder,
}

/// The path in the arguments of a directive, which nginx opens after it has read the configuration.
pub fn path_in<'a>(words: &[&'a str]) -> Option<(Use, &'a str)> {
    match words {
        ["access_log" | "websocket_log", "off", ..]
        | ["websocket_log", "stdout" | "stderr", ..]
        | ["error_log", "stderr", ..] => None,
        ["access_log" | "error_log" | "websocket_log", path, ..] => {
            let other = path.starts_with("syslog:") || path.starts_with("memory:");
            (!other).then_some((Use::Log, path))
        }
        [directive, path, ..] if directive.ends_with("_temp_path") => Some((Use::Folder, path)),
        _ => None,
    }
}

/// The device of a standard stream, for the word that names the stream.
pub fn stream(word: &str) -> Option<&'static str> {
    match word {
        "stdout" => Some("/dev/stdout"),
        "stderr" => Some("/dev/stderr"),
        _ => None,
    }
}

/// The operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Opening or creating the path.
    Open,
    /// Changing its owner to the user of the workers.
    Give(u32),
}

/// `No such device or address`: opening a socket by its path, or a pipe without a reader.
const ENXIO: i32 = 6;

/// The fault of a path that a variable or its default names.
pub fn fault(variable: &str, what_for: Use, path: &str, step: Step, error: &Error) -> Fault {
    let why = error.to_string();
    let why = why.split(" (os error").next().unwrap_or_default();
    let (what, remedy) = match (what_for, step) {
        (_, Step::Give(user)) => (
            format!("\"{path}\" cannot be given to user {user}, which workers run as"),
            format!(
                "start nginx as that user (docker run --user {user}), leave it the capability \
                 CHOWN, or let {variable} name a folder that belongs to that user"
            ),
        ),
        (Use::Log, Step::Open) => (
            format!("log \"{path}\" cannot be opened"),
            format!("{}, or set {variable} to \"stdout\" or \"stderr\"", mend(error)),
        ),
        (Use::Folder, Step::Open) => (
            format!("folder \"{path}\" cannot be made"),
            format!("{}, as docker run --tmpfs /tmp does for the default", mend(error)),
        ),
    };
    Fault::new(format!("environment variable \"{variable}\": {what}: {why}; {remedy}"))
}

/// The remedy for a problem of the path itself.
fn mend(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "create the folder that it is in",
        ErrorKind::PermissionDenied => "let the user that nginx runs as write there",
        ErrorKind::IsADirectory => "name a file in that folder",
        ErrorKind::ReadOnlyFilesystem => "mount a folder there that can be written to",
        _ if error.raw_os_error() == Some(ENXIO) => {
            "it is a socket or a pipe that nobody reads: name a file"
        }
        _ => "name another one",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_directive() {
        type Case<'a> = (&'a [&'a str], Option<(Use, &'a str)>);
        let cases: &[Case] = &[
            (&["access_log", "/a", "json"], Some((Use::Log, "/a"))),
            (&["error_log", "a", "notice"], Some((Use::Log, "a"))),
            (&["error_log", "stderr", "notice"], None),
            (&["error_log", "memory:32m", "debug"], None),
            (&["access_log", "syslog:server=a"], None),
            (&["access_log", "off"], None),
            (&["websocket_log", "off", "json"], None),
            (&["websocket_log", "stdout", "json"], None),
            (&["websocket_log", "/dev/stdout"], Some((Use::Log, "/dev/stdout"))),
            (&["proxy_temp_path", "/tmp/proxy"], Some((Use::Folder, "/tmp/proxy"))),
            (&["return", "200"], None),
            (&["access_log"], None),
        ];
        for (words, expected) in cases {
            assert_eq!(path_in(words), *expected, "{words:?}");
        }
    }

    #[test]
    fn a_fault_says_what_to_do() {
        let fault = |variable, what_for, path, step, code| {
            fault(variable, what_for, path, step, &Error::from_raw_os_error(code)).to_string()
        };
        let log = |code| fault("ACCESS_LOG", Use::Log, "/a/b", Step::Open, code);
        let or = ", or set ACCESS_LOG to \"stdout\" or \"stderr\"";
        let cases = [
            (2, "No such file or directory; create the folder that it is in"),
            (13, "Permission denied; let the user that nginx runs as write there"),
            (21, "Is a directory; name a file in that folder"),
            (30, "Read-only file system; mount a folder there that can be written to"),
            (6, "No such device or address; it is a socket or a pipe that nobody reads: name a file"),
            (40, "Too many levels of symbolic links; name another one"),
        ];
        for (code, expected) in cases {
            let expected = format!(
                "environment variable \"ACCESS_LOG\": log \"/a/b\" cannot be opened: {expected}{or}"
            );
            assert_eq!(log(code), expected, "{code}");
        }
        assert_eq!(
            fault("TEMP_PATH", Use::Folder, "/tmp/proxy", Step::Open, 30),
            "environment variable \"TEMP_PATH\": folder \"/tmp/proxy\" cannot be made: Read-only \
             file system; mount a folder there that can be written to, as docker run --tmpfs /tmp \
             does for the default"
        );
        assert_eq!(
            fault("TEMP_PATH", Use::Folder, "/tmp/proxy", Step::Give(101), 1),
            "environment variable \"TEMP_PATH\": \"/tmp/proxy\" cannot be given to user 101, which \
             workers run as: Operation not permitted; start nginx as that user (docker run --user \
             101), leave it the capability CHOWN, or let TEMP_PATH name a folder that belongs to \
             that user"
        );
    }
}
