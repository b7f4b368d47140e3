//! The directives, in the order of the documentation.

use Arguments::{AtLeast, Between};
use Context::{Any, Http, Location, Server, Upstream};

/// A directive.
#[derive(Debug)]
pub struct Directive {
    /// Its name.
    pub name: &'static str,
    /// The ways to write it, without the semicolon.
    pub syntax: &'static [&'static str],
    /// The arguments that it has where it does not stand, as far as it has any then.
    pub default: Option<&'static str>,
    /// The blocks that it may stand in.
    pub contexts: &'static [Context],
    /// How many arguments it takes.
    pub arguments: Arguments,
    /// What it does, in Markdown.
    pub about: &'static str,
    /// Arguments that it takes.
    pub good: &'static [&'static str],
    /// Arguments that it does not take.
    pub bad: &'static [&'static str],
}

/// A block of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Every block, and none.
    Any,
    /// `http`
    Http,
    /// `server` of `http`
    Server,
    /// `location`
    Location,
    /// `upstream` of `http`
    Upstream,
}

impl Context {
    /// The name of the block.
    pub const fn as_str(self) -> &'static str {
        match self {
            Any => "any",
            Http => "http",
            Server => "server",
            Location => "location",
            Upstream => "upstream",
        }
    }
}

/// How many arguments a directive takes, as nginx counts them before it calls the directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// The least and the most, which is at most 7.
    Between(u32, u32),
    /// The least, 0 to 2, and no limit.
    AtLeast(u32),
}

const ANYWHERE: &[Context] = &[Http, Server, Location];

/// The declaration of a directive.
///
/// # Panics
/// There is none of this name; as the tables of commands are constants, that fails the build.
pub const fn directive(name: &str) -> &'static Directive {
    let mut index = 0;
    while index < DIRECTIVES.len() {
        if is_same(DIRECTIVES[index].name.as_bytes(), name.as_bytes()) {
            return &DIRECTIVES[index];
        }
        index += 1;
    }
    panic!("a directive that is not declared");
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

/// Every directive.
pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "elb_listen",
        syntax: &["elb_listen VARIABLE [default=ADDRESS] [proxy_protocol=optional] [parameter ...]"],
        default: None,
        contexts: &[Server],
        arguments: AtLeast(1),
        about: include_str!("directives/elb_listen.md"),
        good: &["LISTEN_ON", "LISTEN_ON proxy_protocol", "STATUS_LISTEN_ON default=off"],
        bad: &["listen_on", "LISTEN_ON default=here", "LISTEN_ON proxy_protocol=maybe"],
    },
    Directive {
        name: "elb_destination",
        syntax: &["elb_destination [parameter ...]"],
        default: None,
        contexts: &[Upstream],
        arguments: AtLeast(0),
        about: include_str!("directives/elb_destination.md"),
        good: &["", "max_fails=0"],
        bad: &["max_fails=often"],
    },
    Directive {
        name: "elb_check",
        syntax: &["elb_check interval [timeout=time] [rise=number] [fall=number] [path=path] [host=host] [status=list]", "elb_check off [...]"],
        default: Some("off"),
        contexts: &[Upstream],
        arguments: AtLeast(1),
        about: include_str!("directives/elb_check.md"),
        good: &["off", "5s", "5s timeout=2s rise=2 fall=3 path=/health host=app.example:8080 status=200-399"],
        bad: &["often", "5s rise=0", "5s path=health", "5s host=a/b", "5s status=ok"],
    },
    Directive {
        name: "elb_trusted_proxies",
        syntax: &["elb_trusted_proxies"],
        default: None,
        contexts: &[Http, Server],
        arguments: Between(0, 0),
        about: include_str!("directives/elb_trusted_proxies.md"),
        good: &[""],
        bad: &["10.0.0.0/8"],
    },
    Directive {
        name: "elb_header_buffers",
        syntax: &["elb_header_buffers \"number size\" size"],
        default: None,
        contexts: &[Http, Server],
        arguments: Between(2, 2),
        about: include_str!("directives/elb_header_buffers.md"),
        good: &["\"4 16k\" 16k", "\"1 1k\" 1m"],
        bad: &["4 16k", "\"0 16k\" 16k", "\"4 16k\" 512"],
    },
    Directive {
        name: "elb_redirect",
        syntax: &["elb_redirect https"],
        default: None,
        contexts: &[Server, Location],
        arguments: Between(1, 1),
        about: include_str!("directives/elb_redirect.md"),
        good: &["https"],
        bad: &["http", "https 301"],
    },
    Directive {
        name: "elb_ping",
        syntax: &["elb_ping path [alive | ready]"],
        default: None,
        contexts: &[Http, Server],
        arguments: Between(1, 2),
        about: include_str!("directives/elb_ping.md"),
        good: &["/ping", "/ping alive", "/ping ready"],
        bad: &["ping", "/ping dead"],
    },
    Directive {
        name: "elb_ready",
        syntax: &["elb_ready path"],
        default: None,
        contexts: &[Http, Server],
        arguments: Between(1, 1),
        about: include_str!("directives/elb_ready.md"),
        good: &["/ready"],
        bad: &["ready"],
    },
    Directive {
        name: "elb_drain_file",
        syntax: &["elb_drain_file path [delay=time] [stop_timeout=time]"],
        default: None,
        contexts: &[Http],
        arguments: Between(1, 3),
        about: include_str!("directives/elb_drain_file.md"),
        good: &["/tmp/drain", "/tmp/drain delay=15s stop_timeout=30s"],
        bad: &["/tmp/drain delay=soon", "/tmp/drain later=1s"],
    },
    Directive {
        name: "elb_log_query",
        syntax: &["elb_log_query on | off"],
        default: Some("on"),
        contexts: &[Http],
        arguments: Between(1, 1),
        about: include_str!("directives/elb_log_query.md"),
        good: &["on", "off"],
        bad: &["yes"],
    },
    Directive {
        name: "elb_shutdown_timeout",
        syntax: &["elb_shutdown_timeout time | off [reload=time | reload=off]"],
        default: Some("off"),
        contexts: &[Http],
        arguments: Between(1, 2),
        about: include_str!("directives/elb_shutdown_timeout.md"),
        good: &["8s", "off", "8s reload=60s", "8s reload=off"],
        bad: &["0", "8s reload=never"],
    },
    Directive {
        name: "elb_keepalive_min_timeout",
        syntax: &["elb_keepalive_min_timeout time"],
        default: None,
        contexts: ANYWHERE,
        arguments: Between(1, 1),
        about: include_str!("directives/elb_keepalive_min_timeout.md"),
        good: &["3s", "0"],
        bad: &["long", "3s 4s"],
    },
    Directive {
        name: "elb_proxy_set_header",
        syntax: &["elb_proxy_set_header name value"],
        default: None,
        contexts: ANYWHERE,
        arguments: Between(2, 2),
        about: include_str!("directives/elb_proxy_set_header.md"),
        good: &["X-Name value", "Forwarded \"\""],
        bad: &["X-Name"],
    },
    Directive {
        name: "elb_env",
        syntax: &["elb_env directive [argument ...]"],
        default: None,
        contexts: &[Any],
        arguments: AtLeast(1),
        about: include_str!("directives/elb_env.md"),
        good: &["client_max_body_size ${CLIENT_MAX_BODY_SIZE:-1m}"],
        bad: &["client_max_body_size ${CLIENT_MAX_BODY_SIZE-1m}", "retrun 200"],
    },
    Directive {
        name: "websocket_tunnel",
        syntax: &["websocket_tunnel on | off"],
        default: Some("off"),
        contexts: ANYWHERE,
        arguments: Between(1, 1),
        about: include_str!("directives/websocket_tunnel.md"),
        good: &["on", "off"],
        bad: &["yes"],
    },
    Directive {
        name: "websocket_ping",
        syntax: &["websocket_ping time | off"],
        default: Some("25s"),
        contexts: ANYWHERE,
        arguments: Between(1, 1),
        about: include_str!("directives/websocket_ping.md"),
        good: &["25s", "off"],
        bad: &["0", "often"],
    },
    Directive {
        name: "websocket_pong_timeout",
        syntax: &["websocket_pong_timeout time | off [destination=time | destination=off]"],
        default: Some("10s destination=off"),
        contexts: ANYWHERE,
        arguments: Between(1, 2),
        about: include_str!("directives/websocket_pong_timeout.md"),
        good: &["10s", "off", "10s destination=30s", "10s destination=off"],
        bad: &["soon", "10s client=30s"],
    },
    Directive {
        name: "websocket_idle_timeout",
        syntax: &["websocket_idle_timeout time | off"],
        default: Some("off"),
        contexts: ANYWHERE,
        arguments: Between(1, 1),
        about: include_str!("directives/websocket_idle_timeout.md"),
        good: &["1h", "off"],
        bad: &["never"],
    },
    Directive {
        name: "websocket_send_timeout",
        syntax: &["websocket_send_timeout time | off"],
        default: Some("60s"),
        contexts: ANYWHERE,
        arguments: Between(1, 1),
        about: include_str!("directives/websocket_send_timeout.md"),
        good: &["60s", "off"],
        bad: &["never"],
    },
    Directive {
        name: "websocket_max_age",
        syntax: &["websocket_max_age time [jitter=percent%] | off"],
        default: Some("off"),
        contexts: ANYWHERE,
        arguments: Between(1, 2),
        about: include_str!("directives/websocket_max_age.md"),
        good: &["12h", "12h jitter=25%", "off"],
        bad: &["old", "12h jitter=200%"],
    },
    Directive {
        name: "websocket_drain",
        syntax: &["websocket_drain time | off [reload=time] [grace=time] [handshake=time]"],
        default: Some("5s reload=30s grace=1s handshake=2s"),
        contexts: ANYWHERE,
        arguments: AtLeast(1),
        about: include_str!("directives/websocket_drain.md"),
        good: &["5s", "off", "5s reload=30s grace=1s handshake=2s"],
        bad: &["slowly", "5s reload=off"],
    },
    Directive {
        name: "websocket_log",
        syntax: &[
            "websocket_log path | stdout | stderr [text | json] [id=value]",
            "websocket_log off",
        ],
        default: Some("off"),
        contexts: ANYWHERE,
        arguments: Between(1, 3),
        about: include_str!("directives/websocket_log.md"),
        good: &["/dev/null", "/dev/null json", "/dev/null text id=$request_id", "stdout", "off"],
        bad: &["/dev/null xml", "/nowhere/websocket.log"],
    },
    Directive {
        name: "websocket_limit_conn",
        syntax: &["websocket_limit_conn key number | off [status=503 | status=429]"],
        default: None,
        contexts: ANYWHERE,
        arguments: Between(2, 3),
        about: include_str!("directives/websocket_limit_conn.md"),
        good: &["$remote_addr 20", "$remote_addr 20 status=429", "$remote_addr off"],
        bad: &["$remote_addr 0", "$remote_addr 20 status=200"],
    },
    Directive {
        name: "websocket_zone",
        syntax: &["websocket_zone name:size"],
        default: None,
        contexts: &[Http],
        arguments: Between(1, 1),
        about: include_str!("directives/websocket_zone.md"),
        good: &["elb:256k"],
        bad: &["elb", "elb:32k"],
    },
    Directive {
        name: "websocket_metrics",
        syntax: &["websocket_metrics"],
        default: None,
        contexts: &[Location],
        arguments: Between(0, 0),
        about: include_str!("directives/websocket_metrics.md"),
        good: &[""],
        bad: &["now"],
    },
    Directive {
        name: "websocket_status",
        syntax: &["websocket_status"],
        default: None,
        contexts: &[Location],
        arguments: Between(0, 0),
        about: include_str!("directives/websocket_status.md"),
        good: &[""],
        bad: &["now"],
    },
];
