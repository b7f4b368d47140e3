#!/usr/bin/python3
"""websocket_metrics: the families that no other test reads, each after the events it counts."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from checked import TCP, Checked
from frames import BINARY, PING, PONG
from nginx import Nginx, version
from status import HTTP, SERVER, metrics
from tap import equal, run, test


async def until_metrics(port, wanted):
    """Waits until these samples have these numbers."""
    for _ in range(200):
        told = await metrics(port)
        found = {name: told.get(name) for name in wanted}
        if found == wanted:
            return
        await asyncio.sleep(0.05)
    equal(found, wanted)


@test
async def versions_and_workers():
    async with Nginx(http=HTTP, server=SERVER, workers=2) as nginx:
        names = (await metrics(nginx.port)).keys()
        text = ".".join(map(str, version()))
        info = [name for name in names if name.startswith("elb_info{")]
        assert len(info) == 1 and f'nginx="{text}"' in info[0], info
        await until_metrics(nginx.port, {
            'elb_workers{state="serving"}': 2, 'elb_workers{state="draining"}': 0})
        # a worker that leaves stays until its WebSocket ends
        client, _ = await nginx.tunnel("/kept")
        nginx.configure(http=HTTP + "websocket_drain 1s reload=60s;")
        nginx.signal("HUP")
        await until_metrics(nginx.port, {
            'elb_workers{state="serving"}': 2, 'elb_workers{state="draining"}': 1})
        client.close()


@test
async def redirects_and_health_checks():
    server = SERVER + "elb_ping /ping; location = /to { elb_redirect https; }"
    async with Nginx(http=HTTP, server=server) as nginx:
        for path in "/ping", "/ping", "/to":
            client = await nginx.connect()
            await client.send(f"GET {path} HTTP/1.0\r\nHost: a.example\r\n\r\n".encode())
            await client.rest()
        await until_metrics(nginx.port, {"elb_health_checks_total": 2, "elb_redirects_total": 1})


@test
async def pings_pongs_and_those_that_are_missed():
    location = "websocket_ping 1s; websocket_pong_timeout 1s;"
    async with Nginx(location=location, http=HTTP, server=SERVER) as nginx:
        client, destination = await nginx.tunnel("/pings")
        ping = await client.next()
        equal(ping.opcode, PING)
        await client.frame(PONG, ping.payload)
        # the client does not answer the next Ping
        await client.until_gone()
        destination.close()
        found = await metrics(nginx.port)
        equal(found['websocket_pongs_total{from="client"}'], 1)
        equal(found['websocket_pongs_missed_total{from="client"}'], 1)
        equal(found['websocket_pongs_missed_total{from="destination"}'], 0)
        pings = found['websocket_pings_total{to="client"}']
        assert pings >= 2, pings


@test
async def bytes_that_wait():
    size = 8_000_000
    async with Nginx(http=HTTP, server=SERVER, receive_buffer=4096) as nginx:
        client, destination = await nginx.tunnel("/slow")
        sending = asyncio.ensure_future(client.frame(BINARY, bytes(size), mask=bytes(4)))
        for _ in range(200):
            waiting = (await metrics(nginx.port))["websocket_buffered_bytes"]
            if waiting:
                break
            await asyncio.sleep(0.05)
        assert waiting > 0, "nothing waits"
        await destination.exactly(size + 14, timeout=30)
        await sending
        await until_metrics(nginx.port, {"websocket_buffered_bytes": 0})


@test
async def connections_to_destinations():
    checked = Checked(TCP, "zone app 128k;")
    checked.parts["http"] += HTTP
    checked.parts["server"] = SERVER + checked.parts["server"]
    async with checked as nginx:
        told = await metrics(nginx.port)
        for backend in nginx.a, nginx.b:
            labels = f'{{upstream="app",server="{backend.address}",address="{backend.address}"}}'
            equal((told[f"elb_destination_up{labels}"],
                   told[f"elb_destination_connections{labels}"]), (1, 0))


run()
