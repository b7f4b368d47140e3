#!/usr/bin/python3
"""Destinations in the status: up or down by their checks, or by failed requests."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import status
from checked import TCP, Checked
from tap import equal, run, test

MARGINS = "max_fails=1 fail_timeout=1h"


class Told(Checked):
    """An nginx with a status."""

    def __init__(self, check, more="zone app 128k;", **parts):
        super().__init__(check, more, **parts)
        self.parts["http"] += status.HTTP
        self.parts["server"] = "elb_ready /ready;" + status.SERVER + self.parts["server"]

    async def destinations(self):
        """The destinations in the status, by their letters."""
        names = {self.a.address: "a", self.b.address: "b"}
        told = (await status.status(self.port))["destinations"]
        return {names.get(one["address"], one["address"]): one for one in told}

    async def is_up(self):
        """The destinations that are up."""
        return {name for name, one in (await self.destinations()).items() if one["up"]}


@test
async def by_checks():
    servers = "server A weight=3 max_fails=0; server B backup; server 127.0.0.1:1 down;"
    async with Told(TCP, servers=servers) as nginx:
        told = await nginx.destinations()
        equal(set(told), {"a", "b", "127.0.0.1:1"}, "destinations")
        equal(told["a"], {
            "upstream": "app", "server": nginx.a.address, "address": nginx.a.address, "up": True,
            "checked": True, "backup": False, "weight": 3, "connections": 0}, "one of them")
        equal((told["b"]["backup"], told["127.0.0.1:1"]["up"]), (True, False), "the others")
        client = await nginx.client("/socket")
        equal((await nginx.destinations())["a"]["connections"], 1, "connections")
        client.close()
        await nginx.a.stop()
        await nginx.tells(nginx.a, "is down")
        equal(await nginx.is_up(), {"b"}, "who is up")
        await nginx.a.start()
        await nginx.tells(nginx.a, "is up")
        equal(await nginx.is_up(), {"a", "b"}, "who is up")


@test
async def by_requests():
    servers = f"server A {MARGINS}; server B {MARGINS};"
    async with Told("elb_check off", servers=servers) as nginx:
        equal(await nginx.is_up(), {"a", "b"}, "who is up")
        await nginx.b.stop()
        while not nginx.refused():
            await nginx.answers(2)
        equal(await nginx.is_up(), {"a"}, "who is up")
        equal((await nginx.destinations())["b"]["checked"], False, "whether it is checked")


@test
async def readiness():
    servers = "server A max_fails=0; server B backup; server 127.0.0.1:1 down;"
    async with Told(TCP, servers=servers) as nginx:
        async def ready():
            code, _, text = await status.fetch(nginx.port, "/ready")
            return code, text.strip()
        equal(await ready(), (200, "ok"))
        await nginx.a.stop()
        await nginx.tells(nginx.a, "is down")
        equal(await ready(), (200, "ok"), "with a backup that is up")
        await nginx.b.stop()
        await nginx.tells(nginx.b, "is down")
        equal(await ready(), (503, "destination down"), "with none")
        await nginx.reload()
        equal(await ready(), (503, "destination down"), "after a reload")
        await nginx.b.start()
        await nginx.tells(nginx.b, "is up")
        equal(await ready(), (200, "ok"), "with one again")


@test
async def an_address_twice_is_one_series():
    servers = "server A; server B; server B backup;"
    async with Told(TCP, servers=servers) as nginx:
        _, _, text = await status.fetch(nginx.port, "/metrics")
        series = [line for line in text.splitlines() if line.startswith("elb_destination_up{")]
        equal(len(series), 2, "series")
        equal([line.split()[-1] for line in series], ["1", "1"], "values")
        await nginx.b.stop()
        await nginx.tells(nginx.b, "is down")
        _, _, text = await status.fetch(nginx.port, "/metrics")
        [line] = [line for line in text.splitlines()
                  if line.startswith("elb_destination_up{") and nginx.b.address in line]
        equal(line.split()[-1], "0", "value of the dead one")


run(limit=60, together=False)
