//! The unit tests of `crates/nginx/src/guard.rs`. That crate needs nginx's own functions, so it
//! cannot be linked into a test binary.

#[path = "../crates/nginx/src/guard.rs"]
#[allow(dead_code)]
mod guard;
