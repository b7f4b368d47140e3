#!/usr/bin/python3
"""A client that is slow to read the 101: nginx still holds a part of it when the tunnel begins."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import TEXT
from nginx import CONFIGURATION, Nginx, is_running
from peer import answer, request
from tap import equal, run, test, until

GREETING = frames.encode(TEXT, b"g" * 3000)
EARLY = frames.encode(TEXT, b"early", mask=b"mask")
HEADERS = [f"X-Large-{number}: {'h' * 8000}" for number in range(60)]
LISTEN = CONFIGURATION.replace("127.0.0.1:PORT", "127.0.0.1:PORT sndbuf=8k")
LOCATION = "proxy_buffer_size 1m; proxy_buffers 8 1m; proxy_busy_buffers_size 2m; send_timeout 3s;"


def large_answers(**more):
    """A 101 that is larger than any socket buffer, with a frame behind it."""
    return Nginx(configuration=LISTEN, location=LOCATION,
                 respond=lambda head: answer(head, HEADERS) + GREETING, **more)


async def stuck(nginx, path):
    """A client that does not read the response to its handshake, and its destination."""
    client = await nginx.connect(receive_buffer=4096)
    await client.send(request(path) + EARLY)
    destination = await nginx.destination.peer(path)
    await asyncio.sleep(0.5)
    return client, destination


@test
async def it_gets_everything_once_it_reads(nginx):
    client, destination = await stuck(nginx, "/reads")
    await destination.send(GREETING)
    await client.until_head()
    equal((client.status, len(client.head)), (101, client.head.index(b"\r\n\r\n") + 4))
    assert client.head.count(b"X-Large") == len(HEADERS), "headers are missing"
    equal(await client.exactly(2 * len(GREETING)), GREETING * 2, "frames behind the 101")
    equal(await destination.exactly(len(EARLY)), EARLY, "the client's early frame")
    await nginx.talk(client, destination)
    client.close()
    equal((await nginx.end_of("/reads"))["close_reason"], "client")


@test
async def it_never_reads(nginx):
    client, destination = await stuck(nginx, "/never")
    # nginx gives up after send_timeout
    await destination.until_gone()


@test
async def it_resets_the_connection(nginx):
    client, destination = await stuck(nginx, "/reset")
    client.reset()
    await destination.until_gone()


@test
async def its_destination_is_gone_meanwhile(nginx):
    client, destination = await stuck(nginx, "/gone")
    destination.close()
    data = await client.rest()
    equal(data[-len(GREETING):], GREETING, "the last that the destination said")


@test
async def its_worker_leaves_meanwhile(_):
    async with large_answers(http="websocket_drain 0;") as nginx:
        client, destination = await stuck(nginx, "/leaves")
        old = await nginx.reload(http="websocket_drain 0 reload=0;")
        await client.until_head()
        equal(await client.exactly(len(GREETING)), GREETING, "the frame behind the 101")
        client.finish()
        await until(lambda: not is_running(old[0]), what="the old worker is still there")


run(large_answers())
