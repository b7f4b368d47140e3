#!/usr/bin/python3
"""elb_keepalive_min_timeout: if nginx has keepalive_min_timeout, a reload loses no request on a
kept connection; if not, there is a notice."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx, is_running, version
from tap import between, equal, run, test, until

HAS_IT = version() >= (1, 27, 4)
GET = b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\n\r\nhello"


def ok(_):
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def ask(client, request):
    """Whether an answer comes, and whether the connection is kept after it."""
    try:
        await client.send(request)
        if not await client.until_head():
            return False, False
    except ConnectionError:
        return False, False
    equal((client.status, await client.exactly(2)), (200, b"ok"))
    return True, b"\r\nConnection: close\r\n" not in client.head


async def requests(nginx, request, tally, going):
    """A client that sends one request after the other until it is told to stop."""
    while going.is_set():
        client, kept = await nginx.connect(), True
        while kept and going.is_set():
            answered, kept = await ask(client, request)
            tally["sent"] += 1
            tally["lost"] += not answered
            await asyncio.sleep(0.001)
        client.close()


@test
async def a_reload_loses_no_request():
    if not HAS_IT:
        return
    going, tally = asyncio.Event(), {"sent": 0, "lost": 0}
    going.set()
    # long enough for a slow machine; a connection in use is closed earlier
    async with Nginx(http="elb_keepalive_min_timeout 30s;", respond=ok) as nginx:
        clients = [asyncio.create_task(requests(nginx, request, tally, going))
                   for request in 4 * (GET, POST)]
        for _ in range(8):
            await asyncio.sleep(0.7)
            nginx.signal("HUP")
        await asyncio.sleep(0.7)
        going.clear()
        await asyncio.gather(*clients)
        equal(tally["lost"], 0, f"lost of {tally['sent']} requests")
        assert tally["sent"] > 100, f"only {tally['sent']} requests"
        # the old workers exit when this time has passed
        await until(lambda: len(nginx.workers()) == 1, what="old workers are left")


@test
async def an_idle_connection_is_held_no_longer():
    if not HAS_IT:
        return
    async with Nginx(http="elb_keepalive_min_timeout 1s;", respond=ok) as nginx:
        client = await nginx.connect()
        equal(await ask(client, GET), (True, True))
        old = await nginx.reload()
        equal(await ask(client, GET), (True, False), "the request after the reload")
        equal(await client.rest(), b"")
        client = await nginx.connect()
        equal(await ask(client, GET), (True, True))
        nginx.signal("QUIT")
        start = asyncio.get_running_loop().time()
        equal(await client.rest(), b"")
        between(0.5, asyncio.get_running_loop().time() - start, 2.5, "seconds to the close")
        await until(lambda: not any(map(is_running, old)), what="an old worker is left")


@test
async def it_may_stand_in_a_server_or_a_location():
    server = """elb_keepalive_min_timeout 2s;
                location /in/ { elb_keepalive_min_timeout 0; return 200 ok; }"""
    async with Nginx(http="elb_keepalive_min_timeout 3s;", server=server) as nginx:
        told = [line for line in nginx.messages() if "keepalive_min_timeout" in line]
        equal(len(told), 0 if HAS_IT else 1, "notices")
        for line in told:
            assert '[notice]' in line and '"elb_keepalive_min_timeout" has no effect before nginx 1.27.4' in line, line


@test
async def a_wrong_time_is_told_in_words_of_nginx():
    if not HAS_IT:
        return
    async with Nginx() as nginx:
        nginx.configure(http="elb_keepalive_min_timeout soon;")
        assert '"keepalive_min_timeout" directive invalid value in' in nginx.check(), nginx.check()


run(limit=60)
