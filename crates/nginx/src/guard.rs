//! Stops panics at the boundary between Rust callbacks and nginx.

use std::panic::{catch_unwind, AssertUnwindSafe};

/// Runs the body of a callback and returns `otherwise` if it panics. A panic must not unwind into
/// C: Rust aborts the process if it tries to. The state that `work` was changing may be
/// inconsistent, so `otherwise` must make nginx abandon it: an error code for a request or a
/// configuration. This function does not log the panic; install a hook with `std::panic::set_hook`
/// for that.
///
/// Needs `panic = "unwind"`.
#[inline]
pub fn guarded<T>(otherwise: T, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_returns_otherwise() {
        assert_eq!(guarded(-1, || 7), 7);
        assert_eq!(guarded(-1, || [7][std::hint::black_box(1)]), -1);
    }
}
