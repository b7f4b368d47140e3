//! nginx: the only layer that knows it, and the only `unsafe` code. Each function that nginx calls
//! does its work in [`guarded`](crate::guard::guarded); `tests/callbacks.rs` sees to it.
//!
//! - `conf`: what a directive's handler may do, as safe functions; the one shim behind every
//!   directive of this crate.
//! - `module`: the configurations of a module, made and merged.
//! - `start`: the core module that collects the faults of a start and fails it at its end.
//! - `env`: `elb_env`.
//! - `elb`: the HTTP module with the `elb_*` directives, which
//!   [`DIRECTIVES`](crate::registry::DIRECTIVES) lists, but for `elb_env`.
//! - `websocket`: the HTTP module of the tunnel, the `websocket_*` directives.
//! - `value`: an argument with nginx's variables in it.
//! - `variable`: variables that this crate makes.
//! - `shared`: memory that processes share, and those processes.
//! - `zone`: where processes count, `websocket_zone`.
//! - `status`: what was counted, told: `websocket_metrics` and `websocket_status`.
//! - `bits`: nginx's bit-fields, and the proof that all of its fields are where C has them.
//! - `event`: timers and posted events.
//! - `compat`: what differs between versions of nginx.

mod bits;
mod compat;
mod conf;
mod elb;
mod env;
mod event;
mod module;
mod request;
mod shared;
mod start;
mod status;
mod value;
mod variable;
mod websocket;
mod zone;

use core::ffi::{c_char, CStr};
use core::ptr::null;

use ngx::ffi::ngx_module_t;

use elb::ngx_http_elb_module;
use env::ngx_elb_env_module;
use start::ngx_elb_start_module;
use websocket::ngx_http_websocket_module;

/// A table of pointers that `load_module` reads (`ngx_load_module`, `src/core/nginx.c`).
#[repr(transparent)]
pub struct Table<T, const N: usize>([*const T; N]);

// SAFETY: the pointers are to statics; nginx writes to the modules behind them, from its single
// thread, and nobody writes to the table.
unsafe impl<T, const N: usize> Sync for Table<T, N> {}

const fn name(name: &'static CStr) -> *const c_char {
    name.as_ptr()
}

/// The modules in this shared object.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub static ngx_modules: Table<ngx_module_t, 5> = Table([
    &raw const ngx_elb_start_module,
    &raw const ngx_elb_env_module,
    &raw const ngx_http_elb_module,
    &raw const ngx_http_websocket_module,
    null(),
]);

/// Their names.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub static ngx_module_names: Table<c_char, 5> = Table([
    name(c"ngx_elb_start_module"),
    name(c"ngx_elb_env_module"),
    name(c"ngx_http_elb_module"),
    name(c"ngx_http_websocket_module"),
    null(),
]);

/// Where they stand among nginx's own (`ngx_add_module`): each module named here comes before
/// those named after it. `ngx_http_elb_module` completes upstream blocks in its `init_main_conf`,
/// which must run before that of `ngx_http_upstream_module` reads them.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub static ngx_module_order: Table<c_char, 3> =
    Table([name(c"ngx_http_elb_module"), name(c"ngx_http_upstream_module"), null()]);
