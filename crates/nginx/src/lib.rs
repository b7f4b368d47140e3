//! Safe, typed wrappers of what an nginx module in Rust needs, on the [`ngx`] crate. All `unsafe`
//! code is in this crate; a module needs one line of its own, to export its table to nginx.
//!
//! nginx runs each process on one thread and calls a module through function pointers. Those
//! functions are in this crate. Each stops panics with [`guard::guarded`] and calls safe code of the
//! module, with values that are borrowed for the duration of the call or that the module owns.
//!
//! # Modules
//!
//! | Task | Module |
//! |---|---|
//! | declare a module, its directives and variables | [`module`], [`command`], [`variable`] |
//! | read a configuration | [`conf`], [`complex_value`], [`locations`], [`text`], [`life`] |
//! | handle requests | [`request`], [`client`], [`upstream`], [`filter`], [`proxy_headers`] |
//! | own connections | [`connection`], [`owner`], [`outgoing`], [`worker`] |
//! | set timers and post events | [`timer`], [`event`] |
//! | take over an upgraded connection | [`upgrade`], [`share`] |
//! | inspect, list or end client connections | [`first_bytes`], [`clients`] |
//! | observe and change upstream peers | [`block`], [`peers`] |
//! | share memory between processes | [`zone`] |
//! | follow cycles, processes and reloads | [`cycle`], [`process`], [`lifecycle`] |
//! | use sockets, files, names and random bits | [`socket`], [`open_file`], [`resolve`], [`random`] |
//! | write to the error log | [`log`], [`log_handler`] |
//! | support the others | [`guard`], [`bits`] |
//!
//! # Example
//!
//! A module with the directive `hello text;`, which answers the requests of a location:
//!
//! ```no_run
//! use std::borrow::Cow;
//! use std::ffi::c_char;
//!
//! use nginx::command::{Command, Kind};
//! use nginx::conf::{Conf, Error, Outcome};
//! use nginx::module::{Erased, HttpModule, Merge, Module, Table};
//! use nginx::request::{Answer, Handler, Request, Status};
//!
//! struct Hello;
//!
//! static MODULE: Module<Hello> = Module::http();
//!
//! #[unsafe(no_mangle)]
//! #[allow(non_upper_case_globals)]
//! pub static ngx_modules: Table<Erased, 2> = Table::modules([MODULE.erased()]);
//!
//! #[unsafe(no_mangle)]
//! #[allow(non_upper_case_globals)]
//! pub static ngx_module_names: Table<c_char, 2> = Table::names([c"ngx_http_hello_module"]);
//!
//! #[derive(Default)]
//! struct LocationConf {
//!     text: Option<String>,
//! }
//!
//! impl Merge for LocationConf {
//!     fn merge(&mut self, outer: &Self) {
//!         if self.text.is_none() {
//!             self.text = outer.text.clone();
//!         }
//!     }
//! }
//!
//! impl HttpModule for Hello {
//!     type Main = ();
//!     type Server = ();
//!     type Location = LocationConf;
//!     type Context = ();
//!
//!     const COMMANDS: &'static [Command] = &[
//!         Command::location::<Self>(c"hello", Kind::arguments(1, 1).location(), hello),
//!         Command::END,
//!     ];
//!
//!     fn module() -> &'static Module<Self> {
//!         &MODULE
//!     }
//! }
//!
//! fn hello(cf: &mut Conf, conf: &mut LocationConf) -> Outcome {
//!     if conf.text.is_some() {
//!         return Err(Error::DUPLICATE);
//!     }
//!     conf.text = cf.args()?.into_iter().next();
//!     cf.answer_with::<Hello>()
//! }
//!
//! impl Handler for Hello {
//!     fn handle(request: Request) -> Status {
//!         let conf = request.location::<Hello>();
//!         let text = conf.and_then(|conf| conf.text.clone()).unwrap_or_default();
//!         request.answer(&Answer {
//!             status: 200,
//!             content_type: "text/plain",
//!             body: Cow::Owned(text),
//!             headers: &[],
//!         })
//!     }
//! }
//! ```
//!
//! # Soundness
//!
//! Safe code cannot reach a freed structure of nginx, for these reasons:
//!
//! - [`Request`](request::Request), [`Cycle`](cycle::Cycle), [`Log`](log::Log) and
//!   [`Conf`](conf::Conf) are borrowed for the duration of a call.
//! - While a configuration is read, [`Conf`](conf::Conf) is the only access to the configurations of
//!   modules. Each reference to one borrows the `Conf`, so no two exist at a time.
//! - Values that refer to a configuration and may be kept ([`Place`](conf::Place),
//!   [`Block`](block::Block), [`OpenFile`](open_file::OpenFile), [`Zone`](zone::Zone),
//!   [`Share`](share::Share), [`ComplexValue`](complex_value::ComplexValue)) contain its
//!   [`Life`](life::Life), and check it before each use.
//! - Connections, timers, locks and shares of peers are owned; dropping them closes or releases them.
//! - One owner of connections works at a time ([`owner`]), and has the worker's state to itself.
//! - The build fails if Rust and the C compiler disagree on the layout of a structure ([`bits`]).
//!
//! These rules are documented and not enforced by types:
//!
//! - Everything is called on nginx's thread. Functions that read nginx's globals, such as
//!   [`process::now`] and [`log::running`], do not check that.
//! - A function is called in the phase that its documentation names. Wrong phases matter for memory
//!   safety in [`Cycle::look_at_first_bytes`](cycle::Cycle::look_at_first_bytes),
//!   [`Cycle::for_each_file`](cycle::Cycle::for_each_file),
//!   [`Cycle::keep_variable`](cycle::Cycle::keep_variable),
//!   [`Conf::find_peers`](conf::Conf::find_peers) and
//!   [`clients::end_requests`], which use structures that nginx itself changes in other phases.
//! - [`HttpModule::module`](module::HttpModule::module) returns the static that is in the table of
//!   modules.
//! - Functions that take a structure of `ngx::ffi` ([`text::owned`], [`request::values`]) trust its
//!   pointers, as the `ngx` crate does.
//! - Panics unwind (`panic = "unwind"`); otherwise one ends the process.
//! - `work` of [`Exclusive::with`](zone::Exclusive::with), [`Zone::locked`](zone::Zone::locked),
//!   [`Block::look`](block::Block::look) and [`Block::change`](block::Block::change) does not use the
//!   same zone or block: that would deadlock.
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
