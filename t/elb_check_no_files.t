#!/usr/bin/python3
"""A process without a free file descriptor for a check logs that, and marks no destination as
down."""

import os
import re
import resource
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from checked import HTTP, Checked
from tap import equal, run, test, until

ALERT = r"^\S+ \S+ \[alert\] (\d+)#\d+: .*socket\(\) failed \(24: "


@test
async def a_check_that_cannot_begin_is_no_result(nginx):
    await nginx.is_spread()
    worker, = nginx.workers()
    limits = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, limits[1]))

    def alerts():
        return [found[1] for found in map(re.compile(ALERT).search, nginx.messages()) if found]

    # more failures than would mark either of the two destinations as down
    await until(lambda: len(alerts()) >= 6, what="no alerts")
    resource.prlimit(worker, resource.RLIMIT_NOFILE, limits)
    equal(set(alerts()), {str(worker)}, "who complains")
    equal(nginx.told(nginx.a, "") + nginx.told(nginx.b, ""), [], "what is said of destinations")
    equal(await nginx.answers(), {"a", "b"}, "who answers")
    # checks continue
    await nginx.b.stop()
    await nginx.tells(nginx.b, "is down")


run(Checked(HTTP, workers=1, asks_for=r"failed \(24: "))
