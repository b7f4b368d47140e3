#!/usr/bin/python3
"""What a worker has counted stands in the error log as it leaves."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx
from peer import request
from tap import equal, run, test


@test
async def tunnelled_opaque_and_left_to_nginx():
    async with Nginx() as nginx:
        for number in range(3):
            client, destination = await nginx.tunnel(f"/{number}")
            await nginx.talk(client, destination)
        await client.send(b"\xff" * 100)
        await destination.exactly(100)
        client = await nginx.connect()
        await client.send(request("/key", key=False))
        await client.until_head()
        equal(client.status, 101)
        for peer in [*nginx.peers, *nginx.destination.all]:
            peer.close()
        nginx.signal("QUIT")
        equal(await nginx.has_ended(30), 0)
        told = [line for line in nginx.messages() if "WebSockets: " in line]
        equal([line.partition("WebSockets: ")[2] for line in told],
              ["3 tunnelled, 1 of them opaque, 1 left to nginx"])


@test
async def nothing_to_tell():
    async with Nginx() as nginx:
        nginx.signal("QUIT")
        equal(await nginx.has_ended(30), 0)
        equal([line for line in nginx.messages() if "WebSockets: " in line], [])


run()
