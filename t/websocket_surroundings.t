#!/usr/bin/python3
"""Tunnels among other directives of nginx: listeners, limits, retries, subrequests."""

import asyncio
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import BINARY, TEXT
from nginx import CONFIGURATION, Nginx, built_with
from peer import Peer, answer, request
from tap import equal, run, test, until

EARLY = frames.encode(TEXT, b"early", mask=b"mask")


@test
async def much_behind_the_handshake(nginx):
    # more than nginx reads together with the headers
    early = b"".join(frames.encode(BINARY, os.urandom(50_000), mask=b"mask") for _ in range(8))
    client = await nginx.connect()
    sending = asyncio.create_task(client.send(request("/much") + early))
    await client.until_head()
    destination = await nginx.destination.peer("/much")
    assert await destination.exactly(len(early)) == early, "the bytes have changed"
    await sending
    await nginx.talk(client, destination)
    client.close()


@test
async def the_proxy_protocol(_):
    listen = CONFIGURATION.replace("127.0.0.1:PORT", "127.0.0.1:PORT proxy_protocol")
    real_ip = "set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;"
    async with Nginx(configuration=listen, server=real_ip) as nginx:
        client = await nginx.connect()
        await client.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n" + request("/proxy") + EARLY)
        await client.until_head()
        destination = await nginx.destination.peer("/proxy")
        equal(await destination.exactly(len(EARLY)), EARLY)
        await nginx.talk(client, destination)
        client.close()
        equal((await nginx.end_of("/proxy"))["remote_addr"], "192.0.2.7")


@test
async def a_unix_socket_on_either_side(_):
    server = """
        listen unix:FOLDER/in.sock;
        location /unix/ { proxy_pass http://unix:FOLDER/in.sock:/inner/; }
    """
    async with Nginx(server=server) as nginx:
        # in by TCP, out by the unix socket, in there again, and out by TCP
        client = await nginx.client("/unix/a", early=EARLY)
        equal(client.status, 101)
        destination = await nginx.destination.peer("/inner/a")
        equal(await destination.exactly(len(EARLY)), EARLY)
        await nginx.talk(client, destination)
        client.close()
        equal((await nginx.end_of("/inner/a"))["remote_addr"], "unix:")
        equal((await nginx.end_of("/unix/a"))["upstream_addr"], f"unix:{nginx.folder}/in.sock")


@test
async def ipv6(_):
    listen = CONFIGURATION.replace("listen 127.0.0.1:PORT;", "listen [::1]:PORT;")
    async with Nginx(configuration=listen) as nginx:
        connection = socket.socket(socket.AF_INET6)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("::1", nginx.port))
        client = Peer(connection, masks=True)
        await client.send(request("/ipv6"))
        await client.until_head()
        await nginx.talk(client, await nginx.destination.peer("/ipv6"))
        client.close()
        equal((await nginx.end_of("/ipv6"))["remote_addr"], "::1")


@test
async def a_limited_rate_is_that_of_the_answer(_):
    async with Nginx(location="limit_rate 100;") as nginx:
        client, destination = await nginx.tunnel("/rate")
        message = destination.encode(BINARY, os.urandom(100_000))
        await destination.send(message)
        equal(await client.exactly(len(message)), message)
        client.close()


@test
async def peers_that_are_down_are_passed_over(_):
    upstream = """
        upstream some { zone some 64k; server 127.0.0.1:1 max_fails=0;
                        server DESTINATION max_conns=1; }
    """
    async with Nginx(http=upstream, server="location ~ ^/ { proxy_pass http://some; }") as nginx:
        for number in range(4):
            client, destination = await nginx.tunnel(f"/{number}")
            equal((await nginx.client("/beside")).status, 502, "status of one beside it")
            await nginx.talk(client, destination)
            client.close()
            await nginx.end_of(f"/{number}")


@test
async def headers_and_errors_of_ones_own(_):
    server = """
        add_header X-Own own always;
        proxy_intercept_errors on;
        error_page 403 /denied;
        location = /denied { return 200 denied; }
        proxy_hide_header X-Hidden;
    """
    async with Nginx(server=server,
                     respond=lambda head: answer(head, ["X-Hidden: 1", "X-Shown: 1"])) as nginx:
        client, destination = await nginx.tunnel("/headers")
        for header, shown in [(b"X-Own: own", True), (b"X-Hidden", False), (b"X-Shown", True)]:
            equal(header in client.head, shown, header)
        await nginx.talk(client, destination)


@test
async def no_connection_left_for_another(_):
    async with Nginx(connections=24, asks_for="worker_connections are not enough") as nginx:
        tunnels = []
        for number in range(16):
            client = await nginx.connect()
            await client.send(request(f"/{number}"))
            try:
                await client.until_head()
            except ConnectionError:
                pass
            if client.status == 101:
                tunnels.append((client, await nginx.destination.peer(f"/{number}")))
        assert 4 <= len(tunnels) < 16, f"{len(tunnels)} tunnels"
        for ends in tunnels:
            await nginx.talk(*ends)
        for client, _ in tunnels[:3]:
            client.close()
        await until(lambda: len(nginx.ended()) == 3)
        await nginx.talk(*await nginx.tunnel("/again"))


@test
async def auth_request(_):
    if not built_with("http_auth_request_module"):
        return
    server = """
        location /private/ { auth_request /auth; proxy_pass http://DESTINATION; }
        location = /auth {
            internal;
            proxy_pass http://127.0.0.1:OTHER;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Upgrade "";
        }
    """
    http = """
        server {
            listen 127.0.0.1:OTHER;
            location / { if ($http_x_key != "right") { return 403; } return 204; }
        }
    """
    async with Nginx(server=server, http=http) as nginx:
        equal((await nginx.client("/private/a")).status, 403)
        client, destination = await nginx.tunnel("/private/b", headers=["X-Key: right"], early=EARLY)
        equal(await destination.exactly(len(EARLY)), EARLY)
        await nginx.talk(client, destination)
        client.close()
        equal((await nginx.end_of("/private/b"))["close_reason"], "client")


@test
async def connections_that_nginx_counts(_):
    if not built_with("http_stub_status_module"):
        return
    async with Nginx(server="location = /status { stub_status; }") as nginx:
        async def active():
            client = await nginx.connect()
            await client.send(b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            text = await client.rest()
            return int(text.split(b"Active connections: ")[1].split()[0])
        ends = [await nginx.tunnel(f"/{number}") for number in range(5)]
        equal(await active(), 6, "with five tunnels")
        for number, (client, _) in enumerate(ends):
            client.close()
            await nginx.end_of(f"/{number}")
        equal(await active(), 1, "without any")


run(Nginx())
