#!/usr/bin/python3
"""websocket_tunnel: all bytes of both ends arrive unchanged, however the stream is split."""

import asyncio
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import BINARY, CLOSE, TEXT
from nginx import Nginx
from tap import equal, run, test
from traffic import echo, stream

SIZES = [0, 1, 7, 8, 125, 126, 127, 1000, 16383, 65535, 65536, 131071, 131072, 131073, 1000000]


async def pass_on(sender, receiver, data, seed=None):
    """Sends data in random pieces, or at once without a seed; returns the bytes that arrive."""
    async def send():
        chance = random.Random(seed)
        start = 0
        while start < len(data):
            size = len(data) if seed is None else chance.choice([1, 2, 3, 14, 200, 3000, 70000])
            await sender.send(data[start : start + size])
            start += size
            await asyncio.sleep(0)
    sending = asyncio.create_task(send())
    received = await receiver.exactly(len(data))
    await sending
    return received


@test
async def echo_of_every_size(nginx):
    client, destination = await nginx.tunnel("/sizes")
    echoing = asyncio.create_task(echo(destination))
    for size in SIZES:
        payload = os.urandom(size)
        sent = client.encode(BINARY, payload)
        expected = destination.encode(BINARY, payload)
        sending = asyncio.create_task(client.send(sent))
        equal(await client.exactly(len(expected)), expected, f"echo of {size} bytes")
        await sending
    client.close()
    await echoing
    line = await nginx.end_of("/sizes")
    equal((line["client_frames"], line["upstream_frames"]), (len(SIZES),) * 2, "frames")


@test
async def byte_for_byte(nginx):
    client, destination = await nginx.tunnel("/single")
    for sender, receiver in [(client, destination), (destination, client)]:
        data = b"".join(sender.encode(TEXT, b"x" * size) for size in (0, 1, 125, 126, 300))
        for byte in data:
            await sender.send(bytes([byte]))
        equal(await receiver.exactly(len(data)), data, "single bytes")
    client.close()


@test
async def streams_cut_anywhere(nginx):
    async def one(seed):
        client, destination = await nginx.tunnel(f"/cut/{seed}")
        up, down = stream(client, 400000, seed), stream(destination, 400000, ~seed)
        received = await asyncio.gather(
            pass_on(client, destination, up, seed), pass_on(destination, client, down, seed))
        equal(received, [up, down], f"stream of seed {seed}")
        client.close()
        line = await nginx.end_of(f"/cut/{seed}")
        equal((line["client_bytes"], line["upstream_bytes"]), (len(up), len(down)), "bytes")
        equal((line["client_frames"], line["upstream_frames"]),
              (len(frames.decode_all(up)), len(frames.decode_all(down))), "frames")
        equal(line["passthrough"], False)
    await asyncio.gather(*(one(seed) for seed in range(8)))


@test
async def bulk_both_ways_at_once(nginx):
    client, destination = await nginx.tunnel("/bulk")
    up = b"".join(client.encode(BINARY, os.urandom(1 << 20)) for _ in range(16))
    down = b"".join(destination.encode(BINARY, os.urandom(1 << 20)) for _ in range(16))
    received = await asyncio.gather(
        pass_on(client, destination, up), pass_on(destination, client, down))
    assert received == [up, down], "16 MB did not arrive as they were sent"
    client.close()


@test
async def nothing_follows_an_end_of_stream_but_what_was_sent(nginx):
    for closer in (0, 1):
        ends = await nginx.tunnel(f"/end/{closer}")
        data = ends[closer].encode(BINARY, os.urandom(300000))
        sending = asyncio.create_task(ends[closer].send(data))
        sending.add_done_callback(lambda _, end=ends[closer]: end.finish())
        equal(await ends[1 - closer].rest(), data, "all before the end of the stream")


@test
async def the_closing_handshake_is_theirs(nginx):
    client, destination = await nginx.tunnel("/close")
    payload = frames.close(4321, "auf Wiedersehen".encode())
    await client.frame(CLOSE, payload)
    equal((await destination.next()).payload, payload, "the client's Close")
    await destination.frame(CLOSE, frames.close(4322))
    equal((await client.next()).payload, frames.close(4322), "the destination's Close")
    destination.close()
    equal(await client.rest(), b"", "nothing else")
    line = await nginx.end_of("/close")
    equal((line["close_reason"], line["close_code"]), ("client", 4321))


run(Nginx())
