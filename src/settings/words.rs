//! Words that `elb_env` interprets because nginx does not, or interprets differently.

use super::paths::stream;
use crate::container::workers;

/// The words of a directive, replaced for nginx. `processors` is called only if needed.
///
/// # Errors
/// A word would not have its intended meaning; the message is for the operator.
pub fn understood(
    words: &[&str],
    processors: impl FnOnce() -> usize,
) -> Result<Vec<String>, String> {
    let mut understood: Vec<String> = words.iter().copied().map(str::to_owned).collect();
    match words {
        // nginx counts the processors of the machine
        ["worker_processes", "auto"] => understood[1] = workers(processors()).to_string(),
        // nginx refuses a format after `off`
        ["access_log", "off", ..] => understood.truncate(2),
        // nginx accepts this word itself
        ["error_log", "stderr", ..] => {}
        // nginx would create a file of this name
        ["error_log", "off", ..] => {
            return Err("invalid value \"off\" in \"error_log\" directive, it must be a file, \
                        \"stdout\" or \"stderr\"; a log of nothing is \"/dev/null\""
                .to_owned());
        }
        ["access_log" | "error_log", word, ..] => {
            if let Some(device) = stream(word) {
                understood[1] = device.to_owned();
            }
        }
        _ => {}
    }
    Ok(understood)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood() {
        let cases: &[(&[&str], &[&str])] = &[
            (&["worker_processes", "auto"], &["worker_processes", "3"]),
            (&["worker_processes", "2"], &["worker_processes", "2"]),
            (&["worker_cpu_affinity", "auto"], &["worker_cpu_affinity", "auto"]),
            (&["access_log", "off", "json"], &["access_log", "off"]),
            (&["access_log", "stdout", "json"], &["access_log", "/dev/stdout", "json"]),
            (&["access_log", "stderr"], &["access_log", "/dev/stderr"]),
            (&["access_log", "/stdout", "json"], &["access_log", "/stdout", "json"]),
            (&["error_log", "stdout", "info"], &["error_log", "/dev/stdout", "info"]),
            (&["error_log", "stderr", "info"], &["error_log", "stderr", "info"]),
            (&["return", "stdout"], &["return", "stdout"]),
            (&[], &[]),
        ];
        for (words, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(understood(words, || 3), Ok(expected), "{words:?}");
        }
        let error = understood(&["error_log", "off", "info"], || 3).expect_err("off");
        assert!(error.starts_with("invalid value \"off\" in \"error_log\" directive"), "{error}");
    }
}
