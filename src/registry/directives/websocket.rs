//! The directives of the tunnel, in the order of the documentation.

use super::Arguments::{AtLeast, Between};
use super::Context::{Http, Location};
use super::{Directive, ANYWHERE};

/// All of them.
pub const ALL: &[Directive] = &[
    Directive {
        name: "websocket_tunnel",
        syntax: &["websocket_tunnel on | off"],
        default: Some("off"),
        contexts: ANYWHERE,
        arguments: Between(1, 1),
        about: r"Handles WebSockets of `proxy_pass` after their handshake, see [WebSockets](websockets.md). The other
`websocket_*` directives configure this handling and have no effect without it, except
`websocket_limit_conn`. The handshake needs the usual directives of nginx:

```nginx
location / {
    proxy_pass http://app;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection upgrade;
    websocket_tunnel on;
}
```

Limits: see [What is tunnelled](websockets.md#what-is-tunnelled).
",
        good: &["on", "off"],
        bad: &["yes"],
    },
    Directive {
        name: "websocket_ping",
        syntax: &["websocket_ping time | off"],
        default: Some("25s"),
        contexts: ANYWHERE,
        arguments: Between(1, 1),
        about: r"After `time` without a byte from an end, the proxy sends a Ping to that end; each end is timed
separately. While a Ping of the other end waits for its Pong, the proxy waits for that Pong instead
of sending its own Ping. If the application need not answer, it then gets an unsolicited Pong, as RFC
6455 section 5.5.3 allows.

Limits: Pings are sent only between two frames, not after an end has sent its Close, and not in
passthrough, when an end does not send valid frames.
",
        good: &["25s", "off"],
        bad: &["0", "often"],
    },
    Directive {
        name: "websocket_pong_timeout",
        syntax: &["websocket_pong_timeout time | off [destination=time | destination=off]"],
        default: Some("10s destination=off"),
        contexts: ANYWHERE,
        arguments: Between(1, 2),
        about: r"An end that sends no byte for `time` after a Ping is dead if

- its host has not acknowledged the Ping, because the host or its network is down; or
- it must answer with a Pong. A client must, unless it is in the middle of sending a frame. A
  destination need not, because an application that reads only now and then answers late; with
  `destination=` it must, and that time applies to it in both cases.

Both ends get a Close 1001 if their streams are between two frames, and the time `handshake` of
`websocket_drain` to answer. The error log names the cause at level info (`client is dead: no Pong in
10s`, `destination is dead: its host has acknowledged nothing in 10s`), `websocket_log` in `proof`.

Limits: the silence of an end does not count while the proxy does not read it because the other end
is slow, nor while its Ping is in a queue that still moves. If a delayed worker finds unread bytes,
the time starts once more. An application that hangs on a host that is alive is not detected; use
`destination=`, `websocket_idle_timeout` or a check of destinations for that.
",
        good: &["10s", "off", "10s destination=30s", "10s destination=off"],
        bad: &["soon", "10s client=30s"],
    },
    Directive {
        name: "websocket_idle_timeout",
        syntax: &["websocket_idle_timeout time | off"],
        default: Some("off"),
        contexts: ANYWHERE,
        arguments: Between(1, 1),
        about: r"Closes a tunnel through which nothing has passed for `time`, in the same way as
`websocket_pong_timeout`. The proxy's own Pings and their Pongs do not count; those of the ends do.
",
        good: &["1h", "off"],
        bad: &["never"],
    },
    Directive {
        name: "websocket_send_timeout",
        syntax: &["websocket_send_timeout time | off"],
        default: Some("60s"),
        contexts: ANYWHERE,
        arguments: Between(1, 1),
        about: r"Closes a tunnel when bytes wait to be sent to an end and its host has acknowledged none for `time`.
",
        good: &["60s", "off"],
        bad: &["never"],
    },
    Directive {
        name: "websocket_max_age",
        syntax: &["websocket_max_age time [jitter=percent%] | off"],
        default: Some("off"),
        contexts: ANYWHERE,
        arguments: Between(1, 2),
        about: r#"Closes a tunnel that has been open for `time`, shortened by a random part of up to `jitter` (10%). It
closes like a drain, with `grace` and `handshake` of `websocket_drain`, even if that is off.

The code is 1001, as in a drain. 1012, "service restart", would be more precise, but it was registered
after RFC 6455, and a library that knows only the codes of the RFC may treat it as an error. So one
rule is enough for an application: reconnect on 1001.
"#,
        good: &["12h", "12h jitter=25%", "off"],
        bad: &["old", "12h jitter=200%"],
    },
    Directive {
        name: "websocket_drain",
        syntax: &["websocket_drain time | off [reload=time] [grace=time] [handshake=time]"],
        default: Some("5s reload=30s grace=1s handshake=2s"),
        contexts: ANYWHERE,
        arguments: AtLeast(1),
        about: r"Closes tunnels in an orderly way when their worker shuts down, see
[When nginx stops or is reloaded](stopping.md#when-nginx-stops-or-is-reloaded). The Closes are spread
over `time` after a stop, and over `reload` after a reload. `0` sends all at once. With `off` the
worker keeps running until the ends close, as nginx does without the module.

Limits: a direction that is within a frame when the times are over is closed without a Close. A tunnel
in passthrough is closed without a Close too.
",
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
        about: r"Writes a line at the end of each tunnel, see [Logs and counts](logs.md). The variables in the `value`
of `id=` are evaluated at the handshake, and the result, truncated to 128 bytes, is stored for the
line, which can so be matched with a line of the access log.

```nginx
websocket_log /var/log/nginx/websocket.log json id=$request_id;
```

`stdout` and `stderr` are the standard streams.

Limits: one log per location. Only a path, without variables, `syslog:` or buffer. It is reopened on
SIGUSR1, with nginx's other logs.
",
        good: &["/dev/null", "/dev/null json", "/dev/null text id=$request_id", "stdout", "off"],
        bad: &["/dev/null xml", "/nowhere/websocket.log"],
    },
    Directive {
        name: "websocket_limit_conn",
        syntax: &["websocket_limit_conn key number | off [status=503 | status=429]"],
        default: None,
        contexts: ANYWHERE,
        arguments: Between(2, 3),
        about: r"Allows at most `number` WebSockets for each value of `key`, summed over all workers. Further ones are
answered with `status`, by default 503, or with the `error_page` for it; as with nginx's `limit_conn`,
the limit is not applied again there. A request whose `Upgrade` names `websocket` counts from its
handshake on. An empty `key` is not counted.

```nginx
websocket_limit_conn $remote_addr 20 status=429;
```

Limits: one limit per location, and one count for each value of `key` over all locations, in 1.75 MB
of shared memory named `websocket_limit_conn`. It has 65,536 entries, independent of the number of
workers; a value uses one entry for each worker that has WebSockets of it. If no entry is free,
WebSockets are refused too; the error log says which was the case. Values are counted by a hash with a
secret key. The counts of a killed worker are removed when another worker replaces it, otherwise
within a second after a refusal. With `master_process off` nothing is counted.
",
        good: &["$remote_addr 20", "$remote_addr 20 status=429", "$remote_addr off"],
        bad: &["$remote_addr 0", "$remote_addr 20 status=200"],
    },
    Directive {
        name: "websocket_zone",
        syntax: &["websocket_zone name:size"],
        default: None,
        contexts: &[Http],
        arguments: Between(1, 1),
        about: r"Shared memory for `websocket_metrics` and `websocket_status`: at least 64k. Each worker uses 2 kB,
including workers that still drain after a reload; 256k, as in `nginx.conf`, is enough for about 110.
A worker that finds no room logs an error and serves without counting.

The counts survive a reload. A reload that changes the name or the size starts from zero; one with
another version of the module is refused if the memory layout differs. With `master_process off` the
single process counts in its own memory.
",
        good: &["elb:256k"],
        bad: &["elb", "elb:32k"],
    },
    Directive {
        name: "websocket_metrics",
        syntax: &["websocket_metrics"],
        default: None,
        contexts: &[Location],
        arguments: Between(0, 0),
        about: r"Answers GET and HEAD with the counters, see [Metrics and status](metrics.md): as OpenMetrics if the
`Accept` header prefers `application/openmetrics-text` to `text/plain`, as that of Prometheus does,
otherwise in the text format of Prometheus. Requires a `websocket_zone`.
",
        good: &[""],
        bad: &["now"],
    },
    Directive {
        name: "websocket_status",
        syntax: &["websocket_status"],
        default: None,
        contexts: &[Location],
        arguments: Between(0, 0),
        about: r"Answers GET and HEAD with the same data as JSON, or with the status page if `Accept` prefers
`text/html`. It shows the `websocket_*` settings of its own location. Requires a `websocket_zone`.

```nginx
location = /status {
    websocket_status;
}
```
",
        good: &[""],
        bad: &["now"],
    },
];
