#!/usr/bin/python3
"""websocket_max_age: a WebSocket that reaches this age is closed, so that its client reconnects."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from frames import BINARY, CLOSE, TEXT
from nginx import Nginx
from tap import between, equal, run, test
from traffic import answer_all

SERVER = """
    location /exact/ {
        proxy_pass http://DESTINATION;
        websocket_max_age 2s jitter=0%;
    }
    location /spread/ {
        proxy_pass http://DESTINATION;
        websocket_max_age 6s jitter=100%;
    }
"""


@test
async def an_idle_one(nginx):
    client, destination = await nginx.tunnel("/exact/idle")
    got = await asyncio.gather(answer_all(client), answer_all(destination))
    equal([[frame.code for frame in end] for end in got], [[1001], [1001]], "Closes of both ends")
    assert got[1][0].mask is not None, "the destination's Close has no mask"
    line = await nginx.end_of("/exact/idle")
    equal((line["close_reason"], line["close_code"]), ("max_age", 1001))
    between(1.9, line["duration"], 8, "seconds")


@test
async def a_busy_one(nginx):
    client, destination = await nginx.tunnel("/exact/busy")
    answers = [asyncio.create_task(answer_all(end)) for end in (client, destination)]
    sent = 0
    while not answers[0].done() and not answers[1].done():
        await destination.frame(TEXT, b"%d" % sent)
        sent += 1
        await asyncio.sleep(0.01)
    *messages, close = await answers[0]
    equal(close.code, 1001, "code of the client's Close")
    equal([frame.payload for frame in messages], [b"%d" % n for n in range(len(messages))])
    between(50, len(messages), sent, "messages that came")
    equal((await nginx.end_of("/exact/busy"))["close_reason"], "max_age")


@test
async def a_message_under_way_is_finished_first(nginx):
    client, destination = await nginx.tunnel("/exact/message")
    answers = asyncio.create_task(answer_all(client))
    await asyncio.sleep(1.7)
    await destination.frame(BINARY, b"first ", fin=False)
    await asyncio.sleep(0.8)
    await destination.frame(0, b"and last")
    equal([(frame.opcode, frame.payload, frame.fin) for frame in await answers],
          [(BINARY, b"first ", False), (0, b"and last", True), (CLOSE, b"\x03\xe9", True)])


@test
async def not_all_at_once(nginx):
    ends = [end for number in range(60) for end in await nginx.tunnel(f"/spread/{number}")]
    await asyncio.gather(*map(answer_all, ends))
    ages = [(await nginx.end_of(f"/spread/{number}"))["duration"] for number in range(60)]
    between(0, min(ages), 2, "the first")
    between(4, max(ages), 12, "the last")


run(Nginx(server=SERVER))
