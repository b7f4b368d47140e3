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
        about: r"`listen` with the port, or the address and port, from the environment variable named `VARIABLE`; one
`listen` with the same parameters for each of several. The
parameters are those of nginx's `listen` and two more. `proxy_protocol` among them is left out when
`PROXY_PROTOCOL` is `off`.

```nginx
elb_listen LISTEN_ON_TLS proxy_protocol;
elb_listen STATUS_LISTEN_ON default=127.0.0.1:9145 proxy_protocol=optional;
```

- `default=ADDRESS` is the address where the variable is not set. It may also be `off`, and so may
  the variable then, as `LISTEN_ON` and `STATUS_LISTEN_ON` always may: the server listens nowhere. If another process listens at the default address
  as nginx starts or is reloaded, nginx logs a warning and leaves it out; an address that the
  variable names and that is in use is an error, as always.
- `proxy_protocol=optional`: each connection may come with a PROXY header, of version 1 or 2, or
  without. `PROXY_PROTOCOL` does not matter. The header may arrive in pieces, within
  `client_header_timeout`. Whoever can connect can bring a header, so this is for health checks and
  the operator, not for a port that clients reach: the PROXY protocol forbids to guess there. It
  cannot go together with `proxy_protocol`, `ssl`, `quic`, `deferred` or `accept_filter`, nor at an
  address that another server has without it.

Any name of capitals, digits and `_` can stand for `VARIABLE`. A value is `81`, `*:81`, `127.0.0.1:81` or
`[::]:81`, or a list of these with commas between them. A port alone listens on all IPv4 addresses,
`[::]:81` on all IPv6 addresses and on no IPv4 address, so `81,[::]:81` is both.

Limits: no host names, no unix sockets. A list has no address twice, and `LISTEN_ON`, `LISTEN_ON_TLS`
and `STATUS_LISTEN_ON` have no address in common. `ipv6only=off` among the parameters makes `[::]:81`
listen on IPv4 as well, which then must not be in the list.
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
`DESTINATION_PORT`, with the parameters given. Names are looked up again while nginx runs, as
[Names of destinations](destinations.md#names-of-destinations) tells. What is needed is added unless the block has
it: a `zone` of 256k, in which all workers count failed requests and connections together, and for a
name that is looked up a `resolver` with the first usable nameserver of `/etc/resolv.conf` and
`valid=${RESOLVER_VALID:-5s}` (not added either where `http` has a `resolver`), and
`resolver_timeout ${RESOLVER_TIMEOUT:-2s}`.

```nginx
upstream app {
    least_conn;
    elb_destination max_fails=2 fail_timeout=5s;
}
```

Limits: once in an upstream block. A balancing method stands before it, as before `server`. Methods
without backups (`ip_hash`, `hash`, `random`) refuse a `backup` in `DESTINATIONS`, and use the first
name alone where several are candidates. A balancer that is not one of nginx's own keeps its servers
in its own way: it gets no `zone`, names are looked up at start only, and a warning says that the
status has none of them.
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
        about: r"One worker checks each server of the block about every `interval`, each at a moment of its own. A
check is a TCP connection, or with `path` a GET, and fails if it takes longer than `timeout` (2s) or
the status is not in `status` (200-399). The first check, which comes within half a second, decides;
after it `fall` failures in a row (3) take a server down and `rise` successes (2) bring it up. All
workers and all of nginx's balancing methods then skip it as they do a server that is `down`, backups
included. A server that comes up is forgiven what requests have failed at it.

```nginx
upstream app {
    server app-1:8080;
    server app-2:8080;
    elb_check 5s timeout=1s path=/health status=200,204;
}
```

The request is HTTP/1.1 with `Connection: close`, and `Host` is `host`, or without one the server as
configured: set it where the application answers known hosts alone. Of the
answer only the status counts; interim answers (100, 102, 103) before it are skipped, and the rest
is read, up to 64 kB, so that the application sees no reset.
A server whose name is looked up while running is checked at each of its addresses, from a moment
after they are known. The block gets a `zone` of 256k unless it has one. A reload keeps the states,
and where the worker that checks dies, the one that takes its place goes on.

Limits: no HTTPS; a TCP connection to a server with TLS works. An application that hangs may still
take TCP connections, since its host does that: use `path`. No effect, and no `zone`, where the
balancer is not one of nginx's own (a warning says so). A server with `down` is not checked. With `master_process off`
the checks end at a reload.
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
        about: r"One `set_real_ip_from` for each entry of `TRUSTED_PROXIES`, and where the client's address comes
from: `real_ip_header proxy_protocol`, or with `PROXY_PROTOCOL=off` `real_ip_header X-Forwarded-For`
and `real_ip_recursive on`. `$remote_addr` is then the client as a trusted peer names it, and for
any other peer the peer itself.

A PROXY header from a peer that is not trusted is not believed, and is reported at level notice, by
each worker once a minute at most, with the address of the peer. It is not where the peer names
itself (a load balancer that keeps the client's address), nor with `TRUSTED_PROXIES=none`.

`CLIENT_ADDRESS_HEADER` is for a CDN before the load balancer: the header in which that names the
client, such as `CloudFront-Viewer-Address` (an address and a port) or `CF-Connecting-IP`. Trust goes
from hop to hop:

1. The peer of the connection, which is the load balancer, must be in `TRUSTED_PROXIES`. Else it is
   itself the client, whatever it says.
2. The load balancer names who connected to it: in the PROXY header, or with `PROXY_PROTOCOL=off` as
   the last address in `X-Forwarded-For`. This address must be in `TRUSTED_PROXIES` too, with the
   networks of the CDN. Else it is the client, and the header is not looked at: who reaches the load
   balancer past the CDN can send it as well.
3. The client is then the address in the header. Where the header is missing, is there twice or has no
   address, the client is whoever was found without it: the CDN's edge, or with
   `PROXY_PROTOCOL=off` the last address in `X-Forwarded-For` that is not trusted.

A PROXY header that names nobody (`LOCAL`, `UNKNOWN`) does not tell who connected, so the header of
the CDN does not count. With `PROXY_PROTOCOL=off` and no `X-Forwarded-For` at all the peer counts as
the CDN, which it is where there is no load balancer: one that removes `X-Forwarded-For`, or passes
it on as it came, must not be used here.

`realip` then has its address from `X-Real-IP`, which the module fills in: what a client sends under
that name has no effect.

Limits: nginx must have the realip module, as all packages of it do. In a `server` that has
`set_real_ip_from` of its own, those of `http` do not count. `$proxy_protocol_addr` knows no trust:
do not use it for decisions.
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
the second, and as many `proxy_buffers` of that size as nginx needs with it (64k of them, at least
four). The size in the first argument is the most that a request line or one field of a request's
header may have, such as a token in the URL or in a cookie; the second is the most that the whole
header of a response may have.

```nginx
elb_header_buffers "4 16k" 16k;
```

A request that is refused because a header is larger, with 414, 400 or 502, is reported at level
notice, with the client, and with the variable of `nginx.conf` that says how large it may be:

```
[notice] client 10.0.1.7 ("192.0.2.1" in its PROXY header) sent a request line longer than 16k and got 414, raise the size in environment variable "LARGE_CLIENT_HEADER_BUFFERS" ("4 16k")
```

Limits: a number is from 1 to 64, a size from 1k to 1m. The memory of a request is that of its own
headers, so a client can make nginx take all of the first argument. nginx reads a request line and a
header with what the default server of the listener says, as it does not know the host yet. The
directives can still stand in a `server` or a `location` of their own, but not beside this one.
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

In a `server` it answers before any location is looked for; in a `location`, for that location and
those inside it.

Limits: a request without a host (HTTP/1.0 may leave it out) gets 400. A `return` in the same block
comes first.
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
        about: r#"Answers GET and HEAD of exactly that path with 200 and `ok` as text/plain, before redirects,
locations and access rules, and leaves them out of the access log. A query is ignored. HTTP/1.0
without Host works.

Limits: `/pingpong`, `/ping/` and other methods are ordinary requests. The path is compared as the
client sent it, so no `%70ing`. It has no space, control character, `?`, `#`, `{`, `}`, `;`, `"`,
`\` or `$`. It says that nginx is alive, not the application; with `ready` it says what
[elb_ready](#elb_ready) does.
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
        about: r"Answers a request for that path as `elb_ping` does, but tells whether the instance should get
traffic:

| | |
|---|---|
| 200 `ok` | it should |
| 503 `draining` | the file of `elb_drain_file` exists, or nginx stops |
| 503 `destination down` | active checks find every destination of an upstream block down |

Limits: those of `elb_ping`. Where both have the same path, `elb_ready` answers. nginx closes its
listening sockets as it begins to stop, so that alone is told only to a request that was under way
then.
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
        about: r"While the file exists, `elb_ready` tells `draining`. Connections are still accepted, requests
answered and WebSockets left alone. When it is gone, all is as before.

`delay` and `stop_timeout` change nothing. `delay` is how long nginx goes on after the file was made
and before it is asked to quit, `stop_timeout` after how long what is left is killed. With
`stop_timeout` there is a warning at start if a stop may take as long: `delay`, and the longer of
the time of `elb_shutdown_timeout` and the time, `grace` and `handshake` of the longest
`websocket_drain` where there are tunnels.

```nginx
elb_drain_file /run/drain delay=15s stop_timeout=30s;
```

Limits: the file's folder must be local, and one that the workers' user may look into. A worker
believes for a second what it has seen. Who can make the file can take the instance out, so outside
a container choose a folder that others cannot write to. What is `off` is not in the sum, as it has
no end.
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
        about: r"With `off`, query strings, where browsers put tokens, stay out of the logs. These variables for a
`log_format` then have none:

| variable | value |
|---|---|
| `$elb_log_request` | `$request`, the request line |
| `$elb_log_uri` | `$request_uri` |
| `$elb_log_referer` | `$http_referer` |

[websocket_log](#websocket_log) has none either, and neither has what nginx adds to the messages of its
error log: `request:`, `upstream:` and `referrer:`.

Limits: nginx has a message for a request whose head it cannot read, as one that is too large, and
writes the line of that request as it is. It does so at level info, which is not logged by default
(`LOG_LEVEL`). An application may write what it likes to its own logs.
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
        about: r"So long after nginx was asked to stop, a worker closes what clients still have open of it, whatever
it is about, but for WebSockets that are tunnelled: those have [websocket_drain](#websocket_drain).
`reload`, 60s unless it is said, is the time of workers that a reload has left behind; where nginx
stops meanwhile, they have the time of a stop from then on. A worker without requests waits for
nothing. The error log has a warning with the number of connections.

```nginx
elb_shutdown_timeout 20s reload=5m;
```

nginx's own `worker_shutdown_timeout` closes WebSockets too, has one time for both, and lets a
request whose header is not whole yet go on for `client_header_timeout`.

Limits: connections of `http` only, not of `stream` and `mail`. It takes one of each worker's
`worker_connections`. No effect with `master_process off`, which ends at once.
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
        about: r"nginx's `keepalive_min_timeout` where nginx has it, which is since 1.27.4; an older one gets a notice
at start, and may lose requests on kept connections at a reload.
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
        about: r"A header for the destination of `proxy_pass`, as `proxy_set_header` sets one: `value` may have
variables, and where it comes to nothing the header is not sent. But each is inherited by itself. A
location has every one of the levels around it, except those that it sets itself; nginx's own are
inherited only where a location has none at all.

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

Names are compared without regard to case. Of a `proxy_set_header` and an `elb_proxy_set_header` with
one name that hold at a location, the one at the inner level is sent, and at one level
`proxy_set_header`.

Limits: once for a name at one level. `grpc_set_header`, `fastcgi_param` and the like are other
directives, and untouched. nginx must have the proxy module.
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
        about: r"Applies a directive, of nginx or of any module, as if it stood there, with references in its words
replaced:

| reference | variable is set | not set, or empty |
|---|---|---|
| `${NAME}` | its value | a fault |
| `${NAME:-default}` | its value | `default` |
| `${NAME:+word}` | `word` | nothing |

`default` and `word` may hold references. Names are capitals, digits and `_`, so `$host` and
`${host}` stay nginx's own variables. An error that nginx finds in the directive names the variables
that its words came from.

```nginx
elb_env worker_rlimit_nofile ${OPEN_FILES:-65536};
elb_env add_header X-Release ${RELEASE:-unknown} ${RELEASE:+always};
```

`elb_env` has a meaning of its own for a few words:

| directive | word | meaning |
|---|---|---|
| `worker_processes` | `auto` | the smaller of the processors that nginx may run on and of the CPU quota of its cgroups, rounded down, but at least 1. nginx alone counts the processors of the machine |
| `access_log`, `error_log` | `stdout`, `stderr` | the standard streams, as `/dev/stdout` and `/dev/stderr` |
| `access_log` | `off` | none, whatever follows |

Limits:

- No block directives: `elb_env location / { ... }` is an error.
- It does not work inside `map`, `geo`, `types` and `split_clients`: nginx takes each line there as
  a key and its value. `types` does not even complain.
- A value stays one argument, whatever is in it. An argument of references that comes out empty is
  dropped, as in the second line above.
- A value with a `$` or a control character is a fault. A value has at most 4096 bytes.
- A variable of the [table](variables.md) with a meaning of its own, as `HTTPS_PORT`, is checked here
  too.
",
        good: &["client_max_body_size ${CLIENT_MAX_BODY_SIZE:-1m}"],
        bad: &["client_max_body_size ${CLIENT_MAX_BODY_SIZE-1m}", "retrun 200"],
    },
];
