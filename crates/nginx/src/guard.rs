//! What stands between nginx and each callback of ours.

use std::panic::{catch_unwind, AssertUnwindSafe};

/// Does the work of a callback, or gives `otherwise` where that panics: a panic must not unwind into
/// C, and Rust ends the process where one would. What the work was about is in the state that it was
/// in, so `otherwise` is what makes nginx give it up: an error for a request or a configuration. The
/// panic is in the log (`std::panic::set_hook`).
#[inline]
pub fn guarded<T>(otherwise: T, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_what_stands_for_it() {
        assert_eq!(guarded(-1, || 7), 7);
        assert_eq!(guarded(-1, || [7][std::hint::black_box(1)]), -1);
    }
}
