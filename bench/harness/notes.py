"""Known reasons why a peer is ahead. The report prints them for peers that are ahead."""

WHY = {
    ("get", "haproxy"): (
        "HAProxy's HTTP is leaner than nginx's: a request costs nginx a pool, phases, an upstream "
        "object and headers built from variables. The module is not on this path: nginx without "
        "it (`expert`) costs about the same."
    ),
    ("get", "expert"): (
        "The shipped `nginx.conf` tells the application more (`X-Real-IP`, `X-Forwarded-Host`, "
        "`X-Forwarded-Port`) and takes a `Forwarded` away, which are variables to look up and "
        "bytes to write."
    ),
    ("redirect", "haproxy"): "HAProxy answers a request with less work than nginx's phases take.",
    ("redirect", "classic"): (
        "It does not settle who the client is (`set_real_ip_from`), which the shipped `nginx.conf` "
        "does for each request; with it, `classic` costs as much as `expert`."
    ),
    ("redirect", "expert"): (
        "`elb_redirect` builds the address from the host without its port, the port for https and "
        "the URI as it came; `return 301` fills in two variables."
    ),
    ("ping", "classic"): (
        "It does not settle who the client is (`set_real_ip_from`), which the shipped `nginx.conf` "
        "does for each request; `expert`, which does it too, costs no less than the module."
    ),
    ("ping", "haproxy"): "HAProxy answers a request with less work than nginx's phases take.",
    ("handshakes", "classic"): (
        "It does not settle who the client is, sends the application fewer headers, and leaves the "
        "WebSocket to nginx, where the module sets a tunnel up."
    ),
    ("handshakes", "expert"): (
        "It sends the application fewer headers, and leaves the WebSocket to nginx, where the "
        "module sets a tunnel up and frees the request."
    ),
    ("handshakes", "haproxy"): "HAProxy answers a request with less work than nginx's phases take.",
    ("start", "classic"): (
        "The shipped `nginx.conf` has more in it, and the module is a shared object that has to be "
        "loaded."
    ),
    ("start", "expert"): "As `classic`.",
    ("bulk", "envoy"): (
        "Envoy reads as much as there is into slices of its own and writes them with one "
        "`writev`; the module copies 128 kB at a time."
    ),
    ("bulk", "expert64"): (
        "The same copy with a buffer of 64 kB, but one for each socket and direction, which "
        "it then keeps: see memory after 60 kB."
    ),
    ("echo", "classic"): (
        "nginx's own copier looks at no frame. The module follows them, so that it can ping, and "
        "close between two of them."
    ),
    ("echo", "expert"): "As `classic`: the copier is the same.",
    ("echo", "expert64"): "As `classic`, with buffers of 64 kB for each socket.",
}


def why(question: str, peer: str) -> str | None:
    """The note on this peer in this row, if there is one."""
    return WHY.get((question, peer))
