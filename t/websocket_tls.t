#!/usr/bin/python3
"""Tunnels whose client, or destination, speaks TLS."""

import asyncio
import os
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import BINARY, CLOSE, TEXT
from nginx import Nginx, is_running
from peer import request
from tap import equal, run, test, until
from traffic import answer_all, stream

# the first server proxies to the server with TLS, and that to the destination: a tunnel in each
SERVER = """
    location ~ ^/both/ {
        proxy_pass https://127.0.0.1:OTHER;
        proxy_ssl_verify off;
        proxy_ssl_session_reuse on;
    }
"""
HTTP = """
    ssl_certificate FOLDER/cert.pem;
    ssl_certificate_key FOLDER/key.pem;
    server {
        listen 127.0.0.1:OTHER ssl;
        location / { proxy_pass http://DESTINATION; }
    }
"""


class Tls(Nginx):
    """An nginx with a certificate of its own."""

    def __init__(self, http="", **more):
        super().__init__(http=http + HTTP, server=SERVER, **more)

    def configure(self, **parts):
        self.make_certificate()
        super().configure(**parts)

    async def secure(self, path, early=b""):
        """A client with TLS: its reader and writer, and the destination's end."""
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", self.other, ssl=trusting)
        # one record, which nginx reads as one
        writer.write(request(path) + early)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return reader, writer, await self.destination.peer(path)


async def pass_both_ways(client, destination, size):
    """Sends frames of all kinds both ways at once."""
    up, down = stream(client, size, 1), stream(destination, size, 2)
    sending = [asyncio.create_task(end.send(data))
               for end, data in ((client, up), (destination, down))]
    got = await asyncio.gather(destination.exactly(len(up)), client.exactly(len(down)))
    assert got == [up, down], "the bytes have changed"
    await asyncio.gather(*sending)


@test
async def tls_to_the_destination(nginx):
    client, destination = await nginx.tunnel("/both/stream")
    await nginx.talk(client, destination)
    await pass_both_ways(client, destination, 4_000_000)
    client.close()
    # one line for the tunnel of each hop
    await until(lambda: [line["close_reason"] for line in nginx.ended()
                         if line["uri"] == "/both/stream"] == ["client"] * 2)


@test
async def early_bytes_to_such_a_destination(nginx):
    early = b"".join(frames.encode(TEXT, b"early %d" % n, mask=b"mask") for n in range(50))
    client, destination = await nginx.tunnel("/both/early", early=early)
    equal(await destination.exactly(len(early)), early)
    client.close()


@test
async def slow_readers_behind_tls(nginx):
    for by_client in (True, False):
        client, destination = await nginx.tunnel(f"/both/slow/{by_client}", receive_buffer=4096)
        sender, reader = (destination, client) if by_client else (client, destination)
        message = sender.encode(BINARY, os.urandom(20_000_000))
        sending = asyncio.create_task(sender.send(message))
        await asyncio.sleep(1)
        assert await reader.exactly(len(message)) == message, "the bytes have changed"
        await sending
        client.close()


@test
async def a_client_with_tls(nginx):
    early = frames.encode(TEXT, b"early", mask=b"mask") * 20
    reader, writer, destination = await nginx.secure("/client", early)
    equal(await destination.exactly(len(early)), early, "early frames")
    down = stream(destination, 3_000_000, 3)
    sending = asyncio.create_task(destination.send(down))
    assert await reader.readexactly(len(down)) == down, "the bytes have changed"
    await sending
    writer.close()
    equal(await destination.rest(), b"", "nothing else")


@test
async def a_client_with_tls_is_pinged_and_closed(_):
    async with Tls(http="websocket_ping 500ms; websocket_drain 0;") as nginx:
        reader, writer, destination = await nginx.secure("/pinged")
        equal((await reader.readexactly(2)), b"\x89\x08", "head of a Ping")
        await reader.readexactly(8)
        await destination.frame(CLOSE)
        while (await reader.readexactly(2)) != b"\x88\x00":
            await reader.readexactly(8)
        destination.close()
        await reader.read()
        writer.close()


@test
async def tunnels_with_tls_are_drained(_):
    async with Tls(http="websocket_drain 0 reload=0 handshake=3s;") as nginx:
        client, destination = await nginx.tunnel("/both/drain")
        await pass_both_ways(client, destination, 100_000)
        old = await nginx.reload()
        got = await asyncio.gather(answer_all(client), answer_all(destination))
        equal([[frame.code for frame in end] for end in got], [[1001], [1001]], "Closes")
        await until(lambda: not is_running(old[0]), what="the old worker is still there")


@test
async def many_leave_nothing(_):
    async with Tls() as nginx:
        async def some(count):
            for number in range(count):
                client, destination = await nginx.tunnel(f"/both/{number}")
                nginx.destination.peers.clear()
                await nginx.talk(client, destination)
                (client if number % 2 else destination).close()
                await (destination if number % 2 else client).rest()
                client.close()
                destination.close()
            await nginx.has_no_connections()
        await some(100)
        before = nginx.memory()
        await some(400)
        grown = nginx.memory() - before
        assert grown < 400_000, f"the worker has grown by {grown} bytes"


run(Tls())
