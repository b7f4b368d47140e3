#!/usr/bin/python3
"""A TLS end that requests key updates and does not read: nginx has to write before it can continue
to read, and waits for that without using the CPU."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from frames import TEXT
from nginx import methods
from openssl import SecureNginx
from tap import equal, run, test
from traffic import stream

HTTP = "websocket_ping off;"


async def is_waited_for(nginx, asking, other):
    """Whether nginx waits for an end that requests key updates, and continues when it reads."""
    await nginx.talk(*((asking, other) if asking.masks else (other, asking)))
    await asking.ask_for_keys(30)
    await nginx.is_idle()
    # bytes for this end have to wait behind the key updates
    down = stream(other, 100_000, 1)
    await other.send(down)
    await nginx.is_idle()
    equal(await asking.exactly(len(down)), down, "what came behind the keys")
    await asking.frame(TEXT, b"alive")
    equal((await other.next()).payload, b"alive")
    await nginx.is_idle()


async def a_client(how):
    async with SecureNginx(clients=True, http=HTTP, **how) as nginx:
        client, destination = await nginx.secure_tunnel("/client", receive_buffer=4096)
        await is_waited_for(nginx, client, destination)


async def a_destination(how):
    async with SecureNginx(destinations=True, http=HTTP, receive_buffer=4096, **how) as nginx:
        client, destination = await nginx.tunnel("/destination")
        await is_waited_for(nginx, destination, client)


for method, how in methods().items():
    for end in (a_client, a_destination):
        @test
        async def keys(end=end, how=how):
            await end(how)
        keys.__name__ = f"{end.__name__}_with_{method}"

run(limit=120)
