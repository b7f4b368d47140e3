#!/usr/bin/python3
"""websocket_drain: a worker that leaves closes its tunnels properly, whatever their state."""

import asyncio
import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from frames import BINARY, CLOSE, CONTINUATION, TEXT
from nginx import Nginx, is_running
from tap import equal, run, test, until
from traffic import answer_all, flood

MESSAGE = 3_000_000
EACH = 5


class Idle:
    """Both ends are silent."""

    async def client(self, peer):
        return await answer_all(peer)

    async def destination(self, peer):
        return await answer_all(peer)

    def check(self, of_client, of_destination):
        equal([frame.opcode for frame in of_client], [CLOSE], "what the client got")
        equal([frame.opcode for frame in of_destination], [CLOSE], "what the destination got")


class Trickling(Idle):
    """The client sends a message byte by byte, whatever it receives meanwhile."""

    async def client(self, peer):
        for byte in peer.encode(TEXT, b"trickling"):
            await peer.send(bytes([byte]))
            await asyncio.sleep(0.1)
        return await answer_all(peer)

    def check(self, of_client, of_destination):
        equal([frame.opcode for frame in of_client], [CLOSE], "what the client got")
        equal([(frame.opcode, frame.payload) for frame in of_destination[:-1]],
              [(TEXT, b"trickling")], "messages at the destination")


class Flooding(Idle):
    """The destination sends messages without end."""

    async def destination(self, peer):
        flooding = asyncio.create_task(self.send_all(peer))
        received = await answer_all(peer)
        flooding.cancel()
        return received

    async def send_all(self, peer):
        number = 0
        with contextlib.suppress(OSError):
            while True:
                await peer.frame(BINARY, b"%08d" % number * 200)
                number += 1
                await asyncio.sleep(0.001)

    def check(self, of_client, of_destination):
        messages = [frame.payload for frame in of_client[:-1]]
        equal(messages, [b"%08d" % number * 200 for number in range(len(messages))], "messages")
        assert len(messages) > 10, f"only {len(messages)} messages came"
        equal([frame.opcode for frame in of_destination], [CLOSE], "what the destination got")


class MidFragment(Idle):
    """The destination has begun a message, and completes it some time after the drain has begun."""

    async def destination(self, peer):
        await peer.frame(TEXT, b"begun ", fin=False)
        await asyncio.sleep(1.3)
        await peer.frame(CONTINUATION, b"and ended")
        return await answer_all(peer)

    def check(self, of_client, of_destination):
        equal([(frame.opcode, frame.payload) for frame in of_client[:-1]],
              [(TEXT, b"begun "), (CONTINUATION, b"and ended")], "fragments")


class Uploading(Idle):
    """The client sends a large message in one frame; it answers the Close behind it."""

    async def client(self, peer):
        frame = peer.encode(BINARY, b"u" * MESSAGE)
        for start in range(0, len(frame), len(frame) // 20):
            await peer.send(frame[start : start + len(frame) // 20])
            await asyncio.sleep(0.08)
        return await answer_all(peer)

    def check(self, of_client, of_destination):
        equal([frame.opcode for frame in of_client], [CLOSE], "what the client got")
        messages = [frame.payload for frame in of_destination[:-1]]
        assert messages == [b"u" * MESSAGE], f"messages of {list(map(len, messages))} bytes"


class Deaf:
    """The client reads nothing while the destination sends, so that no Close can reach it."""

    async def client(self, peer):
        await asyncio.sleep(3)
        return []

    async def destination(self, peer):
        with contextlib.suppress(OSError):
            await flood(peer)
        return []

    def check(self, of_client, of_destination):
        pass


async def all_kinds(nginx, leave, within):
    """Tunnels of all kinds, a second of traffic, then a worker that leaves."""
    tunnels = []
    for number, kind in enumerate([Idle, Trickling, Flooding, MidFragment, Uploading, Deaf] * EACH):
        path = f"/{kind.__name__}/{number}"
        how = {"receive_buffer": 4096} if kind is Deaf else {}
        client, destination = await nginx.tunnel(path, **how)
        one = kind()
        tasks = [asyncio.create_task(one.client(client)),
                 asyncio.create_task(one.destination(destination))]
        tunnels.append((path, one, tasks))
    await asyncio.sleep(1)
    old = nginx.workers()
    await leave()
    await until(lambda: not any(map(is_running, old)), within, "the old worker is still there")
    for path, one, tasks in tunnels:
        of_client, of_destination = await asyncio.gather(*tasks)
        try:
            if not isinstance(one, Deaf):
                equal(of_client[-1].code, 1001, "code of the client's Close")
                equal(of_destination[-1].code, 1001, "code of the destination's Close")
                assert of_destination[-1].mask is not None, "the destination's Close has no mask"
            one.check(of_client, of_destination)
            equal((await nginx.end_of(path))["close_reason"], "drain", "websocket_log")
        except AssertionError as error:
            raise AssertionError(f"{path}: {error}") from error


@test
async def through_a_reload():
    drain = "websocket_drain 60s reload=500ms grace=3s handshake=8s;"
    async with Nginx(http=drain) as nginx:
        await all_kinds(nginx, nginx.reload, within=25)
        await nginx.talk(*await nginx.tunnel("/new"))


@test
async def through_a_stop():
    drain = "websocket_drain 500ms reload=60s grace=3s handshake=8s;"
    async with Nginx(http=drain) as nginx:
        async def stop():
            nginx.signal("QUIT")
        await all_kinds(nginx, stop, within=25)
        equal(await nginx.has_ended(), 0, "status of nginx")


@test
async def several_workers_with_pings_and_timeouts():
    drain = """
        websocket_drain 60s reload=500ms grace=3s handshake=8s;
        websocket_ping 300ms; websocket_pong_timeout 20s; websocket_max_age 1h;
    """
    async with Nginx(http=drain, workers=2) as nginx:
        await all_kinds(nginx, nginx.reload, within=25)


run()
