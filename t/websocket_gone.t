#!/usr/bin/python3
"""Ends that half-close, reset or vanish, in every state of a tunnel: nothing is left open."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import BINARY, CLOSE, PING, TEXT
from nginx import Nginx
from tap import equal, run, test
from traffic import flood

HTTP = """
    websocket_ping 1s;
    websocket_pong_timeout 1s;
    websocket_send_timeout 1s;
    websocket_drain 0 grace=500ms handshake=1s;
"""


async def idle(client, destination):
    """Nothing has passed."""


async def talking(client, destination):
    """Messages have passed, and the last one is unread."""
    await client.frame(TEXT, b"hello")
    await destination.next()
    await destination.frame(TEXT, b"hello")
    await asyncio.sleep(0.05)


async def within_frames(client, destination):
    """Both ends have begun a frame."""
    for end in (client, destination):
        await end.send(end.encode(BINARY, b"x" * 1000)[:100])
    await asyncio.sleep(0.05)


async def within_a_head(client, destination):
    """Both ends have sent one byte."""
    await client.send(b"\x8a")
    await destination.send(b"\x8a")
    await asyncio.sleep(0.05)


async def client_blocked(client, destination):
    """The client's buffers are full."""
    flooding = asyncio.create_task(flood(destination))
    await asyncio.sleep(0.3)
    flooding.cancel()


async def destination_blocked(client, destination):
    """The destination's buffers are full."""
    flooding = asyncio.create_task(flood(client))
    await asyncio.sleep(0.3)
    flooding.cancel()


async def closing(client, destination):
    """The client has sent its Close."""
    await client.frame(CLOSE, frames.close(1000))
    await destination.next()


async def closed(client, destination):
    """Both have sent their Closes, and wait for the other to close the connection."""
    await closing(client, destination)
    await destination.frame(CLOSE, frames.close(1000))
    await client.next()


async def passthrough(client, destination):
    """The client's bytes are not valid frames."""
    await client.send(b"\xff" * 100)
    await destination.exactly(100)


async def pinged(client, destination):
    """Both ends have an unanswered Ping."""
    equal((await client.next()).opcode, PING)
    equal((await destination.next()).opcode, PING)


STATES = [idle, talking, within_frames, within_a_head, client_blocked, destination_blocked,
          closing, closed, passthrough, pinged]


async def leave(nginx, state, end, how):
    """One end leaves in this state; the other end notices, and nginx keeps no connection."""
    path = f"/{state.__name__}/{end}/{how}"
    ends = await nginx.tunnel(path, receive_buffer=4096)
    await state(*ends)
    getattr(ends[end], how)()
    other = ends[1 - end]
    await other.until_gone()
    other.close()
    await nginx.end_of(path)
    ends[end].close()


@test
async def the_client_closes(nginx):
    await asyncio.gather(*(leave(nginx, state, 0, "close") for state in STATES))


@test
async def the_destination_closes(nginx):
    await asyncio.gather(*(leave(nginx, state, 1, "close") for state in STATES))


@test
async def the_client_resets(nginx):
    await asyncio.gather(*(leave(nginx, state, 0, "reset") for state in STATES))


@test
async def the_destination_resets(nginx):
    await asyncio.gather(*(leave(nginx, state, 1, "reset") for state in STATES))


@test
async def the_client_half_closes(nginx):
    await asyncio.gather(*(leave(nginx, state, 0, "finish") for state in STATES))


@test
async def the_destination_half_closes(nginx):
    await asyncio.gather(*(leave(nginx, state, 1, "finish") for state in STATES))


@test
async def both_stay_away(nginx):
    async def stay_away(state):
        path = f"/{state.__name__}/away"
        await state(*await nginx.tunnel(path, receive_buffer=4096))
        # in these states nginx cannot send a Ping
        if state not in (within_frames, within_a_head, closing, passthrough):
            await nginx.end_of(path)
    await asyncio.gather(*map(stay_away, STATES))


@test
async def during_the_handshake(_):
    async with Nginx(respond=lambda head: b"", location="proxy_read_timeout 2s;") as nginx:
        for how in ("close", "reset", "finish"):
            client = await nginx.connect()
            await client.send(b"GET /%s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                              b"Connection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n" % how.encode())
            destination = await nginx.destination.peer(f"/{how}")
            getattr(client, how)()
            destination.close()
        equal(nginx.ended(), [], "lines in websocket_log")


@test
async def in_a_drain(_):
    async def one(nginx, state, end, how):
        path = f"/{state.__name__}/{end}/{how}"
        ends = await nginx.tunnel(path, receive_buffer=4096)
        await state(*ends)
        return ends, end, how

    async with Nginx(http=HTTP) as nginx:
        tunnels = await asyncio.gather(
            *(one(nginx, state, end, how) for state in STATES if state is not pinged
              for end in (0, 1) for how in ("close", "reset", "finish")))
        nginx.signal("QUIT")
        await asyncio.sleep(0.2)
        for ends, end, how in tunnels:
            try:
                getattr(ends[end], how)()
            except OSError:
                pass
        equal(await nginx.has_ended(15), 0, "status of nginx")


run(Nginx(http=HTTP))
