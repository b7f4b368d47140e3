#!/usr/bin/python3
"""websocket_pong_timeout: an end whose host acknowledges nothing is dead, in any state of the
tunnel; an end that only fails to read or answer is not."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from frames import BINARY, CLOSE, PING, TEXT
from nginx import Nginx
from tap import between, equal, run, test
from traffic import answer_all

NAMES = ["client", "destination"]


async def is_found(nginx, path, ends, gone):
    """One end vanishes; the other, which answers, gets a Close, and the log says why."""
    ends[gone].vanish()
    answers = asyncio.create_task(answer_all(ends[1 - gone]))
    line = await nginx.end_of(path)
    equal((line["close_reason"], line["proof"]), (f"dead_{NAMES[gone]}", "unacknowledged"), path)
    said = f"{NAMES[gone]} is dead: its host has acknowledged nothing in 1s"
    assert any(said in text for text in nginx.messages()), said
    await answers
    return line


@test
async def in_silence(nginx):
    for gone in (0, 1):
        path = f"/silence/{gone}"
        line = await is_found(nginx, path, await nginx.tunnel(path), gone)
        between(1.4, line["duration"], 10, "seconds")


@test
async def within_a_frame_of_its_own(nginx):
    for gone in (0, 1):
        path = f"/within/{gone}"
        ends = await nginx.tunnel(path)
        await ends[gone].send(ends[gone].encode(BINARY, b"w" * 1000)[:500])
        await ends[1 - gone].exactly(500)
        # the end is alive, as its host acknowledges Pings
        await asyncio.sleep(3)
        equal([line for line in nginx.ended() if line["uri"] == path], [], "ends")
        await is_found(nginx, path, ends, gone)


@test
async def a_destination_that_never_answers_anyway(nginx):
    client, destination = await nginx.tunnel("/mute")
    answers = asyncio.create_task(answer_all(client))
    await client.frame(PING, b"ignored too")
    await asyncio.sleep(4)
    destination.vanish()
    line = await nginx.end_of("/mute")
    equal((line["close_reason"], line["proof"]), ("dead_destination", "unacknowledged"))
    await answers


@test
async def a_destination_that_does_not_read_is_not_dead(_):
    async with Nginx(location="websocket_ping 500ms; websocket_pong_timeout 1s;",
                     receive_buffer=4096) as nginx:
        client, destination = await nginx.tunnel("/busy")
        answers = asyncio.create_task(answer_all(client))
        # more than the destination's buffer holds, less than nginx's
        message = client.encode(BINARY, b"b" * 60_000)
        await client.send(message)
        await asyncio.sleep(6)
        equal((await destination.next()).payload, b"b" * 60_000, "what it reads at last")
        await destination.frame(TEXT, b"done")
        await destination.frame(CLOSE)
        equal([frame.payload for frame in await answers], [b"done", b""], "what the client got")
        equal((await nginx.end_of("/busy"))["close_reason"], "destination")


@test
async def a_client_that_does_not_read_is_dead(nginx):
    client, destination = await nginx.tunnel("/stuck", receive_buffer=4096)
    answers = asyncio.create_task(answer_all(destination))
    await destination.frame(BINARY, b"s" * 60_000)
    line = await nginx.end_of("/stuck")
    equal((line["close_reason"], line["proof"]), ("dead_client", "pong"))
    await answers


run(Nginx(location="websocket_ping 500ms; websocket_pong_timeout 1s;"))
