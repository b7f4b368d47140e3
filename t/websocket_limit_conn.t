#!/usr/bin/python3
"""websocket_limit_conn: the number of WebSockets that one key may have, over all workers."""

import asyncio
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx
from tap import equal, run, test, until

SERVER = """
    location /two/ {
        proxy_pass http://DESTINATION;
        websocket_limit_conn two$arg_key 2;
    }
    location /one/ {
        proxy_pass http://DESTINATION;
        websocket_limit_conn one$arg_key 1 status=429;
    }
    location /empty/ {
        proxy_pass http://DESTINATION;
        websocket_limit_conn $arg_key 1;
    }
    location /off/ {
        proxy_pass http://DESTINATION;
        websocket_limit_conn $arg_key off;
    }
    location /redirected/ {
        try_files /none @redirected;
        websocket_limit_conn redirected$arg_key 1;
    }
    location @redirected {
        proxy_pass http://DESTINATION;
        websocket_limit_conn redirected$arg_key 1;
    }
"""


async def statuses(nginx, path, count):
    """Requests this many WebSockets, one after the other: the open ones, and all statuses."""
    clients = [await nginx.client(path) for _ in range(count)]
    return ([client for client in clients if client.status == 101],
            [client.status for client in clients])


@test
async def over_the_limit(nginx):
    _, got = await statuses(nginx, "/two/?key=a", 4)
    equal(got, [101, 101, 503, 503])
    _, got = await statuses(nginx, "/two/?key=b", 3)
    equal(got, [101, 101, 503], "another key")


@test
async def another_status(nginx):
    _, got = await statuses(nginx, "/one/?key=c", 2)
    equal(got, [101, 429])


@test
async def one_that_ends_makes_room(nginx):
    for turn in range(3):
        live, got = await statuses(nginx, f"/one/?key=d&turn={turn}", 2)
        equal(got, [101, 429])
        live[0].close()
        await nginx.end_of(f"/one/?key=d&turn={turn}")


@test
async def no_key_or_no_limit(nginx):
    for path in ("/empty/", "/off/?key=e"):
        _, got = await statuses(nginx, path, 3)
        equal(got, [101, 101, 101], path)


@test
async def an_internal_redirect_counts_once(nginx):
    _, got = await statuses(nginx, "/redirected/?key=f", 2)
    equal(got, [101, 503])


@test
async def counts_outlive_a_reload(nginx):
    live, got = await statuses(nginx, "/one/?key=g", 1)
    old = nginx.workers()
    await nginx.reload()
    await until(lambda: set(nginx.workers()) - set(old), what="no new worker came")
    _, got = await statuses(nginx, "/one/?key=g", 1)
    equal(got, [429], "beside one of the old worker")
    live[0].close()
    await nginx.end_of("/one/?key=g")
    _, got = await statuses(nginx, "/one/?key=g", 1)
    equal(got, [101], "after it")


@test
async def a_worker_that_dies_takes_its_count_along(nginx):
    _, got = await statuses(nginx, "/two/?key=h", 3)
    equal(got, [101, 101, 503], "before")
    old = nginx.workers()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: len(set(nginx.workers()) - set(old)) == 2, what="no new workers came")
    # a new worker releases the count of a dead one when it starts, and the second new worker may
    # not have started yet; a refusal releases the count too, within a second
    for _ in range(50):
        _, got = await statuses(nginx, "/two/?key=h", 1)
        if got == [101]:
            break
        await asyncio.sleep(0.1)
    _, more = await statuses(nginx, "/two/?key=h", 2)
    equal(got + more, [101, 101, 503], "after")


@test
async def one_with_the_number_of_the_dead_is_another(_):
    for _ in range(20):
        async with Nginx(server=SERVER, asks_for="exited on signal 9") as nginx:
            _, got = await statuses(nginx, "/one/?key=i", 2)
            equal(got, [101, 429], "before")
            old = nginx.worker
            # start times have a resolution of 10 ms
            await asyncio.sleep(0.05)
            if not kill_and_replace(old):
                return
            await until(nginx.workers, what="no new worker came")
            if nginx.worker == old:
                _, got = await statuses(nginx, "/one/?key=i", 2)
                equal(got, [101, 429], "after")
                return
    raise AssertionError("another process always took the number")


def kill_and_replace(pid):
    """Kills a process and makes the kernel reuse its number; False without the permission."""
    try:
        with open("/proc/sys/kernel/ns_last_pid", "w", encoding="ascii") as last:
            os.kill(pid, signal.SIGKILL)
            last.write(str(pid - 1))
        return True
    except PermissionError:
        return False


run(Nginx(server=SERVER, workers=2, http="websocket_drain off;",
          asks_for="exited on signal 9"), together=False)
