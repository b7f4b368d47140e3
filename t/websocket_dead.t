#!/usr/bin/python3
"""websocket_pong_timeout: an end that stays silent after a Ping is dead; both ends are closed."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from frames import BINARY, CLOSE, PING, PONG, TEXT
from nginx import Nginx
from tap import between, equal, run, test
from traffic import answer_all, next_close


@test
async def a_client_that_never_answers(nginx):
    client, destination = await nginx.tunnel("/client")
    answers = asyncio.create_task(answer_all(destination))
    equal((await client.next()).opcode, PING, "what the client got first")
    close = await next_close(client)
    equal(close.code, 1001, "code of the client's Close")
    closes = [frame for frame in await answers if frame.opcode == CLOSE]
    equal([frame.code for frame in closes], [1001], "Closes that the destination got")
    assert closes[0].mask is not None, "the destination's Close has no mask"
    line = await nginx.end_of("/client")
    equal((line["close_reason"], line["close_code"], line["proof"]), ("dead_client", 1001, "pong"))
    assert any("client is dead: no Pong in 1s" in text for text in nginx.messages()), "error log"
    between(1.5, line["duration"], 10, "seconds")


@test
async def a_destination_that_never_answers(nginx):
    client, destination = await nginx.tunnel("/destination")
    answers = asyncio.create_task(answer_all(client))
    equal((await destination.next()).opcode, PING, "what the destination got first")
    equal((await next_close(destination)).code, 1001, "code of the destination's Close")
    closes = [frame.code for frame in await answers if frame.opcode == CLOSE]
    equal(closes, [1001], "Closes that the client got")
    line = await nginx.end_of("/destination")
    equal((line["close_reason"], line["proof"]), ("dead_destination", "pong"))
    assert any("destination is dead: no Pong in 1s" in text for text in nginx.messages())


@test
async def a_destination_that_answers_when_it_pushes(_):
    async with Nginx(location="websocket_ping 500ms; websocket_pong_timeout 700ms;") as nginx:
        client, destination = await nginx.tunnel("/push")
        answers = asyncio.create_task(answer_all(client))
        for number in range(3):
            # it reads only now and then
            await asyncio.sleep(2.5)
            pings = [await destination.next(), await destination.next()]
            equal([frame.opcode for frame in pings], [PING, PING])
            await destination.frame(TEXT, b"push %d" % number)
            await destination.frame(PONG, pings[-1].payload)
        await destination.frame(CLOSE)
        equal([frame.payload for frame in await answers],
              [b"push 0", b"push 1", b"push 2", b""], "what the client got")
        line = await nginx.end_of("/push")
        equal((line["close_reason"], line["proof"]), ("destination", None))


@test
async def an_end_that_stalls_within_a_frame_of_its_own(nginx):
    # within its frame it cannot answer a Ping
    for end in (0, 1):
        path = f"/within/{end}"
        ends = await nginx.tunnel(path)
        slow, other = ends[end], ends[1 - end]
        answers = asyncio.create_task(answer_all(other))
        data = slow.encode(BINARY, b"s" * 1000)
        await slow.send(data[:500])
        await asyncio.sleep(5)
        await slow.send(data[500:] + slow.encode(CLOSE))
        equal([(frame.opcode, len(frame.payload)) for frame in await answers],
              [(BINARY, 1000), (CLOSE, 0)], "what the other got")
        equal((await nginx.end_of(path))["close_reason"], ["client", "destination"][end])


@test
async def an_end_that_trickles_bytes_is_alive(nginx):
    client, destination = await nginx.tunnel("/trickle")
    answers = asyncio.create_task(answer_all(destination))
    data = client.encode(BINARY, b"t" * 10)
    for byte in data:
        await client.send(bytes([byte]))
        await asyncio.sleep(0.5)
    await client.frame(CLOSE)
    equal([(frame.opcode, frame.payload) for frame in await answers],
          [(BINARY, b"t" * 10), (CLOSE, b"")], "what the destination got")
    equal((await nginx.end_of("/trickle"))["close_reason"], "client")


@test
async def a_pong_to_a_later_foreign_ping_counts(nginx):
    client, destination = await nginx.tunnel("/later")
    answers = asyncio.create_task(answer_all(destination, answer=False))
    ping = await client.next()
    equal(ping.opcode, PING)
    for number in range(6):
        # the destination sends its own Pings; the client answers only the latest
        await destination.frame(PING, b"foreign %d" % number)
        while (frame := await client.next()).payload != b"foreign %d" % number:
            pass
        await client.frame(PONG, frame.payload)
        await asyncio.sleep(0.5)
    await client.frame(CLOSE)
    pongs = [frame.payload for frame in await answers if frame.opcode == PONG]
    equal(pongs, [b"foreign %d" % number for number in range(6)], "Pongs at the destination")
    equal((await nginx.end_of("/later"))["close_reason"], "client")


@test
async def off_waits_for_ever(nginx):
    async with Nginx(location="websocket_ping 1s; websocket_pong_timeout off;") as patient:
        client, destination = await patient.tunnel("/patient")
        await asyncio.sleep(4)
        await destination.frame(TEXT, b"still there")
        while (frame := await client.next()).opcode == PING:
            pass
        equal(frame.payload, b"still there")


run(Nginx(location="websocket_ping 1s; websocket_pong_timeout 1s destination=1s;"))
