#!/usr/bin/python3
"""A deadline that changes a little takes effect, though nginx ignores a change of a timer by less
than 300 ms."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx
from tap import between, run, test
from traffic import next_close

# the next Pings are due shortly after nginx is asked to stop, each a little later than the one
# before: if the timers did not change, the Closes would come when the Pings were due
PING = 2.0
APART = 0.04


@test
async def all_close_when_they_are_to(nginx):
    loop = asyncio.get_running_loop()
    begun = loop.time()
    ends = []
    for number in range(6):
        await asyncio.sleep(max(0, begun + number * APART - loop.time()))
        ends.append(await nginx.tunnel(f"/{number}"))

    async def closed(client):
        await next_close(client)
        return loop.time()
    closes = [asyncio.create_task(closed(client)) for client, _ in ends]
    await asyncio.sleep(begun + PING - 0.06 - loop.time())
    nginx.signal("QUIT")
    times = await asyncio.gather(*closes)
    between(0, max(times) - min(times), 2 * APART, "seconds between the first and the last")
    for client, _ in ends:
        client.close()


run(Nginx(http="websocket_ping 2s; websocket_drain 0 grace=0 handshake=1s;"))
