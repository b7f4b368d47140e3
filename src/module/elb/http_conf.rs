//! What stands in http, and in the upstream blocks there.

use super::check::Check;
use super::destination::Destinations;

/// What the module has of http: what each of its directives there has left.
#[derive(Default)]
pub struct MainConf {
    /// `elb_check` of each upstream block with it.
    pub checks: Vec<Check>,
    /// `elb_destination` of all upstream blocks.
    pub destinations: Destinations,
    /// Whether `elb_proxy_set_header` stands somewhere.
    pub has_headers: bool,
    /// The place of `$proxy_host`.
    pub proxy_host: Option<nginx::variable::Index>,
    /// `elb_log_query`.
    pub log_query: Option<bool>,
    /// Whether `elb_keepalive_min_timeout` has told that this nginx is too old for it.
    pub told_of_keepalive: bool,
}
