#!/usr/bin/python3
"""websocket_limit_conn: many workers, and more of them after a reload, count exactly."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import CONFIGURATION, Nginx
from tap import equal, run, test

WORKERS = 40
LIMIT = 300

SERVER = """
    location /some/ { websocket_limit_conn some$arg_key 300;   proxy_pass http://DESTINATION; }
    location /more/ { websocket_limit_conn more$arg_key 10000; proxy_pass http://DESTINATION; }
"""


async def statuses(nginx, path, count):
    """This many handshakes, some at a time; returns the number of responses with each status."""
    got = []
    for _ in range(0, count, 20):
        clients = await asyncio.gather(*(nginx.client(path) for _ in range(20)))
        got += [client.status for client in clients]
    return {status: got.count(status) for status in got}


@test
async def one_key_in_all_of_them(nginx):
    equal(await statuses(nginx, "/some/?key=a", 340), {101: LIMIT, 503: 40}, "before a reload")
    equal(await statuses(nginx, "/more/?key=a", 400), {101: 400}, "far below the limit")
    await nginx.reload()
    equal(await statuses(nginx, "/some/?key=a", 20), {503: 20}, "after a reload")
    equal(await statuses(nginx, "/more/?key=a", 400), {101: 400}, "old and new ones together")
    equal(await statuses(nginx, "/some/?key=b", 340), {101: LIMIT, 503: 40}, "another key")


# each worker has a listener of its own, so that all get connections
run(Nginx(server=SERVER, workers=WORKERS, http="websocket_drain off;", connections=512,
          configuration=CONFIGURATION.replace("PORT;", "PORT reuseport;", 1)), limit=120)
