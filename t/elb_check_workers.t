#!/usr/bin/python3
"""elb_check with several workers, a killed worker, a reload, a stop, and names."""

import asyncio
import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from backend import Backend
from checked import HTTP, ONCE, TCP, Checked
from names import Names
from nginx import is_running, version
from tap import equal, run, test, until


def pid_of(line):
    """The process that has logged a line."""
    return int(re.search(r" (\d+)#", line)[1])


@test
async def all_workers_agree():
    async with Checked(TCP, workers=3) as nginx:
        await nginx.b.stop()
        line = await nginx.tells(nginx.b, "is down")
        before, seen = nginx.refused(), set()
        for _ in range(200):
            status, name, worker = await nginx.get()
            equal((status, name), (200, "a"), "answer")
            seen.add(worker)
            if len(seen) == 3:
                break
        assert len(seen) > 1, "one worker has taken all requests"
        equal(nginx.refused(), before, "requests that were sent to it")
        equal([pid_of(line) for line in nginx.told(nginx.b, "is down")], [pid_of(line)],
              "workers that check")


@test
async def each_is_checked_by_one_worker():
    async with Checked("elb_check 1h timeout=1s path=/check", workers=4) as nginx:
        await until(lambda: nginx.a.heads and nginx.b.heads, what="no checks")
        await asyncio.sleep(1)
        equal((len(nginx.a.heads), len(nginx.b.heads)), (1, 1), "checks")


@test
async def the_worker_that_checks_is_killed():
    async with Checked(HTTP, workers=2, asks_for="exited on signal 9") as nginx:
        nginx.b.how = 500
        checks = pid_of(await nginx.tells(nginx.b, "is down"))
        os.kill(checks, signal.SIGKILL)
        await until(lambda: not is_running(checks) and len(nginx.workers()) == 2,
                    what="no worker takes its place")
        equal(await nginx.answers(), {"a"}, "who answers")
        nginx.b.how = 200
        other = pid_of(await nginx.tells(nginx.b, "is up$"))
        assert other != checks and is_running(other), "it is not the new one"
        await nginx.is_spread()
        nginx.b.how = 500
        await nginx.tells(nginx.b, "is down", 2)


@test
async def another_worker_is_killed():
    async with Checked(HTTP, workers=2, asks_for="exited on signal 9") as nginx:
        nginx.b.how = 500
        checks = pid_of(await nginx.tells(nginx.b, "is down"))
        [other] = [pid for pid in nginx.workers() if pid != checks]
        os.kill(other, signal.SIGKILL)
        await until(lambda: not is_running(other) and len(nginx.workers()) == 2,
                    what="no worker takes its place")
        nginx.b.how = 200
        equal(pid_of(await nginx.tells(nginx.b, "is up$")), checks, "who checks")


@test
async def a_dead_one_stays_so_over_a_reload():
    async with Checked(TCP) as nginx:
        await nginx.b.stop()
        first = pid_of(await nginx.tells(nginx.b, "is down"))
        before = nginx.refused()
        for _ in range(3):
            await nginx.reload()
            equal(await nginx.answers(10), {"a"}, "who answers")
        equal(nginx.refused(), before, "requests that were sent to it")
        equal(len(nginx.told(nginx.b, "is down")), 1, "words about it")
        await nginx.b.start()
        assert pid_of(await nginx.tells(nginx.b, "is up$")) != first, "an old worker checks"
        await nginx.is_spread()


@test
async def a_live_one_is_not_judged_by_one_check_after_a_reload():
    async with Checked(ONCE) as nginx:
        await until(lambda: nginx.a.heads and nginx.b.heads, what="no checks")
        nginx.b.how = 500
        await nginx.reload()
        await nginx.tells(nginx.b, "fails a check: status 500$")
        await nginx.is_spread()
        equal(nginx.told(nginx.b, "is down"), [], "words about it")


@test
async def a_reload_begins_and_ends_checks():
    async with Checked("elb_check off") as nginx:
        off = nginx.parts["http"]
        nginx.b.how = 500
        await nginx.reload(http=off.replace("elb_check off", HTTP))
        await nginx.tells(nginx.b, "is down: status 500$")
        equal(await nginx.answers(), {"a"}, "who answers")
        old = await nginx.reload(http=off.replace("elb_check off;", ""))
        await until(lambda: not any(map(is_running, old)), what="the old workers stay")
        await nginx.is_spread()
        count = len(nginx.b.heads)
        await asyncio.sleep(0.7)
        equal(len(nginx.b.heads), count, "checks")


@test
async def a_check_under_way_holds_no_worker():
    async with Checked("elb_check 1h timeout=1h path=/check") as nginx:
        nginx.a.how = nginx.b.how = None
        await until(lambda: nginx.b.heads, what="no check")
        old = await nginx.reload()
        await until(lambda: len(nginx.b.heads) == 2, what="no check after the reload")
        await until(lambda: not any(map(is_running, old)), what="the old workers stay")
        nginx.signal("QUIT")
        equal(await nginx.has_ended(5), 0, "status of nginx")
        await until(lambda: nginx.b.ended + nginx.b.resets == nginx.b.accepted,
                    what="a connection is left")


@test
async def a_single_process():
    async with Checked(HTTP, main="master_process off;",
                       asks_for="worker_connections are not enough") as nginx:
        nginx.b.how = 500
        await nginx.tells(nginx.b, "is down: status 500$")
        equal(await nginx.answers(), {"a"}, "who answers")
        nginx.b.how = 200
        await nginx.tells(nginx.b, "is up$")
        await nginx.is_spread()
        # even stock nginx serves no requests after this, but its process continues
        nginx.signal("HUP")
        await until(lambda: any("[warn]" in line and "no longer checked" in line
                                for line in nginx.messages()), what="it does not tell")
        count = len(nginx.b.heads)
        await asyncio.sleep(0.7)
        equal(len(nginx.b.heads), count, "checks")
        equal(nginx.process.poll(), None, "status of nginx")


class Named(Checked):
    """`b` is one of the addresses of app.test."""

    def __init__(self, check, server="", **parts):
        super().__init__(check, **parts)
        self.names = Names(app=["127.0.0.1"])
        self.server = server
        self.others = [Backend(f"c{n}", self.b.port, f"127.0.0.{n}") for n in (2, 3)]

    async def __aenter__(self):
        await self.names.__aenter__()
        for other in self.others:
            await other.start()
        block = self.parts["http"].replace(
            f"server {self.b.address} max_fails=0;",
            f"zone app 128k; server app.test:{self.b.port} max_fails=0 resolve {self.server};")
        self.parts["http"] = f"resolver 127.0.0.1:{self.names.port} valid=1s ipv6=off;{block}"
        return await super().__aenter__()

    async def __aexit__(self, *error):
        await super().__aexit__(*error)
        for other in self.others:
            await other.stop()
        await self.names.__aexit__(*error)

    def told(self, backend, pattern):
        """The log messages about an address of the name."""
        return [line for line in self.messages() if re.search(
            rf'destination {backend.address}( \("app.test:\d+"\))? of upstream "app" {pattern}',
            line)]


async def follows_a_name(nginx):
    two, three = nginx.others
    three.how = 500
    await until(lambda: nginx.b.heads, what="the first address is not checked")
    assert b"\r\nHost: app.test:" in nginx.b.heads[0], nginx.b.heads[0]
    nginx.names.known["app"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    await until(lambda: two.heads, what="an address that came is not checked")
    assert '("app.test:' in await nginx.tells(three, "is down: status 500$")
    before = len(three.requests)
    for _ in range(10):
        got = await nginx.answers(6)
        assert got <= {"a", "b", "c2"}, got
    equal(len(three.requests), before, "requests of the dead one")
    assert two.requests, "the live one gets none"

    nginx.names.known["app"] = ["127.0.0.3"]
    await asyncio.sleep(3)
    counts = [len(backend.heads) for backend in (nginx.b, two)]
    await asyncio.sleep(0.7)
    equal([len(backend.heads) for backend in (nginx.b, two)], counts, "checks of those that left")
    three.how = 200
    await nginx.tells(three, "is up$")
    await until(lambda: len(three.heads) > 3)

    # addresses that were added and removed leave nothing behind
    for number in range(6):
        nginx.names.known["app"] = ["127.0.0.2"] if number % 2 else ["127.0.0.1", "127.0.0.3"]
        three.how = 500 if number % 3 else 200
        await asyncio.sleep(0.6)
    nginx.names.known["app"], three.how = ["127.0.0.1"], 200
    nginx.b.requests.clear()
    await nginx.is_spread()
    await nginx.b.stop()
    await nginx.tells(nginx.b, "is down")
    await until(lambda: len(nginx.told(nginx.b, "is down")) > 0)
    before = nginx.refused()
    equal(await nginx.answers(), {"a"}, "who answers")
    equal(nginx.refused(), before, "requests that were sent to it")
    assert not any("no memory" in line for line in nginx.messages()), "the zone is full"


if version() >= (1, 27, 3):
    @test
    async def a_name_that_moves():
        async with Named(HTTP) as nginx:
            await follows_a_name(nginx)

    @test
    async def a_name_of_a_dead_one_over_a_reload():
        async with Named(HTTP) as nginx:
            nginx.b.how = 500
            await nginx.tells(nginx.b, "is down")
            for _ in range(2):
                await nginx.reload()
                equal(await nginx.answers(10), {"a"}, "who answers")
            equal(len(nginx.told(nginx.b, "is down")), 1, "words about it")
            nginx.b.how = 200
            await nginx.tells(nginx.b, "is up$")
            await nginx.is_spread()


run(limit=90, together=False)
