//! The module in nginx: what its directives, variables and handlers do. All that knows nginx's
//! structures, and all `unsafe` code, is in the crate `nginx`.
//!
//! - `conf`: what directives share: their declarations, the environment, their arguments.
//! - `start`: the core module that collects the faults of a start and fails it at its end.
//! - `env`: `elb_env`.
//! - `files`: what nginx is about to open.
//! - `files`: what nginx is about to open.
//! - `elb`: the HTTP module with the `elb_*` directives, which
//!   [`DIRECTIVES`](crate::registry::DIRECTIVES) lists, but for `elb_env`.
//! - `websocket`: the HTTP module of the tunnel, the `websocket_*` directives.
//! - `zone`: where processes count, `websocket_zone`.
//! - `status`: reports of what was counted: `websocket_metrics` and `websocket_status`.

mod conf;
mod elb;
mod env;
mod files;
mod start;
mod status;
mod websocket;
mod zone;

/// What `load_module` looks for: exported statics, which Rust counts as unsafe code.
#[allow(unsafe_code, non_upper_case_globals)]
mod exported {
    use std::ffi::c_char;

    use nginx::module::{Erased, Table};

    use super::{elb, env, start, websocket};

    /// The modules in this shared object.
    #[no_mangle]
    pub static ngx_modules: Table<Erased, 5> = Table::modules([
        start::MODULE.erased(),
        env::MODULE.erased(),
        elb::MODULE.erased(),
        websocket::MODULE.erased(),
    ]);

    /// Their names.
    #[no_mangle]
    pub static ngx_module_names: Table<c_char, 5> = Table::names([
        c"ngx_elb_start_module",
        c"ngx_elb_env_module",
        c"ngx_http_elb_module",
        c"ngx_http_websocket_module",
    ]);

    /// Where they stand among nginx's own (`ngx_add_module`): each module named here comes before
    /// those named after it. `ngx_http_elb_module` completes upstream blocks in its `init_main`,
    /// which must run before that of `ngx_http_upstream_module` reads them.
    #[no_mangle]
    pub static ngx_module_order: Table<c_char, 3> =
        Table::names([c"ngx_http_elb_module", c"ngx_http_upstream_module"]);
}
