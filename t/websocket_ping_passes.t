#!/usr/bin/python3
"""websocket_ping: all frames of the ends pass between our Pings, except the Pongs to our Pings."""

import asyncio
import collections
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import PING, PONG
from nginx import Nginx
from tap import equal, run, test
from traffic import stream


class End:
    """One end: it sends frames in pieces, with pauses, and answers our Pings between the frames."""

    def __init__(self, peer, data, seed):
        self.peer = peer
        self.frames = frames.decode_all(data)
        self.chance = random.Random(seed)
        self.answers = collections.deque()
        self.pings = 0

    async def send(self, data):
        """Sends data in pieces."""
        while data:
            size = self.chance.choice([1, 2, 5, 100, 1000, 70000])
            await self.peer.send(data[:size])
            data = data[size:]
            if self.chance.random() < 0.05:
                await asyncio.sleep(self.chance.random() * 0.2)

    async def send_all(self, others):
        """Sends all frames, then answers until the other end has got them."""
        for frame in self.frames:
            await self.send_answers()
            await self.send(frames.encode(frame.opcode, frame.payload, frame.fin, frame.rsv,
                                          frame.mask))
        while not others.done():
            await self.send_answers()
            await asyncio.sleep(0.01)

    async def send_answers(self):
        """Answers the Pings that have come."""
        while self.answers:
            await self.send(self.peer.encode(PONG, self.answers.popleft()))

    async def receive_all(self, expected):
        """Receives the frames of the other end, between which our Pings and unsolicited Pongs may
        arrive."""
        for frame in expected:
            while (got := await self.peer.next()) != frame:
                ours = got.opcode in (PING, PONG) and len(got.payload) == 8
                if not ours or got.rsv or not got.fin:
                    equal(got, frame, "a frame of the other end")
                if got.opcode == PING:
                    self.pings += 1
                    self.answers.append(got.payload)


async def both_ways(nginx, seed):
    """Both ends send at the same time; returns the number of Pings that they received."""
    client, destination = await nginx.tunnel(f"/{seed}")
    ends = [End(client, stream(client, 200_000, seed), seed),
            End(destination, stream(destination, 200_000, -seed), -seed)]
    receiving = [asyncio.create_task(ends[1 - n].receive_all(ends[n].frames)) for n in (0, 1)]
    await asyncio.gather(*(ends[n].send_all(receiving[n]) for n in (0, 1)), *receiving)
    client.close()
    equal((await nginx.end_of(f"/{seed}"))["passthrough"], False, "passthrough")
    return ends[0].pings + ends[1].pings


@test
async def streams_with_pauses(nginx):
    pings = await asyncio.gather(*(both_ways(nginx, seed) for seed in range(1, 25)))
    assert sum(pings) > 20, f"only {sum(pings)} Pings"


run(Nginx(http="websocket_ping 50ms; websocket_pong_timeout 20s;"), limit=120)
