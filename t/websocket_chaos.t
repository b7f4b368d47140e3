#!/usr/bin/python3
"""Ends that act at random, during reloads: nothing breaks, and nothing is left open."""

import asyncio
import contextlib
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import BINARY, CLOSE, CONTINUATION, PING, PONG
from nginx import Nginx
from peer import answer, request
from tap import run, test

SECONDS = 300 if os.environ.get("TEST_LONG") else 8
AT_ONCE = 40

HTTP = """
    websocket_ping 100ms;
    websocket_pong_timeout 300ms;
    websocket_idle_timeout 2s;
    websocket_send_timeout 1s;
    websocket_max_age 3s jitter=100%;
    websocket_drain 1s reload=1s grace=200ms handshake=500ms;
    upstream some { zone some 128k; least_conn; server DESTINATION; keepalive 4; }
    server {
        listen 127.0.0.1:OTHER ssl;
        ssl_certificate FOLDER/cert.pem;
        ssl_certificate_key FOLDER/key.pem;
        location / { proxy_pass http://some; }
    }
"""
SERVER = """
    location /zone/ { proxy_pass http://some; }
    location /tls/  { proxy_pass https://127.0.0.1:OTHER; websocket_limit_conn all 20; }
"""


async def read(peer, chance):
    """Reads a little, and perhaps answers."""
    with contextlib.suppress(asyncio.TimeoutError):
        await peer.receive(chance.choice([1, 100, 65536]), timeout=chance.random() * 0.3)
    frame, rest = frames.decode(peer.buffer)
    if frame:
        peer.buffer = bytearray(rest)
        if frame.opcode == PING and chance.random() < 0.9:
            await peer.frame(PONG, frame.payload)
        if frame.opcode == CLOSE and chance.random() < 0.7:
            await peer.frame(CLOSE, frame.payload)


class Frames:
    """The bytes that one end sends: frames one after the other, and sometimes garbage."""

    def __init__(self, peer, chance):
        self.peer, self.chance = peer, chance
        self.left = b""
        self.is_open = False

    def next(self):
        """The next bytes."""
        if not self.left:
            self.left = self.frame()
        cut = len(self.left)
        if self.chance.random() < 0.2:
            cut = self.chance.randint(0, cut)
        data, self.left = self.left[:cut], self.left[cut:]
        return data

    def frame(self):
        chance = self.chance
        if chance.random() < 0.005:
            return chance.randbytes(50)
        if chance.random() < 0.2:
            return self.peer.encode(chance.choice([PING, PONG]), chance.randbytes(8))
        payload = chance.randbytes(chance.choice([0, 5, 125, 126, 3000, 70_000, 1_000_000]))
        opcode = CONTINUATION if self.is_open else BINARY
        self.is_open = chance.random() < 0.3
        return self.peer.encode(opcode, payload, fin=not self.is_open)


async def live(peer, chance):
    """The random actions of one end, until its connection ends."""
    out = Frames(peer, chance)
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        for _ in range(chance.randint(0, 60)):
            if chance.random() < 0.7:
                await read(peer, chance)
            else:
                await asyncio.wait_for(peer.send(out.next()), 1)
        if chance.random() < 0.5:
            await peer.frame(CLOSE, frames.close(1000))
        if chance.random() < 0.3:
            peer.finish()
            await asyncio.sleep(0.2)
    with contextlib.suppress(OSError):
        chance.choice([peer.close, peer.close, peer.reset])()


async def one(nginx, chance, path):
    """One WebSocket, from the handshake to its end."""
    client = None
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        client = await nginx.connect(receive_buffer=chance.choice([None, 4096]))
        early = frames.encode(BINARY, b"early", mask=b"mask") * chance.choice([0, 0, 1, 50])
        await client.send(request(path) + early)
        if chance.random() < 0.1:
            return client.reset()
        await client.until_head()
    if client is not None:
        await live(client, chance)
        nginx.peers.remove(client)


async def many(nginx, number, end):
    """WebSockets one after the other, while there is time."""
    chance = random.Random(number)
    turn = 0
    while asyncio.get_running_loop().time() < end:
        turn += 1
        place = chance.choice(["/plain", "/zone", "/tls"])
        await one(nginx, chance, f"{place}/{number}/{turn}")


class Lively(Nginx):
    """An nginx whose destination also acts at random."""

    def __init__(self):
        super().__init__(http=HTTP, server=SERVER, workers=2, respond=self.respond)
        self.chance = random.Random(0)
        self.tasks = set()

    def configure(self, **parts):
        self.make_certificate()
        super().configure(**parts)

    def respond(self, head):
        """The response to a handshake, sometimes with a frame behind it."""
        size = self.chance.choice([0, 0, 10, 5000, 100_000])
        return answer(head) + (frames.encode(BINARY, b"d" * size) if size else b"")

    async def look_after(self):
        """Starts a task for each new end of the destination."""
        while True:
            for path in [path for path, peer in self.destination.peers.items() if peer.done()]:
                peer = self.destination.peers.pop(path).result()
                task = asyncio.create_task(live(peer, self.chance))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
                task.add_done_callback(lambda _, peer=peer: self.destination.all.remove(peer))
            await asyncio.sleep(0.005)


@test
async def nothing_breaks(nginx):
    end = asyncio.get_running_loop().time() + SECONDS
    looking = asyncio.create_task(nginx.look_after())
    running = [asyncio.create_task(many(nginx, number, end)) for number in range(AT_ONCE)]
    while asyncio.get_running_loop().time() < end - 2:
        await asyncio.sleep(SECONDS / 4 if SECONDS < 60 else 5)
        await nginx.reload()
    await asyncio.gather(*running)
    looking.cancel()
    reasons = {line["close_reason"] for line in nginx.ended()}
    assert len(nginx.ended()) > 50 and len(reasons) > 4, f"{len(nginx.ended())} ended by {reasons}"


run(Lively(), limit=SECONDS + 60)
