//! The unit tests of `crates/nginx/src/guard.rs`. That crate needs nginx's own functions, so no test
//! binary can be linked of it.

#[path = "../crates/nginx/src/guard.rs"]
#[allow(dead_code)]
mod guard;
