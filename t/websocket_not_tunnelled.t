#!/usr/bin/python3
"""websocket_tunnel leaves upgrades to nginx that are no WebSockets, or that it cannot take over."""

import asyncio
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import TEXT
from nginx import CONFIGURATION, Nginx
from peer import answer, request
from tap import equal, run, test, until

SERVER = """
    location /off/ {
        proxy_pass http://DESTINATION;
        websocket_tunnel off;
    }
    location /mirrored/ {
        proxy_pass http://DESTINATION;
        mirror /mirror;
    }
    location /mirror {
        internal;
        proxy_set_header Upgrade "";
        proxy_pass http://127.0.0.1:OTHER;
    }
    location /unbuffered/ {
        proxy_pass http://DESTINATION;
        proxy_request_buffering off;
    }
"""
HTTP = """
    server {
        listen 127.0.0.1:OTHER;
        location / { return 204; }
    }
"""


async def is_left_alone(nginx, path, handshake):
    """Whether an upgrade works without a tunnel of ours."""
    client = await nginx.connect()
    await client.send(handshake)
    await client.until_head()
    equal(client.status, 101)
    destination = await nginx.destination.peer(path)
    await nginx.talk(client, destination)
    await client.send(b"\0 anything")
    equal(await destination.exactly(10), b"\0 anything")
    client.close()
    await destination.rest()
    equal([line for line in nginx.ended() if line["uri"] == path], [], "lines in websocket_log")


async def said(nginx, why):
    """Waits for the message with this cause."""
    message = rf"\[info\] .* not tunnelled: {why} "
    await until(lambda: any(re.search(message, line) for line in nginx.messages()),
                what=f"no message that {why}")


def nothing_is_unexplained(nginx):
    """Fails if an upgrade was left to nginx for an unknown reason."""
    equal([line for line in nginx.messages() if "for an unknown reason" in line], [])


@test
async def websocket_tunnel_off(nginx):
    await is_left_alone(nginx, "/off/", request("/off/"))


@test
async def another_protocol(nginx):
    async with Nginx(respond=lambda head: b"HTTP/1.1 101 Go\r\nUpgrade: foo\r\n"
                     b"Connection: upgrade\r\n\r\n") as other:
        await is_left_alone(other, "/foo", request("/foo").replace(b"websocket", b"foo"))
        await until(lambda: any("not tunnelled: it is no WebSocket" in line
                                for line in other.messages()), what="no message")


@test
async def a_request_without_a_key(nginx):
    await is_left_alone(nginx, "/key", request("/key", key=False))


@test
async def an_answer_without_an_accept(nginx):
    async with Nginx(respond=lambda head: b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n"
                     b"Connection: upgrade\r\n\r\n") as other:
        await is_left_alone(other, "/accept", request("/accept"))


@test
async def a_post(nginx):
    handshake = request("/post", ["Content-Length: 0"]).replace(b"GET", b"POST")
    await is_left_alone(nginx, "/post", handshake)


@test
async def a_request_with_a_post_action(_):
    server = """
        location / { proxy_pass http://DESTINATION; post_action /done; }
        location = /done {
            proxy_pass http://DESTINATION;
            proxy_set_header Upgrade "";
        }
    """
    configuration = CONFIGURATION.replace("location / {", "location /else {")
    async with Nginx(server=server, configuration=configuration, respond=lambda head: (
            b"HTTP/1.1 204 No\r\n\r\n" if b" /done " in head else answer(head))) as other:
        await is_left_alone(other, "/acts", request("/acts"))
        await other.destination.peer("/done")


@test
async def a_refused_handshake(nginx):
    async with Nginx(respond=lambda head: b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno") as other:
        client = await other.client("/refused")
        equal((client.status, await client.exactly(2)), (403, b"no"))
        # the connection can still be used
        await client.send(request("/again"))
        await client.until_head()
        equal(client.status, 403)
        equal(other.ended(), [], "lines in websocket_log")


async def works(nginx, client, path, early):
    """Whether a WebSocket works, with or without a tunnel, and its early bytes come first."""
    equal(client.status, 101)
    destination = await nginx.destination.peer(path)
    equal(await destination.exactly(len(early)), early, "early bytes")
    await nginx.talk(client, destination)
    client.close()
    await destination.rest()


EARLY = frames.encode(TEXT, b"early", mask=b"mask")


@test
async def with_a_mirror(nginx):
    for number in range(5):
        path = f"/mirrored/{number}"
        await works(nginx, await nginx.client(path, early=EARLY), path, EARLY)


@test
async def while_a_mirror_is_under_way(_):
    # the application never responds to the mirrored request
    async with Nginx(respond=lambda head: b"" if b"GET /mirror" in head else answer(head),
                     location="mirror /mirror;",
                     server="location /mirror { proxy_pass http://DESTINATION; }") as nginx:
        client = await nginx.client("/held")
        equal(client.status, 101)
        destination = await nginx.destination.peer("/held")
        mirror = await nginx.destination.peer("/mirror")
        await nginx.talk(client, destination)
        await said(nginx, "a subrequest is under way")
        mirror.close()
        client.close()
        await destination.rest()
        nothing_is_unexplained(nginx)


@test
async def with_a_body(nginx):
    body = b"five!"
    for number, place in enumerate(["", "/unbuffered"]):
        path = f"{place}/body/{number}"
        client = await nginx.client(path, headers=["Content-Length: 5"], early=body + EARLY)
        await works(nginx, client, path, body + EARLY)


@test
async def with_a_chunked_body(nginx):
    client = await nginx.client("/chunked", headers=["Transfer-Encoding: chunked"],
                                early=b"5\r\nfive!\r\n0\r\n\r\n" + EARLY)
    await works(nginx, client, "/chunked", b"five!" + EARLY)


@test
async def with_a_body_that_comes_slowly(nginx):
    client = await nginx.connect()
    await client.send(request("/slowly", ["Content-Length: 5"]) + b"fi")
    await asyncio.sleep(0.3)
    await client.send(b"ve!" + EARLY)
    await client.until_head()
    await works(nginx, client, "/slowly", b"five!" + EARLY)


@test
async def with_a_body_still_on_its_way(nginx):
    client = await nginx.connect()
    await client.send(request("/unbuffered/way", ["Content-Length: 5"]) + b"fi")
    # the destination responds before it has received the body
    await client.until_head()
    equal(client.status, 101)
    await client.send(b"ve!" + EARLY)
    destination = await nginx.destination.peer("/unbuffered/way")
    await asyncio.wait_for(destination.exactly(2), 5)
    await said(nginx, "its body is being read")
    client.close()
    await destination.rest()
    nothing_is_unexplained(nginx)


run(Nginx(server=SERVER, http=HTTP))
