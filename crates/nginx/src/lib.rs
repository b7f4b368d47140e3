//! nginx, as a module in Rust sees it: safe, typed wrappers on the [`ngx`] crate, and all of the
//! `unsafe` code behind them.
//!
//! nginx is one thread in each process, and calls a module by functions that it was given. Each of
//! those is here, does its work in [`guarded`](guard::guarded), and calls safe code with handles
//! that are good for that call, or with values that it owns. What a handle stands for is therefore
//! alive:
//!
//! - of the *configuration that is being read*, [`Conf`](conf::Conf) is the only gate: whoever
//!   holds one of its configurations holds the gate;
//! - what a *configuration* has made and a module keeps ([`ComplexValue`](complex_value::ComplexValue),
//!   [`Place`](conf::Place), ...) knows when that configuration is gone ([`life`]);
//! - a [`Request`](request::Request) and a [`Cycle`](cycle::Cycle) are lent for a call.
//!
//! Modules are declared as constants: [`module::HttpModule`], [`module::CoreModule`], with tables of
//! [`Command`](command::Command)s, whose handlers are safe functions.
#![allow(unsafe_code)]

pub mod bits;
pub mod block;
pub mod client;
pub mod clients;
pub mod command;
mod compat;
pub mod complex_value;
pub mod conf;
pub mod connection;
pub mod cycle;
pub mod event;
pub mod filter;
pub mod first_bytes;
pub mod guard;
pub mod life;
pub mod lifecycle;
pub mod locations;
pub mod log;
pub mod log_handler;
pub mod module;
pub mod open_file;
pub mod outgoing;
pub mod owner;
pub mod peers;
pub mod process;
pub mod proxy_headers;
pub mod random;
pub mod request;
pub mod resolve;
pub mod share;
pub mod socket;
pub mod static_ref;
pub mod text;
pub mod timer;
pub mod upgrade;
pub mod upstream;

pub use ngx::ffi::NGINX_VERSION;
pub mod variable;
pub mod worker;
pub mod zone;
