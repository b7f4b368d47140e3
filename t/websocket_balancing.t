#!/usr/bin/python3
"""A live WebSocket counts as a connection of its destination: max_conns, least_conn, backups."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx
from peer import Destination
from tap import equal, run, test, until

UPSTREAMS = """
    upstream one_zone    { zone one_zone 128k; server DESTINATION max_conns=1; }
    upstream one_alone   { server DESTINATION max_conns=1; }
    upstream kept        { zone kept 128k; server DESTINATION max_conns=1; keepalive 4; }
    upstream least       { zone least 128k; least_conn; server DESTINATION; server SECOND; }
    upstream least_alone { least_conn; server DESTINATION; server SECOND; }
    upstream backup      { zone backup 128k; server DESTINATION max_conns=1;
                           server SECOND max_conns=1 backup; }
    upstream turns       { random; zone turns 128k; server DESTINATION max_conns=2;
                           server SECOND max_conns=2; }
    upstream hashed      { hash $uri; zone hashed 128k; server DESTINATION max_conns=1; }
"""
NAMES = ["one_zone", "one_alone", "kept", "least", "least_alone", "backup", "turns", "hashed"]


class Balanced(Nginx):
    """An nginx with the upstreams above, and a second destination."""

    def __init__(self, **more):
        self.second = Destination()
        http = UPSTREAMS.replace("SECOND", f"127.0.0.1:{self.second.port}")
        server = "".join(f"location /{name}/ {{ proxy_pass http://{name}; }}\n" for name in NAMES)
        super().__init__(http=http, server=server, **more)

    async def __aenter__(self):
        await self.second.__aenter__()
        return await super().__aenter__()

    async def __aexit__(self, *error):
        for peer in self.second.all:
            peer.close()
        await super().__aexit__(*error)
        await self.second.__aexit__(*error)

    async def end_and_wait(self, client, path):
        """Ends a WebSocket and waits until nginx has noticed."""
        client.close()
        await self.end_of(path)


async def one_at_a_time(nginx, name):
    """With max_conns=1, only one WebSocket lives at a time."""
    for number in range(3):
        client = await nginx.client(f"/{name}/{number}")
        equal(client.status, 101, f"handshake {number}")
        equal((await nginx.client(f"/{name}/beside")).status, 502, "a second one beside it")
        await nginx.end_and_wait(client, f"/{name}/{number}")


@test
async def max_conns_in_a_zone(nginx):
    await one_at_a_time(nginx, "one_zone")


@test
async def max_conns_without_a_zone(nginx):
    await one_at_a_time(nginx, "one_alone")


@test
async def max_conns_with_connections_kept(nginx):
    await one_at_a_time(nginx, "kept")


@test
async def max_conns_of_a_hash(nginx):
    await one_at_a_time(nginx, "hashed")


@test
async def max_conns_of_random(nginx):
    clients = [await nginx.client(f"/turns/{number}") for number in range(5)]
    equal([client.status for client in clients], [101] * 4 + [502], "handshakes")
    await nginx.end_and_wait(clients[2], "/turns/2")
    equal((await nginx.client("/turns/again")).status, 101, "handshake once one has ended")


@test
async def a_backup_counts_too(nginx):
    clients = [await nginx.client(f"/backup/{number}") for number in range(3)]
    equal([client.status for client in clients], [101, 101, 502], "handshakes")
    # one at each destination
    await nginx.destination.peer("/backup/0")
    await nginx.second.peer("/backup/1")
    await nginx.end_and_wait(clients[1], "/backup/1")
    equal((await nginx.client("/backup/3")).status, 101, "handshake once the backup is free")
    await nginx.second.peer("/backup/3")


async def spreads(nginx, name):
    """least_conn chooses the destination that has fewer WebSockets."""
    def at(destination):
        return {path for path, peer in destination.peers.items()
                if path.startswith(f"/{name}/") and peer.done()}
    clients = {}
    for number in range(10):
        clients[f"/{name}/{number}"] = await nginx.client(f"/{name}/{number}")
    await until(lambda: len(at(nginx.destination)) + len(at(nginx.second)) == 10)
    equal((len(at(nginx.destination)), len(at(nginx.second))), (5, 5), "WebSockets of each")
    for path in at(nginx.second):
        await nginx.end_and_wait(clients[path], path)
    before = len(at(nginx.destination))
    for number in range(5):
        await nginx.client(f"/{name}/more/{number}")
    await until(lambda: len(at(nginx.second)) == 10, what="the emptier one did not get the next")
    equal(len(at(nginx.destination)), before, "WebSockets of the fuller one")


@test
async def least_conn_in_a_zone(nginx):
    await spreads(nginx, "least")


@test
async def least_conn_without_a_zone(nginx):
    await spreads(nginx, "least_alone")


@test
async def a_zone_is_shared_by_the_workers(_):
    async with Balanced(workers=3) as nginx:
        clients = [await nginx.client("/one_zone/0")]
        equal(clients[0].status, 101)
        for number in range(12):
            equal((await nginx.client(f"/one_zone/{number}")).status, 502, "beside it")
        # the worker that has it leaves
        await nginx.reload()
        clients[0].close()


@test
async def a_drained_one_is_given_back(_):
    async with Balanced(main="worker_shutdown_timeout 5s;") as nginx:
        nginx.configure(http=nginx.parts["http"] + "websocket_drain 0 reload=0 handshake=1s;")
        await nginx.reload()
        await nginx.client("/one_zone/0")
        for number in range(1, 4):
            await nginx.reload()
            await until(lambda: len(nginx.workers()) == 1, what="the old worker is still there")
            equal((await nginx.client(f"/one_zone/{number}")).status, 101, "handshake")


run(Balanced())
