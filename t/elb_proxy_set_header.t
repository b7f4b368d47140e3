#!/usr/bin/python3
"""elb_proxy_set_header: each location sends the headers that it does not set itself, each once."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import nginx as shared
from nginx import Nginx
from tap import equal, run, test

# without the proxy_set_header that the other tests have in http
CONFIGURATION = "\n".join(line for line in shared.CONFIGURATION.splitlines()
                          if "proxy_set_header" not in line)


# nginx's own header, until it keeps connections to destinations by default
OWN = {"Connection: close"} if shared.version() < (1, 29, 7) else set()


def tell(head):
    """Responds with the head of the request as it arrived."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(head), head)


async def sent(nginx, path="/", method="GET", headers=""):
    """The header lines that arrive at the destination, none of them twice."""
    client = await nginx.connect()
    await client.send(f"{method} {path} HTTP/1.1\r\nHost: app.example\r\n{headers}"
                      "Connection: close\r\n\r\n".encode())
    await client.until_head()
    equal(client.status, 200, f"status of {path}")
    lines = (await client.rest()).decode().split("\r\n")[1:-2]
    equal(len(lines), len(set(lines)), f"lines, some of them twice: {lines}")
    return set(lines)


def of(*parts, **how):
    return Nginx(configuration=CONFIGURATION, respond=tell, http="\n".join(parts), **how)


@test
async def locations_get_what_they_do_not_set():
    http = """
        elb_proxy_set_header Host $http_host;
        elb_proxy_set_header X-A http;
        elb_proxy_set_header X-B $remote_addr;"""
    server = """
        location /none/ { proxy_pass http://DESTINATION; }
        location /own/ {
            proxy_set_header x-a own; proxy_set_header X-C own; proxy_pass http://DESTINATION;
            location /own/inside/ { proxy_pass http://DESTINATION; }
            location /own/other/ { proxy_set_header X-B other; proxy_pass http://DESTINATION; }
        }
        location = /exact { proxy_set_header X-B exact; proxy_pass http://DESTINATION; }
        location ~ ^/regex { proxy_set_header X-B regex; proxy_pass http://DESTINATION; }
        location /named { try_files /nothing @named; }
        location @named { proxy_set_header X-B named; proxy_pass http://DESTINATION; }
        location /if { proxy_set_header X-B if; if ($arg_a) { proxy_pass http://DESTINATION; } }
        location /limit/ {
            proxy_set_header X-B limit;
            limit_except GET { proxy_pass http://DESTINATION; }
        }"""
    plain = {"Host: app.example", "X-A: http", "X-B: 127.0.0.1"} | OWN
    own = {"Host: app.example", "x-a: own", "X-B: 127.0.0.1", "X-C: own"} | OWN
    cases = {
        "/": plain, "/none/": plain, "/own/": own, "/own/inside/": own,
        "/own/other/": {"Host: app.example", "X-A: http", "X-B: other"} | OWN,
    }
    for name, path in {"exact": "/exact", "regex": "/regex", "named": "/named", "if": "/if?a=1",
                       "limit": "/limit/"}.items():
        cases[path] = plain - {"X-B: 127.0.0.1"} | {f"X-B: {name}"}
    async with of(http, server=server) as nginx:
        for path, expected in cases.items():
            method = "PUT" if path == "/limit/" else "GET"
            got = await sent(nginx, path, method, headers="X-A: client\r\nX-B: client\r\n")
            equal(got, expected, f"headers of {path}")


@test
async def a_server_that_sets_some_replaces_those():
    http = "elb_proxy_set_header Host $http_host; elb_proxy_set_header X-A http;"
    server = """
        proxy_set_header HOST server.example;
        location /inner/ { proxy_set_header X-C inner; proxy_pass http://DESTINATION; }"""
    async with of(http, server=server) as nginx:
        equal(await sent(nginx), {"HOST: server.example", "X-A: http"} | OWN)
        # as always in nginx: a location with a header of its own inherits none from the server
        equal(await sent(nginx, "/inner/"),
              {"Host: app.example", "X-A: http", "X-C: inner"} | OWN)


@test
async def the_same_level_and_the_order_do_not_matter():
    ours, theirs = "elb_proxy_set_header X-A ours;", "proxy_set_header X-A theirs;"
    for http in (ours + theirs, theirs + ours):
        async with of(http) as nginx:
            equal({line for line in await sent(nginx) if "X-A" in line}, {"X-A: theirs"}, http)


@test
async def an_inner_level_replaces_and_is_inherited():
    http = "elb_proxy_set_header X-A http; elb_proxy_set_header X-B http; proxy_set_header X-C c;"
    server = """
        elb_proxy_set_header x-a server;
        location /in/ {
            elb_proxy_set_header X-B location;
            elb_proxy_set_header X-C location;
            proxy_pass http://DESTINATION;
        }"""
    async with of(http, server=server) as nginx:
        def own(lines):
            return {line for line in lines if line.lower().startswith("x-")}
        equal(own(await sent(nginx)), {"x-a: server", "X-B: http", "X-C: c"})
        equal(own(await sent(nginx, "/in/")),
              {"x-a: server", "X-B: location", "X-C: location"})


@test
async def an_empty_value_leaves_a_header_out():
    http = """elb_proxy_set_header Forwarded ""; elb_proxy_set_header X-Var $arg_a;
              elb_proxy_set_header Connection ""; elb_proxy_set_header Accept-Encoding "";"""
    async with of(http) as nginx:
        headers = "Forwarded: for=evil\r\nX-Var: evil\r\nAccept-Encoding: gzip\r\n"
        host = {f"Host: 127.0.0.1:{nginx.destination.port}"}
        equal(await sent(nginx, headers=headers), host)
        equal(await sent(nginx, "/?a=b", headers=headers), host | {"X-Var: b"})


@test
async def without_it_nginx_inherits_as_ever():
    http = "proxy_set_header X-A http;"
    server = "location /in/ { proxy_set_header X-B location; proxy_pass http://DESTINATION; }"
    async with of(http, server=server) as nginx:
        host = {f"Host: 127.0.0.1:{nginx.destination.port}"} | OWN
        equal(await sent(nginx), host | {"X-A: http"})
        equal(await sent(nginx, "/in/"), host | {"X-B: location"})


@test
async def servers_do_not_mix():
    http = """
        elb_proxy_set_header X-A http;
        server {
            listen 127.0.0.1:OTHER;
            elb_proxy_set_header X-B second;
            proxy_set_header Connection "";
            location / { proxy_pass http://DESTINATION; }
        }"""
    async with of(http) as nginx:
        host = {f"Host: 127.0.0.1:{nginx.destination.port}"}
        equal(await sent(nginx), host | {"X-A: http"} | OWN)
        nginx.port = nginx.other
        equal(await sent(nginx), host | {"X-A: http", "X-B: second"})


run(limit=60)
