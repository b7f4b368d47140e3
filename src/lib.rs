//! nginx dynamic module: a WebSocket front for applications behind an AWS load balancer.
//!
//! Data flows in one direction: from the environment through [`settings`] to directives; from
//! sockets through the engine, [`websocket_tunnel`], to actions on connections; from counters
//! through [`metrics`] to reports. These layers do not depend on nginx. `module` (feature
//! `export-modules`) does, through the crate `nginx`.

pub mod active_check;
pub mod busy;
pub mod client_address;
pub mod connection_limit;
pub mod container;
pub mod counter;
pub mod handshake;
pub mod media_type;
pub mod metrics;
pub mod minutely;
#[cfg(feature = "export-modules")]
mod module;
pub mod proxy_header;
pub mod query;
pub mod registry;
pub mod request_id;
pub mod set_header;
pub mod settings;
pub mod snippets;
pub mod tunnel_log;
