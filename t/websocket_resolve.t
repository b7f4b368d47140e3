#!/usr/bin/python3
"""A destination whose name gets another address, or none, while it has WebSockets.

Before nginx 1.27.3 names are looked up at start only.
"""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from frames import CLOSE
from names import Names
from nginx import Nginx, version
from tap import equal, run, test

UPSTREAM = """
    resolver 127.0.0.1:%d valid=1s ipv6=off;
    resolver_timeout 1s;
    upstream named {
        zone named 64k;
        %s
        server app.test:%d %s max_fails=0;
    }
    websocket_drain 0 reload=0 handshake=1s;
"""
SERVER = "location ~ ^/ { proxy_pass http://named; }"


class Named(Nginx):
    """An nginx in front of app.test, which is at 127.0.0.1 at first."""

    def __init__(self, more="", resolve="resolve max_conns=2"):
        super().__init__(server=SERVER)
        self.names = Names(app=["127.0.0.1"])
        self.more, self.resolve = more, resolve

    async def __aenter__(self):
        await self.names.__aenter__()
        self.parts["http"] = UPSTREAM % (
            self.names.port, self.more, self.destination.port, self.resolve)
        return await super().__aenter__()

    async def __aexit__(self, *error):
        await super().__aexit__(*error)
        await self.names.__aexit__(*error)

    async def is_known(self, up=True):
        """Waits until handshakes succeed, or until they fail."""
        for number in range(100):
            client = await self.client(f"/try/{number}")
            client.close()
            if (client.status == 101) == up:
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"status is still {client.status}")


async def outlives(nginx):
    """A WebSocket continues while its peer is removed, added and removed again."""
    await nginx.is_known()
    client, destination = await nginx.tunnel("/live")
    for addresses in ([], ["127.0.0.1"], []):
        nginx.names.known["app"] = addresses
        await nginx.is_known(up=bool(addresses))
        await nginx.talk(client, destination)
    nginx.names.known["app"] = ["127.0.0.1"]
    client.close()
    await nginx.end_of("/live")
    await nginx.is_known()


@test
async def a_live_one_goes_on():
    async with Named() as nginx:
        await outlives(nginx)


@test
async def a_live_one_of_least_conn_goes_on():
    async with Named("least_conn; keepalive 4;") as nginx:
        await outlives(nginx)


@test
async def its_worker_leaves_after_its_peer():
    async with Named() as nginx:
        await nginx.is_known()
        client, destination = await nginx.tunnel("/leaves")
        nginx.names.known["app"] = []
        await nginx.is_known(up=False)
        await nginx.reload()
        equal((await client.next()).opcode, CLOSE)
        client.close()
        await nginx.end_of("/leaves")
        nginx.names.known["app"] = ["127.0.0.1"]
        await nginx.is_known()


@test
async def many_changes_fit_the_zone():
    # every second the nameserver returns another one of four addresses of one destination
    async with Named() as nginx:
        await nginx.is_known()
        for number in range(12):
            path = f"/many/{number}"
            client = await nginx.client(path)
            nginx.names.known["app"] = ["127.0.0.1"] if number % 2 else ["127.0.0.1", "127.0.0.9"]
            await asyncio.sleep(0.5)
            if number % 3 == 0:
                client.close()
        assert not any("no memory" in line for line in nginx.messages()), "the zone is full"


if version() >= (1, 27, 3):
    run()
else:
    print("1..0 # SKIP this nginx looks names up at start only")
