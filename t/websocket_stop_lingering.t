#!/usr/bin/python3
"""nginx waits for a client with unread bytes after the end of its tunnel, so that the client sees
the Close; during a stop it waits no longer than the stop may take."""

import asyncio
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from frames import BINARY, CLOSE, decode_all
from openssl import SecureNginx
from tap import PATIENCE, between, equal, run, test
from traffic import flood

STOP = "websocket_ping off; websocket_drain 100ms grace=100ms handshake=100ms;"
AGE = "websocket_ping off; websocket_max_age 3s jitter=0%; websocket_drain 0 handshake=1s;"


async def flooding(nginx, path, secure):
    """A client that only sends, as much as it can, to a destination that does not read."""
    connect = nginx.secure_tunnel if secure else nginx.tunnel
    client, destination = await connect(path, receive_buffer=4096)
    return client, destination, asyncio.create_task(flood(client))


async def sees_its_close(nginx, secure):
    client, destination, task = await flooding(nginx, "/sees", secure)
    # when the tunnel ends, these messages are unsent, and so is the Close behind them
    messages = [destination.encode(BINARY, bytes(1000)) for _ in range(30)]
    await destination.send(b"".join(messages))
    await nginx.end_of("/sees")
    got = decode_all(await client.rest())
    equal([frame.opcode for frame in got], [BINARY] * 30 + [CLOSE], "before an orderly end")
    equal(got[-1].code, 1001)
    task.cancel()
    client.close()


@test
async def a_client_sees_its_close():
    async with SecureNginx(http=AGE) as nginx:
        await sees_its_close(nginx, False)


@test
async def a_client_with_tls_sees_its_close():
    async with SecureNginx(clients=True, send_buffer="64k", http=AGE) as nginx:
        await sees_its_close(nginx, True)


async def stops_in_time(secure):
    async with SecureNginx(clients=secure, http=STOP) as nginx:
        ends = [await flooding(nginx, f"/{number}", secure) for number in range(5)]
        await asyncio.sleep(0.5)
        start = time.monotonic()
        nginx.signal("QUIT")
        await nginx.has_ended()
        # by its settings the stop may take 300 ms
        between(0, time.monotonic() - start, 1.5 * PATIENCE, "seconds")
        for client, _, task in ends:
            task.cancel()
            client.close()


@test
async def a_stop_is_over_in_time():
    await stops_in_time(False)


@test
async def a_stop_with_tls_is_over_in_time():
    await stops_in_time(True)


run()
