#!/usr/bin/python3
"""Many short WebSockets leave the worker's memory and its open files as they were."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import CLOSE, TEXT
from nginx import Nginx
from tap import INSTRUMENTED, equal, run, test

COUNT = 100_000 if os.environ.get("TEST_LONG") else 500 if INSTRUMENTED else 5_000
AT_ONCE = 20


async def some(nginx, count):
    """Short WebSockets, some at once, that end in different ways."""
    async def one_after_the_other(first):
        for number in range(first, count, AT_ONCE):
            path = f"/{first}"
            nginx.destination.peers.pop(path, None)
            client, destination = await nginx.tunnel(path)
            await client.frame(TEXT, b"hello")
            equal((await destination.next()).payload, b"hello")
            await destination.frame(TEXT, b"h" * (number % 3000))
            await client.next()
            end = number % 4
            if end == 0:
                await client.frame(CLOSE, frames.close(1000))
                await destination.next()
            (client if end < 2 else destination).close()
            await (destination if end < 2 else client).rest()
            client.close()
            destination.close()
            nginx.peers.remove(client)
            nginx.destination.all.remove(destination)
    await asyncio.gather(*(one_after_the_other(first) for first in range(AT_ONCE)))
    await nginx.has_no_connections()


async def stays_flat(nginx):
    """Whether the worker needs no more memory after many WebSockets than after a few."""
    await some(nginx, 1000)
    before = nginx.memory()
    await some(nginx, COUNT)
    grown = nginx.memory() - before
    assert grown < 200_000, f"the worker has grown by {grown} bytes in {COUNT} WebSockets"


@test
async def plain(nginx):
    await stays_flat(nginx)


@test
async def with_everything_on(_):
    everything = """
        websocket_ping 1s; websocket_idle_timeout 1h; websocket_max_age 1h;
        upstream zone { zone zone 256k; least_conn; keepalive 8; server DESTINATION; }
        proxy_set_header X-Padding $request_id$request_id$request_id;
    """
    async with Nginx(http=everything, server="location ~ / { proxy_pass http://zone; }") as nginx:
        await stays_flat(nginx)


run(Nginx(), limit=3600, together=False)
