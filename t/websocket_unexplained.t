#!/usr/bin/python3
"""WebSockets that are not tunnelled for an unknown reason: they are counted, and the error log has
one warning a minute. A module of this test holds their requests."""

import asyncio
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx
from status import HTTP, SERVER, fetch, status
from tap import equal, run, test

COUNT = 3


@test
async def each_is_counted_and_one_is_told(nginx):
    for number in range(COUNT):
        client = await nginx.client(f"/{number}")
        equal(client.status, 101)
        await nginx.talk(client, await nginx.destination.peer(f"/{number}"))
    warnings = [line for line in nginx.messages() if "[warn]" in line]
    equal(len(warnings), 1, "warnings")
    equal(re.search("not tunnelled for an unknown reason: (.*); (.*) since", warnings[0]).groups(),
          ("something unknown refers to it", "1"))
    sockets = (await status(nginx.port))["websockets"]
    equal({one["label"]: one["count"] for one in sockets["left_by_reason"]},
          {"not_websocket": 0, "not_of_its_own": 0, "busy": 0, "unexplained": COUNT})
    _, _, text = await fetch(nginx.port, "/metrics")
    equal(f'websocket_left_to_nginx_total{{reason="unexplained"}} {COUNT}' in text, True, text)
    # until the module releases the requests
    await asyncio.sleep(2.5)
    for peer in nginx.peers:
        peer.close()


run(Nginx(http=HTTP, server=SERVER, with_modules=["hold"]))
