#!/usr/bin/python3
"""A plain handshake is tunnelled by every nginx, and none is left to nginx's own code."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx
from status import HTTP, SERVER, fetch
from tap import equal, run, test, until

COUNT = 20


@test
async def plain_handshakes(nginx):
    for number in range(COUNT):
        client, destination = await nginx.tunnel(f"/{number}")
        await nginx.talk(client, destination)
        client.close()
        await nginx.end_of(f"/{number}")
    log = nginx.folder / "state.log"
    await until(lambda: len(log.read_text().splitlines()) == COUNT, what="no line for each")
    equal(set(log.read_text().splitlines()), {"tunnelled"}, "$websocket_state")

    _, _, text = await fetch(nginx.port, "/metrics")
    counts = dict(line.rsplit(" ", 1) for line in text.splitlines())
    left = {name: count for name, count in counts.items()
            if name.startswith("websocket_left_to_nginx_total{")}
    equal((len(left), set(left.values())), (4, {"0"}), "websocket_left_to_nginx_total")
    equal(counts["websocket_opened_total"], str(COUNT), "websocket_opened_total")
    equal([line for line in nginx.messages() if "not tunnelled" in line], [], "messages")


run(Nginx(http=HTTP + "log_format state $websocket_state;",
          server=SERVER, location="access_log FOLDER/state.log state;"))
