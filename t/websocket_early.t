#!/usr/bin/python3
"""websocket_tunnel: bytes that the ends send with the handshake arrive first, and in order."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import BINARY, CLOSE, TEXT
from nginx import Nginx
from peer import answer, request
from tap import equal, run, test

GREETING = b"".join(frames.encode(TEXT, b"greeting %d" % number) for number in range(5))
# more than one of nginx's buffers, which have the size of a page
LONG = frames.encode(BINARY, b"g" * 6000) + GREETING


@test
async def frames_of_the_client_behind_its_handshake(nginx):
    early = b"".join(frames.encode(TEXT, b"early %d" % number, mask=b"abcd") for number in range(9))
    client, destination = await nginx.tunnel("/early", early=early)
    late = client.encode(TEXT, b"late")
    await client.send(late)
    equal(await destination.exactly(len(early + late)), early + late)
    client.close()


@test
async def part_of_a_frame_behind_the_handshake(nginx):
    frame = frames.encode(BINARY, os.urandom(5000), mask=b"abcd")
    for cut in (1, 2, 7, 900):
        client, destination = await nginx.tunnel(f"/part/{cut}", early=frame[:cut])
        await client.send(frame[cut:])
        equal(await destination.exactly(len(frame)), frame, f"a frame cut after {cut} bytes")
        client.close()


@test
async def a_close_behind_the_handshake(nginx):
    early = frames.encode(CLOSE, frames.close(1000), mask=b"abcd")
    client, destination = await nginx.tunnel("/close", early=early)
    equal((await destination.next()).code, 1000, "code that the destination got")
    destination.close()
    equal(await client.rest(), b"", "nothing else")
    equal((await nginx.end_of("/close"))["close_code"], 1000)


@test
async def the_destination_speaks_first(nginx):
    for greeting in (GREETING, LONG):
        async with Nginx(respond=lambda head, extra=greeting: answer(head) + extra) as other:
            client, destination = await other.tunnel("/first")
            await destination.frame(TEXT, b"then this")
            expected = greeting + frames.encode(TEXT, b"then this")
            equal(await client.exactly(len(expected)), expected)
            await other.talk(client, destination)


@test
async def both_at_once(nginx):
    early = frames.encode(BINARY, os.urandom(700), mask=b"abcd")
    async with Nginx(respond=lambda head: answer(head) + LONG) as other:
        for number in range(20):
            client, destination = await other.tunnel(f"/both/{number}", early=early)
            received = await asyncio.gather(client.exactly(len(LONG)),
                                            destination.exactly(len(early)))
            equal(received, [LONG, early])
            await other.talk(client, destination)
            client.close()


@test
async def the_destination_speaks_and_is_gone(nginx):
    async with Nginx(respond=lambda head: answer(head) + LONG) as other:
        client = await other.client("/gone")
        (await other.destination.peer("/gone")).close()
        equal(await client.rest(), LONG, "all that it said")
        equal((await other.end_of("/gone"))["close_reason"], "destination")


@test
async def a_handshake_in_single_bytes(nginx):
    client = await nginx.connect()
    for byte in request("/slow"):
        await client.send(bytes([byte]))
    await client.until_head()
    equal(client.status, 101)
    await nginx.talk(client, await nginx.destination.peer("/slow"))
    client.close()


@test
async def large_headers(nginx):
    # more than client_header_buffer_size, so that nginx takes its large buffers
    headers = [f"Cookie: session={'c' * 3000}", f"X-More: {'m' * 3000}"]
    early = frames.encode(TEXT, b"early", mask=b"abcd")
    client, destination = await nginx.tunnel("/headers", headers=headers, early=early)
    equal(await destination.exactly(len(early)), early)
    await nginx.talk(client, destination)
    client.close()


run(Nginx())
