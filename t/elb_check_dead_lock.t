#!/usr/bin/python3
"""A worker that dies while it holds the lock of a block's peers: a reload, the remedy, works."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from checked import Checked, HTTP
from nginx import is_running
from tap import equal, run, test, until


class Locked(Checked):
    """An nginx with a location that locks the list of destinations for ever."""

    def configure(self, **parts):
        more = "location = /die { dead_lock app; }"
        if more not in self.parts["server"]:
            parts.setdefault("server", self.parts["server"] + more)
        super().configure(**parts)


@test
async def a_reload_gives_a_new_list(nginx):
    await nginx.is_spread()
    old = nginx.workers()
    client = await nginx.connect()
    await client.send(b"GET /die HTTP/1.1\r\nHost: app\r\n\r\n")
    await client.until_gone()
    await until(lambda: not all(map(is_running, old)), what="no worker died")
    # the worker that replaces it waits for the lock, too
    await until(lambda: len(nginx.workers()) == 2, what="no worker took its place")
    before = nginx.workers()
    nginx.signal("HUP")
    await until(lambda: len(set(nginx.workers()) - set(before)) >= 2, what="no new workers")
    await until(lambda: any('destinations of upstream "app" are checked from scratch' in line
                            for line in nginx.messages()), what="no message")
    # old workers that wait for the lock still accept connections, so the test kills them
    for pid in before:
        os.kill(pid, 9)
    await until(lambda: not any(map(is_running, before)), what="the old workers go on")
    equal(await nginx.answers(), {"a", "b"}, "who answers")
    nginx.signal("TERM")


run(Locked(HTTP, workers=2, with_modules=["dead_lock"], asks_for="exited on signal 9"))
