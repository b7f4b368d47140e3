//! The configuration of `http`, and of the upstream blocks in it.

use super::check::Check;
use super::destination::Destinations;

/// The main configuration of the module.
#[derive(Default)]
pub struct MainConf {
    /// `elb_check` of each upstream block that has it.
    pub checks: Vec<Check>,
    /// `elb_destination` of all upstream blocks.
    pub destinations: Destinations,
    /// Whether `elb_proxy_set_header` is used anywhere.
    pub has_headers: bool,
    /// The index of `$proxy_host`.
    pub proxy_host: Option<nginx::variable::Index>,
    /// `elb_log_query`.
    pub log_query: Option<bool>,
    /// Whether `elb_keepalive_min_timeout` has logged that this nginx is too old for it.
    pub told_of_keepalive: bool,
}
