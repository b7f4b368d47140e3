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
        about: r"Takes over WebSockets of `proxy_pass` after their handshake, see [WebSockets](websockets.md). The
other `websocket_*` directives say what then happens to them, and do nothing without it, except
`websocket_limit_conn`. The handshake needs what it always needs in nginx:

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
        about: r"After `time` without a byte from an end, that end gets a Ping, each end by itself. While a Ping of
the other end waits for its Pong, that one counts and there is none of ours; an application that need
not answer gets a Pong that nobody asked for, as RFC 6455 section 5.5.3 allows.

Limits: only between two frames. None once an end has sent its Close, nor where the stream cannot be
followed.
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
        about: r"An end that sends nothing at all for `time` after a Ping is dead if

- its host has not acknowledged the Ping: it vanished, or its network did; or
- it owes a Pong: a client that does not stand in the middle of a frame of its own. A destination
  owes none, as one that reads only now and then answers late, unless `destination=` gives it a
  time, which then holds for it in both cases.

Both ends get a Close 1001 where one may go, and `handshake` of `websocket_drain` to answer. The
error log says at level info which it was (`client is dead: no Pong in 10s`, `destination is dead:
its host has acknowledged nothing in 10s`), `websocket_log` in `proof`.

Limits: an end that is not being read, since the other one is slow, is not judged; nor is one whose
Ping stands in a queue that still moves. Bytes that a worker finds unread after it was held up give
an end the time once more. A destination whose application hangs while its host lives is not found;
`destination=`, `websocket_idle_timeout` or a check of destinations are for that.
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
        about: r"Closes a tunnel through which nothing has passed for `time`, as `websocket_pong_timeout` does. Pings
of the proxy's own and their Pongs do not count; those of the ends do.
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
        about: r"Cuts a tunnel when the host of an end has acknowledged nothing for `time` of what waits to be sent.
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
        about: r#"Closes a tunnel that has lived for `time`, less a random part of up to `jitter` (10%), in the way
that a drain does, with `grace` and `handshake` of `websocket_drain`, also where that is off.

The code is 1001, as in a drain. 1012, "service restart", would say it better, but it was registered
after RFC 6455, and a library that knows only the codes of that may take it for an error. So one
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
        about: r"What happens to tunnels when their worker leaves, see
[When nginx stops or is reloaded](stopping.md#when-nginx-stops-or-is-reloaded). The Closes are spread over the
first `time`, or over `reload` where a newer configuration has taken over. `0` is all at once. With
`off` the worker stays until the ends close, as nginx does without the module.

Limits: a tunnel in the middle of a frame at the end of that time is closed without a Close in that
direction. One whose stream cannot be followed is just closed when its moment comes.
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
        about: r"A line at the end of each tunnel, see [Logs and counts](logs.md). The variables in the
`value` of `id=` are read at the handshake; what they come to is kept for the line, at most 128
bytes, so that it can be found with the line of the access log.

```nginx
websocket_log /var/log/nginx/websocket.log json id=$request_id;
```

`stdout` and `stderr` are the standard streams.

Limits: one log a location. A path only, without variables, `syslog:` or buffer. It is opened again
on SIGUSR1, with nginx's other logs.
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
        about: r"At most `number` WebSockets for what the variables in `key` come to, all workers together; one more
is answered with `status`, 503 when left out, or with the `error_page` of that; as with core's
`limit_conn` it is not limited again there. A request whose `Upgrade` names `websocket` counts from
its handshake on. An empty `key` is not counted.

```nginx
websocket_limit_conn $remote_addr 20 status=429;
```

Limits: one limit a location, and one count for each value of `key` over all locations, in 1.75 MB of
shared memory named `websocket_limit_conn`. There is room for 65,536 values, however many workers
there are; a value that several workers have WebSockets of takes as many places. Where there is no
room, WebSockets are refused too; the error log says which of the two it was. A value is counted by
a hash of it, whose key nobody knows. What a worker that is killed has counted is taken back when
another one takes its place, else within a second of a refusal. With `master_process off` nothing is
counted.
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
        about: r"Shared memory for what `websocket_metrics` and `websocket_status` tell: at least 64k. A worker takes
2 kB of it, and so does each that still drains after a reload; 256k, as in `nginx.conf`, is enough
for some 110. A worker for which there is no room says so in the error log, and serves uncounted.

A reload keeps the counts. One that changes the name or the size starts from zero; one with another
version of the module is refused if the memory is laid out differently. With `master_process off`
the one process counts in memory of its own.
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
        about: r"Answers GET and HEAD with the counters, see [Metrics and status](metrics.md): as
OpenMetrics where the `Accept` header wants `application/openmetrics-text` more than `text/plain`,
as Prometheus sends it, else in the text format of Prometheus. Needs a `websocket_zone`.
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
        about: r"Answers GET and HEAD with the same as JSON, or, where `Accept` wants `text/html` more, with the
page. The `websocket_*` settings it tells are those of its location. Needs a `websocket_zone`.

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
