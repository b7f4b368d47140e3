#!/usr/bin/python3
"""A worker that was stopped for longer than the timeouts of its tunnels: bytes that arrived
meanwhile count.

A worker that is woken by a signal looks at its timers before its sockets, so after SIGCONT all
expired timers come first."""

import asyncio
import contextlib
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from frames import PING, PONG, TEXT
from nginx import Nginx
from tap import equal, run, test, until

TUNNELS = 40


@contextlib.contextmanager
def held_up(nginx):
    """Stops the worker within the context."""
    pid = nginx.worker
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def next_data(peer):
    """Answers Pings; returns the next frame of another kind."""
    while (frame := await peer.next()).opcode == PING:
        await peer.frame(PONG, frame.payload)
    return frame


async def all_talk(ends):
    """Both ends of every tunnel receive a message from the other."""
    for sender, receiver in [*ends, *[(b, a) for a, b in ends]]:
        await sender.frame(TEXT, b"hello")
        equal((await next_data(receiver)).payload, b"hello")


@test
async def pongs_that_came_meanwhile():
    async with Nginx(location="websocket_ping 1s; websocket_pong_timeout 3s;") as nginx:
        ends = [await nginx.tunnel(f"/{number}") for number in range(TUNNELS)]
        peers = [peer for pair in ends for peer in pair]
        pings = [await peer.next() for peer in peers]
        equal({frame.opcode for frame in pings}, {PING})
        with held_up(nginx):
            for peer, ping in zip(peers, pings):
                await peer.frame(PONG, ping.payload)
            await asyncio.sleep(4)
        await all_talk(ends)
        equal(nginx.ended(), [], "tunnels that ended")


@test
async def a_silent_end_is_dead_all_the_same():
    async with Nginx(location="websocket_ping 1s; websocket_pong_timeout 3s;") as nginx:
        client, destination = await nginx.tunnel("/silent")
        equal((await client.next()).opcode, PING)
        ping = await destination.next()
        with held_up(nginx):
            await destination.frame(PONG, ping.payload)
            await asyncio.sleep(4)
        equal((await nginx.end_of("/silent"))["close_reason"], "dead_client")


@test
async def messages_that_came_meanwhile():
    async with Nginx(location="websocket_ping off; websocket_idle_timeout 4s;") as nginx:
        ends = [await nginx.tunnel(f"/{number}") for number in range(TUNNELS)]
        with held_up(nginx):
            for client, destination in ends:
                await client.frame(TEXT, b"hello")
            await asyncio.sleep(5)
        for client, destination in ends:
            equal((await destination.next()).payload, b"hello")
        await all_talk(ends)
        equal(nginx.ended(), [], "tunnels that ended")
        await until(lambda: len(nginx.ended()) == TUNNELS, what="they are idle")
        equal({line["close_reason"] for line in nginx.ended()}, {"idle_timeout"})


run()
