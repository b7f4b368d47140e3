//! The directives of the ports, the destinations and the health checks, in the order of the
//! documentation.

use super::Arguments::{AtLeast, Between};
use super::Context::{Any, Http, Location, Server, Upstream};
use super::{Directive, ANYWHERE};

/// All of them.
pub const ALL: &[Directive] = &[
    Directive {
        name: "elb_listen",
        syntax: &["elb_listen VARIABLE [default=ADDRESS] [proxy_protocol=optional] [parameter ...]"],
        default: None,
        contexts: &[Server],
        arguments: AtLeast(1),
        about: r"`listen` with the port, or the address and port, from the environment variable `VARIABLE`. Several
addresses result in one `listen` each, with the same parameters. The parameters are those of nginx's
`listen`, plus the two below. `proxy_protocol` is omitted when `PROXY_PROTOCOL` is `off`.

```nginx
elb_listen LISTEN_ON_TLS proxy_protocol;
elb_listen STATUS_LISTEN_ON default=127.0.0.1:9145 proxy_protocol=optional;
```

- `default=ADDRESS` is used if the variable is not set. It may be `off`: the server then does not
  listen. With any default the variable may be `off` too; `LISTEN_ON` and `STATUS_LISTEN_ON` always
  may. If the default address is in use when nginx starts or is reloaded, nginx logs a warning and
  does not listen there; if an address from the variable is in use, that is an error, as usual.
- `proxy_protocol=optional`: each connection may begin with a PROXY header, of version 1 or 2, or
  without one, regardless of `PROXY_PROTOCOL`. The header may arrive in pieces, within
  `client_header_timeout`. Anyone who can connect can send a header, so use this for health checks
  and the operator, not for a port that clients can reach: the PROXY protocol forbids guessing
  there. It cannot be combined with `proxy_protocol`, `ssl`, `quic`, `deferred` or `accept_filter`,
  nor used at an address where another server listens without it.

`VARIABLE` is any name of capitals, digits and `_`. A value is `81`, `*:81`, `127.0.0.1:81` or
`[::]:81`, or a list of these separated by commas. A port alone listens on all IPv4 addresses,
`[::]:81` on all IPv6 addresses and no IPv4 address, so `81,[::]:81` listens on both.

Limits: no host names, no unix sockets. An address may occur once in a list, and only in one of
`LISTEN_ON`, `LISTEN_ON_TLS` and `STATUS_LISTEN_ON`. The parameter `ipv6only=off` makes `[::]:81`
listen on IPv4 as well; the IPv4 port must then not be in the list.
",
        good: &["LISTEN_ON", "LISTEN_ON proxy_protocol", "STATUS_LISTEN_ON default=off"],
        bad: &["listen_on", "LISTEN_ON default=here", "LISTEN_ON proxy_protocol=maybe"],
    },
    Directive {
        name: "elb_destination",
        syntax: &["elb_destination [parameter ...]"],
        default: None,
        contexts: &[Upstream],
        arguments: AtLeast(0),
        about: r"One `server` for each destination of `DESTINATIONS`, or of `DESTINATION_HOSTNAME` and
`DESTINATION_PORT`, with the parameters given. Names are looked up again while nginx runs, see
[Names of destinations](destinations.md#names-of-destinations). The directive adds the following
unless the block has it: a `zone` of 256k, in which all workers share their counts of failed requests
and connections; and for names that are looked up, a `resolver` with the first usable nameserver of
`/etc/resolv.conf` and `valid=${RESOLVER_VALID:-5s}` (not if `http` has a `resolver`), and
`resolver_timeout ${RESOLVER_TIMEOUT:-2s}`.

```nginx
upstream app {
    least_conn;
    elb_destination max_fails=2 fail_timeout=5s;
}
```

Limits: once in an upstream block. A load balancing method must precede it, as it must precede
`server`. Methods without backups (`ip_hash`, `hash`, `random`) refuse a `backup` in `DESTINATIONS`,
and use only the first of several candidate names. A load balancing method that is not part of nginx
manages its servers itself: it gets no `zone`, names are looked up at start only, and a warning says
that the status does not show its servers.
",
        good: &["", "max_fails=0"],
        bad: &["max_fails=often"],
    },
    Directive {
        name: "elb_check",
        syntax: &["elb_check interval [timeout=time] [rise=number] [fall=number] [path=path] [host=host] [status=list]", "elb_check off [...]"],
        default: Some("off"),
        contexts: &[Upstream],
        arguments: AtLeast(1),
        about: r"One worker checks each server of the block about every `interval`; the checks are spread over the
interval. A check is a TCP connection, or with `path` a GET, and fails if it takes longer than
`timeout` (2s) or the status is not in `status` (200-399). The first check, within half a second,
decides at once; after it, `fall` consecutive failures (3) take a server down, and `rise` consecutive
successes (2) bring it up. All workers and all load balancing methods of nginx skip a server that is
down, like one with the parameter `down`, backups included. When a server comes up, its failed
requests are reset.

```nginx
upstream app {
    server app-1:8080;
    server app-2:8080;
    elb_check 5s timeout=1s path=/health status=200,204;
}
```

The request is HTTP/1.1 with `Connection: close`. `Host` is `host`, by default the server as
configured: set it for an application that accepts only known hosts. Only the status of the response
counts; interim responses (100, 102, 103) are skipped, and the rest of the response is read, up to
64 kB, so that the application sees no connection reset. A server whose name is looked up at run time
is checked at each of its addresses, shortly after they are known. The block gets a `zone` of 256k
unless it has one. The states survive a reload; if the worker that checks dies, its replacement
continues.

Limits: no HTTPS; a TCP connection to a server with TLS works. The host of an application that hangs
still accepts TCP connections: use `path`. The directive has no effect, and adds no `zone`, if the
load balancing method is not part of nginx (a warning says so). A server with `down` is not checked.
With `master_process off` the checks end at a reload.
",
        good: &["off", "5s", "5s timeout=2s rise=2 fall=3 path=/health host=app.example:8080 status=200-399"],
        bad: &["often", "5s rise=0", "5s path=health", "5s host=a/b", "5s status=ok"],
    },
    Directive {
        name: "elb_trusted_proxies",
        syntax: &["elb_trusted_proxies"],
        default: None,
        contexts: &[Http, Server],
        arguments: Between(0, 0),
        about: r"One `set_real_ip_from` for each entry of `TRUSTED_PROXIES`, and the source of the client's address:
`real_ip_header proxy_protocol`, or with `PROXY_PROTOCOL=off` `real_ip_header X-Forwarded-For` and
`real_ip_recursive on`. `$remote_addr` is then the client as named by a trusted peer; for any other
peer it is the peer itself.

A PROXY header from a peer that is not trusted is ignored and reported at level notice, by each
worker at most once a minute, with the address of the peer. It is not reported if the header names
the peer itself (a load balancer that preserves the client's address), nor with
`TRUSTED_PROXIES=none`.

`CLIENT_ADDRESS_HEADER` is for a CDN in front of the load balancer: the header in which the CDN names
the client, such as `CloudFront-Viewer-Address` (an address and a port) or `CF-Connecting-IP`. Trust
is checked hop by hop:

1. The peer of the connection, which is the load balancer, must be in `TRUSTED_PROXIES`. Otherwise
   the peer is the client, and all headers are ignored.
2. The load balancer names its own peer: in the PROXY header, or with `PROXY_PROTOCOL=off` as the
   last address in `X-Forwarded-For`. This address must be in `TRUSTED_PROXIES` too, which must
   include the networks of the CDN. Otherwise this address is the client, and the header is ignored:
   a client that bypasses the CDN can send it as well.
3. The client is then the address in the header. If the header is missing, occurs twice or has no
   valid address, the client is determined without it: the CDN's edge server, or with
   `PROXY_PROTOCOL=off` the last address in `X-Forwarded-For` that is not trusted.

After a PROXY header without an address (`LOCAL`, `UNKNOWN`) the peer of the load balancer is not
known, so the header of the CDN is ignored. With `PROXY_PROTOCOL=off` and no `X-Forwarded-For` at all
the peer is taken for the CDN, which is correct without a load balancer. A load balancer that removes
`X-Forwarded-For`, or passes it on unchanged, must not be used here.

The realip module then reads `X-Real-IP`, which this module sets: a header of this name from a client
has no effect.

Limits: nginx must have the realip module, as all its packages do. A `server` with `set_real_ip_from`
of its own does not inherit those of `http`. `$proxy_protocol_addr` is set regardless of trust: do
not use it for decisions.
",
        good: &[""],
        bad: &["10.0.0.0/8"],
    },
    Directive {
        name: "elb_header_buffers",
        syntax: &["elb_header_buffers \"number size\" size"],
        default: None,
        contexts: &[Http, Server],
        arguments: Between(2, 2),
        about: r#"Room for large headers: `large_client_header_buffers` with the first argument, `proxy_buffer_size` with
the second, and as many `proxy_buffers` of that size as nginx requires with it (64k in total, at
least four). The size in the first argument is the maximum for the request line and for one field of
the request header, such as a token in the URL or in a cookie; the second argument is the maximum for
the whole header of a response.

```nginx
elb_header_buffers "4 16k" 16k;
```

A request that is refused because a header is too large, with 414, 400 or 502, is reported at level
notice, with the client and the variable of `nginx.conf` to increase:

```
[notice] client 10.0.1.7 ("192.0.2.1" in its PROXY header) sent a request line longer than 16k and got 414, raise the size in environment variable "LARGE_CLIENT_HEADER_BUFFERS" ("4 16k")
```

Limits: the number is from 1 to 64, a size from 1k to 1m. nginx allocates the buffers as a request
needs them, so a client can make it allocate all of the first argument. nginx reads the request line
and header with the settings of the listener's default server, because it does not know the host yet.
The nginx directives can still be used in a `server` or `location`, but not in the same block as this
one.
"#,
        good: &["\"4 16k\" 16k", "\"1 1k\" 1m"],
        bad: &["4 16k", "\"0 16k\" 16k", "\"4 16k\" 512"],
    },
    Directive {
        name: "elb_redirect",
        syntax: &["elb_redirect https"],
        default: None,
        contexts: &[Server, Location],
        arguments: Between(1, 1),
        about: r"Redirects with `REDIRECT_STATUS` to `https://`, the host of the request without its port,
`:HTTPS_PORT` unless that is 443, and the request URI exactly as the client sent it.

```console
$ curl -sI --haproxy-protocol -H 'Host: chat.example.com' 'http://127.0.0.1:8081/a%2fb?x=1&y=2' | grep Location
Location: https://chat.example.com/a%2fb?x=1&y=2
```

In a `server` it answers before a location is selected; in a `location`, for that location and nested
ones.

Limits: a request without a host (HTTP/1.0 may omit it) gets 400. A `return` in the same block
takes precedence.
",
        good: &["https"],
        bad: &["http", "https 301"],
    },
    Directive {
        name: "elb_ping",
        syntax: &["elb_ping path [alive | ready]"],
        default: None,
        contexts: &[Http, Server],
        arguments: Between(1, 2),
        about: r#"Answers GET and HEAD of exactly this path with 200 and `ok` as text/plain, before redirects,
locations and access rules, and does not write them to the access log. A query is ignored. HTTP/1.0
without Host works.

Limits: `/pingpong`, `/ping/` and other methods are ordinary requests. The path is compared as the
client sent it, so `%70ing` does not match. It must not contain a space, a control character, `?`,
`#`, `{`, `}`, `;`, `"`, `\` or `$`. The answer means that nginx is alive, not the application; with
`ready` it is that of [elb_ready](#elb_ready).
"#,
        good: &["/ping", "/ping alive", "/ping ready"],
        bad: &["ping", "/ping dead"],
    },
    Directive {
        name: "elb_ready",
        syntax: &["elb_ready path"],
        default: None,
        contexts: &[Http, Server],
        arguments: Between(1, 1),
        about: r"Answers a request for this path as `elb_ping` does, but reports whether the instance should receive
traffic:

| | |
|---|---|
| 200 `ok` | it should |
| 503 `draining` | the file of `elb_drain_file` exists, or nginx is stopping |
| 503 `destination down` | active checks find every destination of an upstream block down |

Limits: those of `elb_ping`. If both have the same path, `elb_ready` answers. nginx closes its
listening sockets when it begins to stop, so only requests that are already being received then can
see that nginx is stopping.
",
        good: &["/ready"],
        bad: &["ready"],
    },
    Directive {
        name: "elb_drain_file",
        syntax: &["elb_drain_file path [delay=time] [stop_timeout=time]"],
        default: None,
        contexts: &[Http],
        arguments: Between(1, 3),
        about: r"While the file exists, `elb_ready` answers `draining`. Connections are still accepted, requests
answered and WebSockets left open. When the file is removed, `elb_ready` answers as before.

`delay` and `stop_timeout` only describe the environment: `delay` is the time from the creation of
the file to the signal that stops nginx, `stop_timeout` the time after which the platform kills the
remaining processes. With `stop_timeout`, nginx logs a warning at start if a stop may take that long:
`delay`, plus the longer of the time of `elb_shutdown_timeout` and, with tunnels, the sum of time,
`grace` and `handshake` of the longest `websocket_drain`.

```nginx
elb_drain_file /run/drain delay=15s stop_timeout=30s;
```

Limits: the file's folder must be local and accessible to the workers' user. A worker caches the
result for a second. Anyone who can create the file can take the instance out of service, so outside
a container choose a folder that others cannot write to. A timeout that is `off` is not part of the
sum, because it has no end.
",
        good: &["/tmp/drain", "/tmp/drain delay=15s stop_timeout=30s"],
        bad: &["/tmp/drain delay=soon", "/tmp/drain later=1s"],
    },
    Directive {
        name: "elb_log_query",
        syntax: &["elb_log_query on | off"],
        default: Some("on"),
        contexts: &[Http],
        arguments: Between(1, 1),
        about: r"With `off`, the logs contain no query strings, in which browsers send tokens. These variables for a
`log_format` then have no query:

| variable | value |
|---|---|
| `$elb_log_request` | `$request`, the request line |
| `$elb_log_uri` | `$request_uri` |
| `$elb_log_referer` | `$http_referer` |

The query is also removed from [websocket_log](#websocket_log), and from the parts that nginx adds to
messages of its error log: `request:`, `upstream:` and `referrer:`.

Limits: if nginx cannot parse the head of a request, for example because it is too large, its message
contains the request line unchanged. The message has level info, which is not logged by default
(`LOG_LEVEL`). The logs of the application are not affected.
",
        good: &["on", "off"],
        bad: &["yes"],
    },
    Directive {
        name: "elb_shutdown_timeout",
        syntax: &["elb_shutdown_timeout time | off [reload=time | reload=off]"],
        default: Some("off"),
        contexts: &[Http],
        arguments: Between(1, 2),
        about: r"This long after nginx was asked to stop, a worker closes all client connections that are still open,
except tunnelled WebSockets, for which [websocket_drain](#websocket_drain) applies. `reload`, by
default 60s, is the time for the old workers after a reload; if nginx stops in the meantime, the time
for a stop applies from then on. A worker without requests does not wait. The error log has a warning
with the number of closed connections.

```nginx
elb_shutdown_timeout 20s reload=5m;
```

nginx's own `worker_shutdown_timeout` closes WebSockets too, has one time for stop and reload, and
lets a request with an incomplete header continue for `client_header_timeout`.

Limits: connections of `http` only, not of `stream` and `mail`. It uses one of each worker's
`worker_connections`. It has no effect with `master_process off`, where nginx exits at once.
",
        good: &["8s", "off", "8s reload=60s", "8s reload=off"],
        bad: &["0", "8s reload=never"],
    },
    Directive {
        name: "elb_keepalive_min_timeout",
        syntax: &["elb_keepalive_min_timeout time"],
        default: None,
        contexts: ANYWHERE,
        arguments: Between(1, 1),
        about: r"nginx's `keepalive_min_timeout`, which requires nginx 1.27.4; an older nginx logs a notice at start,
and may lose requests on keepalive connections at a reload.
",
        good: &["3s", "0"],
        bad: &["long", "3s 4s"],
    },
    Directive {
        name: "elb_proxy_set_header",
        syntax: &["elb_proxy_set_header name value"],
        default: None,
        contexts: ANYWHERE,
        arguments: Between(2, 2),
        about: r"Sets a header of requests to the destination, like `proxy_set_header`: `value` may contain variables,
and if it is empty the header is not sent. Unlike `proxy_set_header`, each header is inherited
individually. A location inherits every header of the outer levels except those that it sets itself;
headers of `proxy_set_header` are inherited only if a location sets none of them.

```nginx
http {
    elb_proxy_set_header Host $elb_host;
    elb_proxy_set_header Upgrade $elb_upgrade;
    elb_proxy_set_header Connection $elb_connection;
    server {
        location /api/ {
            proxy_set_header X-Api-Key secret;  # the other three are sent too
            proxy_pass http://api;
        }
    }
}
```

Names are case-insensitive. If a `proxy_set_header` and an `elb_proxy_set_header` of the same name
apply to a location, the one at the inner level is sent; at the same level, that of
`proxy_set_header`.

Limits: each name once per level. `grpc_set_header`, `fastcgi_param` and similar directives are not
affected. nginx must have the proxy module.
",
        good: &["X-Name value", "Forwarded \"\""],
        bad: &["X-Name"],
    },
    Directive {
        name: "elb_env",
        syntax: &["elb_env directive [argument ...]"],
        default: None,
        contexts: &[Any],
        arguments: AtLeast(1),
        about: r"Applies a directive of nginx or of any module in this place, with the references in its arguments
replaced:

| reference | variable is set | not set, or empty |
|---|---|---|
| `${NAME}` | its value | an error |
| `${NAME:-default}` | its value | `default` |
| `${NAME:+word}` | `word` | nothing |

`default` and `word` may contain references. Names consist of capitals, digits and `_`, so `$host` and
`${host}` remain nginx's variables. If nginx reports an error in the directive, the message names the
variables used in it.

```nginx
elb_env worker_rlimit_nofile ${OPEN_FILES:-65536};
elb_env add_header X-Release ${RELEASE:-unknown} ${RELEASE:+always};
```

`elb_env` interprets a few words itself:

| directive | word | meaning |
|---|---|---|
| `worker_processes` | `auto` | the number of processors that nginx may run on or the CPU quota of its cgroups, rounded down, whichever is smaller, but at least 1. nginx itself counts the processors of the machine |
| `access_log`, `error_log` | `stdout`, `stderr` | the standard streams, as `/dev/stdout` and `/dev/stderr` |
| `access_log` | `off` | no log; further arguments are ignored |

Limits:

- No block directives: `elb_env location / { ... }` is an error.
- It does not work inside `map`, `geo`, `types` and `split_clients`: nginx reads each line there as a
  key and its value. In `types` not even an error is reported.
- A value remains one argument, whatever characters it contains. An argument that consists of
  references and is empty after their replacement is dropped, as in the second line above.
- A value with a `$` or a control character is an error. A value has at most 4096 bytes.
- A variable of the [table](variables.md), such as `HTTPS_PORT`, is checked here too.
",
        good: &["client_max_body_size ${CLIENT_MAX_BODY_SIZE:-1m}"],
        bad: &["client_max_body_size ${CLIENT_MAX_BODY_SIZE-1m}", "retrun 200"],
    },
];
