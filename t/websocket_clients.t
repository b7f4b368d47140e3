#!/usr/bin/python3
"""Clients and servers of independent libraries, through the tunnel."""

import asyncio
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import websockets
from libraries import echo_server
from nginx import ROOT, Nginx
from tap import between, equal, run, test

SIZES = [0, 1, 125, 126, 65535, 65536, 1_000_000]


class Echo(Nginx):
    """An nginx in front of an echo server."""

    async def __aenter__(self):
        self.server = echo_server()
        port = await self.server.__aenter__()
        self.parts["server"] += f"location /echo/ {{ proxy_pass http://127.0.0.1:{port}; }}"
        return await super().__aenter__()

    async def __aexit__(self, *error):
        await self.server.__aexit__(*error)
        await super().__aexit__(*error)

    def open(self, name, **how):
        """A client of the library."""
        return websockets.connect(f"ws://127.0.0.1:{self.port}/echo/{name}", max_size=None, **how)


@test
async def messages_come_back(nginx):
    async with nginx.open("plain", compression=None) as socket:
        for size in SIZES:
            for message in ("t" * size, os.urandom(size)):
                await socket.send(message)
                equal(await socket.recv(), message, f"message of {size}")
    line = await nginx.end_of("/echo/plain")
    equal((line["close_reason"], line["close_code"], line["passthrough"]), ("client", 1000, False))


@test
async def fragments_come_back_as_a_message(nginx):
    async with nginx.open("fragments", compression=None) as socket:
        await socket.send(["a", "b" * 70000, "", "c"])
        equal(await socket.recv(), "a" + "b" * 70000 + "c")


@test
async def compression_is_theirs(nginx):
    async with nginx.open("deflate", compression="deflate") as socket:
        for size in SIZES:
            message = "compress me " * size
            await socket.send(message)
            assert await socket.recv() == message, f"message of {size}"
    line = await nginx.end_of("/echo/deflate")
    between(1, line["client_bytes"], 12 * sum(SIZES) // 20, "bytes of the client")
    between(1, line["upstream_bytes"], 12 * sum(SIZES) // 20, "bytes of the server")
    equal(line["passthrough"], False)


@test
async def their_own_pings_are_answered(nginx):
    async with nginx.open("pings", ping_interval=0.2, ping_timeout=5) as socket:
        await asyncio.sleep(2)
        for _ in range(3):
            await asyncio.wait_for(await socket.ping(), 5)
        await socket.send("still here")
        equal(await socket.recv(), "still here")


@test
async def they_answer_our_pings(nginx):
    # a client that does not answer is closed
    async with nginx.open("ours", ping_interval=None) as socket:
        await asyncio.sleep(6)
        await socket.send("still here")
        equal(await socket.recv(), "still here")
    between(6, (await nginx.end_of("/echo/ours"))["pings"], 100, "Pings")


@test
async def they_are_asked_to_reconnect(_):
    async with Echo(http="websocket_drain 1s;") as nginx:
        async with nginx.open("drain") as socket:
            await socket.send("hello")
            equal(await socket.recv(), "hello")
            nginx.signal("QUIT")
            await asyncio.wait_for(socket.wait_closed(), 10)
            equal(socket.close_code, 1001)
        equal((await nginx.end_of("/echo/drain"))["close_reason"], "drain")


@test
async def a_loop_over_messages_ends_without_an_exception(_):
    # as docs/websockets.md warns authors of clients: the library takes 1001 for a normal end
    async with Echo(http="websocket_drain 0;") as nginx:
        async with nginx.open("loop") as socket:
            await socket.send("hello")
            equal(await socket.recv(), "hello")
            nginx.signal("QUIT")
            equal([message async for message in socket], [])
            equal(socket.close_code, 1001)


@test
async def a_hundred_at_once(nginx):
    async def one(number):
        async with nginx.open(f"many/{number}") as socket:
            for _ in range(10):
                message = os.urandom(number * 50)
                await socket.send(message)
                equal(await socket.recv(), message)
    await asyncio.gather(*map(one, range(100)))


@test
async def tungstenite_is_the_application(_):
    with subprocess.Popen([ROOT / "target/debug/examples/chat", "0"], stdout=subprocess.PIPE,
                          text=True) as chat:
        try:
            port = re.search(r":(\d+)/", chat.stdout.readline())[1]
            server = f"location /echo/ {{ proxy_pass http://127.0.0.1:{port}; }}"
            async with Nginx(server=server, location="websocket_ping 1s;") as nginx:
                url = f"ws://127.0.0.1:{nginx.port}/echo/"
                async with websockets.connect(url, max_size=None) as socket:
                    for size in SIZES:
                        message = os.urandom(size)
                        await socket.send(message)
                        equal(await socket.recv(), message, f"message of {size}")
                line = await nginx.end_of("/echo/")
                equal((line["close_reason"], line["close_code"]), ("client", 1000))
        finally:
            chat.terminate()


# built before the tests, whose time is limited; `cargo test` may have built it already
subprocess.run(["cargo", "build", "--quiet", "--locked", "--no-default-features",
                "--example", "chat"], cwd=ROOT, check=True)
run(Echo(http="websocket_ping 1s; websocket_pong_timeout 2s;"))
