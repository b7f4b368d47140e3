//! nginx dynamic module: a WebSocket front for applications behind an AWS load balancer.

pub mod frame;
pub mod session;
