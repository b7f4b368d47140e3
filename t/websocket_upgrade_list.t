#!/usr/bin/python3
"""Upgrade is a list (RFC 9110 7.8), and "websocket" one of its items (RFC 6455 4.2.1). Servers read
it so, and an upgrade that they accept as a WebSocket is limited, tunnelled and counted as one."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx
from peer import answer, request
from status import HTTP, SERVER, metrics
from tap import equal, run, test

LISTS = {"first": ["websocket, x"], "last": ["h2c , WebSocket"], "empty": [",, websocket,"],
         "headers": ["x", "websocket"], "alone": ["WEBSOCKET"]}
OTHERS = {"longer": ["websocket2"], "version": ["websocket/13"], "dashed": ["x-websocket, y"]}


def handshake(path, values):
    """A request with these values of Upgrade."""
    lines = "\r\n".join(f"Upgrade: {value}" for value in values)
    return request(path).replace(b"Upgrade: websocket", lines.encode())


def respond(head):
    """A 101 with the same values of Upgrade."""
    name = head.split()[1].split(b"/")[-1].decode().partition("?")[0]
    lines = "\r\n".join(f"Upgrade: {value}" for value in {**LISTS, **OTHERS}[name])
    return answer(head).replace(b"Upgrade: websocket", lines.encode())


async def ask(nginx, path, values):
    """A client that has sent a handshake."""
    client = await nginx.connect()
    await client.send(handshake(path, values))
    await client.until_head()
    return client


@test
async def they_are_tunnelled(nginx):
    for name, values in LISTS.items():
        client = await ask(nginx, f"/list/{name}", values)
        equal(client.status, 101, name)
        await nginx.talk(client, await nginx.destination.peer(f"/list/{name}"))
        client.close()
        await nginx.end_of(f"/list/{name}")


@test
async def they_are_limited(nginx):
    for name, values in LISTS.items():
        got = [(await ask(nginx, f"/one/{name}?{name}", values)).status for _ in range(3)]
        equal(got, [101, 503, 503], name)


@test
async def others_are_not(nginx):
    for name, values in OTHERS.items():
        got = [(await ask(nginx, f"/one/{name}?{name}", values)).status for _ in range(2)]
        equal(got, [101, 101], name)
    told = await metrics(nginx.port)
    equal((told['websocket_left_to_nginx_total{reason="not_websocket"}'],
           told["websocket_opened_total"]), (2 * len(OTHERS), 2 * len(LISTS)), "left and opened")


LIMIT = "location /one/ { proxy_pass http://DESTINATION; websocket_limit_conn $args 1; }"

run(Nginx(server=SERVER + LIMIT, http=HTTP, respond=respond), together=False)
