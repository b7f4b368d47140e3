"""Why a peer is ahead where it is: printed in the report for those that are ahead in its figures."""

WHY = {
    ("get", "haproxy"): (
        "HAProxy's HTTP is leaner than nginx's: a request costs nginx a pool, phases, an upstream "
        "object and headers built from variables. The module is not on this path: plain nginx "
        "(expert) costs the same."
    ),
    ("get", "expert"): (
        "The shipped `nginx.conf` sends the application five headers more (`X-Real-IP`, "
        "`X-Forwarded-Host`, `X-Forwarded-Port` among them) and looks up three maps."
    ),
    ("redirect", "haproxy"): (
        "The same: HAProxy parses and answers a request with less work than nginx's phases take."
    ),
    ("redirect", "classic"): (
        "`classic` does not settle who the client is (`realip`), which the shipped `nginx.conf` "
        "does for each connection and request, and `expert` too."
    ),
    ("ping", "classic"): (
        "`classic` does not settle who the client is (`realip`); `expert`, which does, is not ahead."
    ),
    ("ping", "haproxy"): "HAProxy answers a request with less work than nginx's phases take.",
    ("handshakes", "classic"): (
        "`classic` does not settle who the client is and sends four headers fewer; and a tunnel is "
        "set up, which pays from the first message of 16 kB, or in memory, on."
    ),
    ("handshakes", "expert"): (
        "A tunnel is set up and the request's memory is freed after the 101; the shipped "
        "`nginx.conf` sends more headers, and looks up three maps."
    ),
    ("start", "classic"): (
        "The module is a shared object of its own that has to be loaded, and the configuration "
        "has more to read."
    ),
    ("start", "expert"): "The same.",
    ("bulk", "envoy"): (
        "Envoy reads as much as there is into slices of its own and writes them with `writev`; the "
        "module reads and writes 128 kB at most."
    ),
    ("bulk", "expert64"): (
        "The same copy with a buffer of 64 kB for each socket and direction, which those "
        "then keep: see memory after 60 kB."
    ),
    ("echo", "classic"): (
        "nginx's own copier looks at no frame. The module follows them, so that it can ping and "
        "close between two of them."
    ),
    ("echo", "expert"): "As `classic`: the copier is the same.",
    ("echo", "expert64"): "As `classic`, with larger buffers.",
    ("echo", "caddy"): (
        "Go's runtime takes many ready sockets from one `epoll_wait` to goroutines of their own; "
        "where the load is the bottleneck this batches more. Its latency stands beside it."
    ),
    ("echo", "traefik"): "As Caddy: Go's runtime.",
    ("echo", "envoy"): (
        "Envoy moves a large message with fewer and larger reads and writes."
    ),
    ("echo", "haproxy"): "HAProxy looks at no frame and polls less often when many are ready.",
}


def why(question: str, peer: str) -> str | None:
    """What is known of it."""
    return WHY.get((question, peer))
