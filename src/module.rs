//! The nginx side of the module: its directives, variables and handlers. Everything that depends on
//! nginx's structures is in the crate `nginx`.
//!
//! Each module uses only those before it in this list:
//!
//! - `environment`: the core module that collects the faults of a start, what directives share, and
//!   `elb_env`, which is allowed in every context.
//! - `counting`: the counters of a process, in `websocket_zone`.
//! - `handshake`: whether a client asks for a WebSocket.
//! - `elb`: the HTTP module for listening and upstreams, with most `elb_*` directives.
//! - `websocket`: the HTTP module of the tunnel, with most `websocket_*` directives.
//! - `operator`: the HTTP module for the operator: health checks, shutdown, metrics and status.

mod counting;
mod elb;
mod environment;
mod handshake;
mod operator;
mod websocket;

/// The symbols that `load_module` looks up. The lint `unsafe_code` refuses exported
/// statics elsewhere.
#[allow(unsafe_code, non_upper_case_globals)]
mod exported {
    use std::ffi::c_char;

    use nginx::module::{Erased, Table};

    use super::{elb, environment, operator, websocket};

    /// The modules in this shared object.
    #[no_mangle]
    pub static ngx_modules: Table<Erased, 6> = Table::modules([
        environment::MODULE.erased(),
        environment::elb_env::MODULE.erased(),
        elb::MODULE.erased(),
        websocket::MODULE.erased(),
        operator::MODULE.erased(),
    ]);

    /// Their names.
    #[no_mangle]
    pub static ngx_module_names: Table<c_char, 6> = Table::names([
        c"ngx_elb_start_module",
        c"ngx_elb_env_module",
        c"ngx_http_elb_module",
        c"ngx_http_websocket_module",
        c"ngx_http_elb_operator_module",
    ]);

    /// The order among nginx's own modules (`ngx_add_module`): each module comes before those named
    /// after it. `ngx_http_elb_module` completes upstream blocks in its `init_main`, which must run
    /// before that of `ngx_http_upstream_module` reads them.
    #[no_mangle]
    pub static ngx_module_order: Table<c_char, 3> =
        Table::names([c"ngx_http_elb_module", c"ngx_http_upstream_module"]);
}
