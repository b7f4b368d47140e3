#!/usr/bin/python3
"""websocket_limit_conn: what counts, and that the count is released however a WebSocket ends."""

import asyncio
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx
from peer import request
from tap import equal, run, test, until

# the key is the second part of the path, so that each test has its own
SERVER = """
    location /two/     { websocket_limit_conn $key 2;            proxy_pass http://DESTINATION; }
    location /many/    { websocket_limit_conn $key 2 status=429; proxy_pass http://DESTINATION; }
    location /plain/   { websocket_limit_conn $key 1;            return 200 plain; }
    location /refused/ { websocket_limit_conn $key 1;            proxy_pass http://127.0.0.1:OTHER; }
    location /left/    { websocket_limit_conn $key 1; websocket_tunnel off;
                         proxy_pass http://DESTINATION; }
"""
HTTP = """
    map $uri $key {
        ~^/[^/]+/(?<name>[^/]+)/ $name;
    }
    server { listen 127.0.0.1:OTHER; location / { return 403; } }
"""


async def statuses(nginx, path, count):
    """This many handshakes, one after the other: their clients and statuses."""
    clients = [await nginx.client(f"{path}/{number}") for number in range(count)]
    return clients, [client.status for client in clients]


@test
async def all_locations_count_together(nginx):
    equal((await statuses(nginx, "/two/g", 1))[1], [101])
    equal((await statuses(nginx, "/many/g", 2))[1], [101, 429])


@test
async def ordinary_requests_do_not_count(nginx):
    for _ in range(3):
        client = await nginx.connect()
        await client.send(b"GET /plain/i/ HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.until_head()
        equal(client.status, 200)


@test
async def handshakes_that_fail_are_given_back(nginx):
    equal((await statuses(nginx, "/refused/j", 5))[1], [403] * 5)


@test
async def clients_that_leave_early_are_given_back(_):
    async with Limited(respond=lambda head: b"") as nginx:
        for number in range(5):
            client = await nginx.connect()
            await client.send(request(f"/two/k/{number}"))
            await nginx.destination.peer(f"/two/k/{number}")
            client.reset()
        await nginx.has_no_connections()
        # both WebSockets of the limit are free again
        for number in range(2):
            client = await nginx.connect()
            await client.send(request(f"/two/k/again/{number}"))
            await nginx.destination.peer(f"/two/k/again/{number}")


@test
async def together_they_are_no_more(nginx):
    clients = await asyncio.gather(*(nginx.client(f"/two/l/{number}") for number in range(40)))
    equal(sorted(client.status for client in clients), [101] * 2 + [503] * 38)


@test
async def all_workers_and_reloads_count_together(_):
    async with Limited(workers=3, http=HTTP + "websocket_drain off;") as nginx:
        clients, got = await statuses(nginx, "/two/m", 4)
        equal(got, [101, 101, 503, 503], "before a reload")
        await nginx.reload()
        equal((await statuses(nginx, "/two/m/later", 2))[1], [503, 503], "after a reload")
        clients[1].close()
        await nginx.end_of("/two/m/1")
        equal((await statuses(nginx, "/two/m/last", 2))[1], [101, 503], "once one has ended")


@test
async def those_that_nginx_keeps_count_too(nginx):
    clients, got = await statuses(nginx, "/left/p", 2)
    equal(got, [101, 503])
    clients[0].close()
    await (await nginx.destination.peer("/left/p/0")).rest()
    equal((await statuses(nginx, "/left/p/again", 2))[1], [101, 503], "once it has ended")


@test
async def a_worker_that_dies_takes_its_count_along(_):
    async with Limited(asks_for="exited on signal 9") as nginx:
        equal((await statuses(nginx, "/two/n", 3))[1], [101, 101, 503], "before")
        old = nginx.worker
        os.kill(old, signal.SIGKILL)
        await until(lambda: nginx.workers() and nginx.worker != old, what="no new worker")
        equal((await statuses(nginx, "/two/n/again", 3))[1], [101, 101, 503], "after")


@test
async def a_single_process_without_it_after_a_reload(_):
    async with Limited(main="master_process off;") as nginx:
        client, destination = await nginx.tunnel("/two/o/1")
        nginx.configure(server="", http="websocket_drain off;")
        nginx.signal("HUP")
        await until(lambda: any("reconfiguring" in line for line in nginx.messages()))
        await asyncio.sleep(0.5)
        await nginx.talk(client, destination)
        client.close()
        await destination.rest()


class Limited(Nginx):
    """An nginx with the limits above."""

    def __init__(self, http=HTTP, **more):
        super().__init__(server=SERVER, http=http, **more)


run(Limited())
