#!/usr/bin/python3
"""A new binary of nginx takes over (USR2), and the old one leaves or stays."""

import asyncio
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx, is_running
from tap import equal, run, test, until
from traffic import answer_all


class Orphan(Nginx):
    """An nginx whose parent has exited: otherwise it would take itself for a new binary."""

    def _wrapper(self):
        leave = '"$@" & until [ -s "$0" ]; do sleep 0.05; done'
        return ["sh", "-c", leave, f"{self.folder}/nginx.pid", *super()._wrapper()]

    def _is_ready(self):
        return self.process.poll() is not None and self.workers()

    @property
    def master(self):
        """The process id of the newest master."""
        pid = self.folder / "nginx.pid"
        return int(pid.read_text() or 0) if pid.exists() else 0

    async def has_ended(self, timeout=10):
        """Waits for all masters to end."""
        def all_ended():
            return not [*self.folder.glob("nginx.pid*")]
        await until(all_ended, timeout, "nginx did not end")
        return 0

    async def take_over(self):
        """Makes a new binary take over: the process ids of the old master and its worker."""
        master, worker = self.master, self.worker
        self.signal("USR2")
        await until(lambda: self.master not in (0, master) and self.workers(), what="no new master")
        return master, worker


@test
async def websockets_of_the_old_one_are_drained():
    async with Orphan(http="websocket_drain 0 reload=0;") as nginx:
        ends = await nginx.tunnel("/old")
        master, worker = await nginx.take_over()
        await nginx.talk(*ends)
        os.kill(master, signal.SIGQUIT)
        got = await asyncio.gather(*map(answer_all, ends))
        equal([[frame.code for frame in end] for end in got], [[1001], [1001]], "Closes")
        await until(lambda: not is_running(worker) and not is_running(master),
                    what="the old ones are still there")
        await nginx.talk(*await nginx.tunnel("/new"))
        # the new nginx stops like any other
        ends = await nginx.tunnel("/last")
        nginx.signal("QUIT")
        got = await asyncio.gather(*map(answer_all, ends))
        equal([[frame.code for frame in end] for end in got], [[1001], [1001]], "Closes")


@test
async def going_back():
    async with Orphan(http="websocket_drain off;") as nginx:
        ends = await nginx.tunnel("/old")
        master, _ = await nginx.take_over()
        nginx.signal("QUIT")
        await until(lambda: nginx.master == master, what="the new one goes on")
        await nginx.talk(*ends)
        nginx.stopping = False
        await nginx.talk(*await nginx.tunnel("/again"))


run()
