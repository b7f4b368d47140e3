#!/usr/bin/python3
"""Autobahn's results for a server are the same through the tunnel.

Cases 9 (large messages), 12 and 13 (compression of much data) take long: TEST_LONG adds them.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from libraries import autobahn, echo_server
from nginx import Nginx
from tap import between, equal, run, test

CASES = ["*"] if os.environ.get("TEST_LONG") else ["[1-7].*", "10.*"]


@test
async def verdicts_are_the_same():
    async with echo_server() as port:
        direct = await autobahn(port, *CASES)
        between(240, len(direct), 1000, "number of cases")
        server = f"location ~ / {{ proxy_pass http://127.0.0.1:{port}; }}"
        async with Nginx(server=server) as nginx:
            through = await autobahn(nginx.port, *CASES)
            equal({case: (verdict, through.get(case)) for case, verdict in direct.items()
                   if verdict != through.get(case)}, {}, "verdicts that differ, direct and through")
            equal(len(nginx.ended()), len(direct), "tunnels")


run(limit=1800)
