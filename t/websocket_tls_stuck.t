#!/usr/bin/python3
"""Tunnels whose TLS destination does not read, so that not even a close_notify can be sent: they
leak no memory."""

import asyncio
import itertools
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from openssl import SecureNginx
from tap import run, test, until
from traffic import flood


@test
async def many_leave_nothing(nginx):
    async def some(count):
        ended = len(nginx.ended())
        ends = [await nginx.tunnel(f"/{ended + number}") for number in range(count)]
        floods = [asyncio.create_task(flood(client)) for client, _ in ends]
        await until(lambda: len(nginx.ended()) == ended + count, 20)
        assert {line["close_reason"] for line in nginx.ended()} == {"destination_send_timeout"}
        for task in floods:
            task.cancel()
        # not earlier: a new socket may get the number of one that a task still waits for
        await asyncio.gather(*floods, return_exceptions=True)
        for peer in itertools.chain(*ends):
            peer.close()
        await nginx.has_no_connections()
    # A leak grows the worker in every round, by 30 kB and more a connection. The allocator takes
    # and returns memory in some rounds, so the median counts.
    grown = []
    for _ in range(6):
        before = nginx.memory()
        await some(40)
        grown.append(nginx.memory() - before)
    assert statistics.median(grown) < 700_000, f"the worker has grown by {grown} bytes"


run(SecureNginx(destinations=True, receive_buffer=4096,
                http="websocket_ping off; websocket_send_timeout 300ms;"))
