#!/usr/bin/python3
"""websocket_ping: a silent end gets a Ping, and its Pong does not reach the other end."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from frames import PING, PONG, TEXT
from nginx import Nginx
from tap import equal, run, test


async def answer_pings(peer, seconds):
    """Answers Pings for this time; returns their number and all other frames."""
    others = []
    pings = 0
    end = asyncio.get_running_loop().time() + seconds
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            frame = await peer.next(timeout=left)
        except asyncio.TimeoutError:
            break
        if frame is None:
            raise AssertionError("the connection was closed")
        if frame.opcode == PING:
            pings += 1
            await peer.frame(PONG, frame.payload)
        else:
            others.append(frame)
    return pings, others


@test
async def a_silent_client_gets_an_unmasked_ping(nginx):
    client, destination = await nginx.tunnel("/client")
    ping = await client.next()
    equal((ping.opcode, ping.fin, ping.rsv, ping.mask, len(ping.payload)), (PING, True, 0, None, 8))
    destination.close()


@test
async def a_silent_destination_gets_a_masked_ping(nginx):
    client, destination = await nginx.tunnel("/destination")
    ping = await destination.next()
    equal((ping.opcode, ping.fin, ping.rsv, len(ping.payload)), (PING, True, 0, 8))
    assert ping.mask is not None, "a Ping towards the destination has no mask"
    client.close()


@test
async def pongs_to_our_pings_stay_here(nginx):
    client, destination = await nginx.tunnel("/pongs")
    (pings, of_client), (masked_pings, of_destination) = await asyncio.gather(
        answer_pings(client, 4.5), answer_pings(destination, 4.5))
    equal((of_client, of_destination), ([], []), "frames of ours that came through")
    assert pings >= 2 and masked_pings >= 2, f"only {pings} and {masked_pings} Pings in 4.5 s"
    await nginx.talk(client, destination)
    client.close()
    line = await nginx.end_of("/pongs")
    equal(line["close_reason"], "client")
    assert line["pings"] >= pings + masked_pings, line


@test
async def pongs_in_pieces_stay_here_too(nginx):
    client, destination = await nginx.tunnel("/pieces")
    ping = await client.next()
    pong = client.encode(PONG, ping.payload)
    await client.send(client.encode(TEXT, b"before") + pong[:1])
    for byte in pong[1:]:
        await asyncio.sleep(0.02)
        await client.send(bytes([byte]))
    await client.frame(TEXT, b"after")
    received = []
    while len(received) < 2:
        frame = await destination.next()
        if frame.opcode != PING:
            received.append(frame.payload)
    equal(received, [b"before", b"after"], "what reached the destination")
    client.close()


@test
async def pings_and_pongs_of_the_ends_pass(nginx):
    client, destination = await nginx.tunnel("/foreign")
    await client.frame(PING, b"from the client")
    await client.frame(PONG, b"unasked")
    await client.frame(PONG, b"8 bytes!")
    for opcode, payload in [(PING, b"from the client"), (PONG, b"unasked"), (PONG, b"8 bytes!")]:
        frame = await destination.next()
        equal((frame.opcode, frame.payload), (opcode, payload))
    await destination.frame(PONG, b"from the client")
    await destination.frame(PING, b"")
    for opcode, payload in [(PONG, b"from the client"), (PING, b"")]:
        frame = await client.next()
        equal((frame.opcode, frame.payload), (opcode, payload))
    client.close()


@test
async def an_end_that_talks_is_not_asked(nginx):
    client, destination = await nginx.tunnel("/talks")
    for _ in range(8):
        await client.frame(TEXT, b"tick")
        await destination.frame(TEXT, b"tock")
        await asyncio.sleep(0.3)
    for _ in range(8):
        equal((await destination.next()).payload, b"tick")
        equal((await client.next()).payload, b"tock")
    client.close()
    equal((await nginx.end_of("/talks"))["pings"], 0, "Pings")


@test
async def a_ping_does_not_cut_a_frame_in_two(nginx):
    client, destination = await nginx.tunnel("/cut")
    frame = destination.encode(TEXT, b"x" * 1000)
    for start in range(0, len(frame), 200):
        await destination.send(frame[start : start + 200])
        await asyncio.sleep(0.45)
    first = await client.next()
    equal((first.opcode, first.payload), (TEXT, b"x" * 1000), "the frame that was under way")
    client.close()


@test
async def off_sends_none(nginx):
    async with Nginx(location="websocket_ping off;") as silent:
        client, destination = await silent.tunnel("/off")
        quiet = await asyncio.gather(client.is_silent(3), destination.is_silent(3))
        equal(quiet, [True, True], "silence of both ends")


run(Nginx(location="websocket_ping 1s; websocket_pong_timeout 30s;"))
