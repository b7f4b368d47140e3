#!/usr/bin/python3
"""The last bytes of an end whose connection fails or ends reach the other end, above all its
Close."""

import asyncio
import contextlib
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
import websockets
from frames import BINARY, CLOSE, TEXT
from nginx import Nginx
from tap import equal, run, test

# the first server proxies to the server with TLS, and that to the destination: a tunnel in each
SERVER = """
    location /tls/ { proxy_pass https://127.0.0.1:OTHER; }
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

    def configure(self, **parts):
        self.make_certificate()
        super().configure(**parts)


async def refuse(ends, refusing, size, read):
    """An end reads a part of a message, sends a Close, and closes the connection with unread bytes.
    Returns the frames that the other end receives, which reads only after it has sent."""
    async def send():
        with contextlib.suppress(ConnectionError):
            await ends[1 - refusing].frame(BINARY, b"m" * size)

    sending = asyncio.create_task(send())
    await ends[refusing].exactly(read)
    await ends[refusing].frame(CLOSE, frames.close(1009))
    ends[refusing].close()
    await sending
    with contextlib.suppress(ConnectionError):
        while await ends[1 - refusing].receive():
            pass
    return frames.decode_all(ends[1 - refusing].buffer)


async def refuse_often(nginx, place, refusing):
    """The Close arrives each time, and counts as the reason for the end of the tunnel."""
    for size, read in [(2 << 20, 300_000), (8 << 20, 1_200_000)]:
        for number in range(8):
            path = f"{place}/{refusing}/{size}/{number}"
            got = await refuse(await nginx.tunnel(path), refusing, size, read)
            equal([(frame.opcode, frame.code) for frame in got], [(CLOSE, 1009)], path)
            line = await nginx.end_of(path)
            by = ["client", "destination"][refusing]
            equal((line["close_reason"], line["close_code"]), (by, 1009), path)


@test
async def a_destination_refuses_a_message(nginx):
    await refuse_often(nginx, "/plain", 1)


@test
async def a_client_refuses_a_message(nginx):
    await refuse_often(nginx, "/plain", 0)


@test
async def a_destination_refuses_a_message_over_tls(nginx):
    await refuse_often(nginx, "/tls", 1)


@test
async def a_client_refuses_a_message_over_tls(nginx):
    await refuse_often(nginx, "/tls", 0)


@test
async def a_library_refuses_a_message(_):
    async def read_one(socket):
        with contextlib.suppress(websockets.ConnectionClosed):
            await socket.recv()

    async with websockets.serve(read_one, "127.0.0.1", 0, max_size=1000, close_timeout=0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        place = f"location /app/ {{ proxy_pass http://127.0.0.1:{port}; }}"
        async with Nginx(server=place) as nginx:
            for _ in range(12):
                client = await nginx.client("/app/", headers=["Origin: http://app.example"])
                with contextlib.suppress(ConnectionError):
                    await client.frame(BINARY, b"m" * (20 << 20))
                with contextlib.suppress(ConnectionError):
                    while await client.receive():
                        pass
                got = [frame.code for frame in frames.decode_all(client.buffer)]
                equal(got, [1009], "Closes that the client got")


@test
async def a_connection_that_fails_without_a_close(nginx):
    for end, by in enumerate(["client_error", "destination_error"]):
        ends = await nginx.tunnel(f"/fails/{end}")
        os.kill(nginx.worker, signal.SIGSTOP)
        try:
            await ends[end].frame(TEXT, b"last words")
            # this end will not read it: nginx's send fails with a reset
            await ends[1 - end].frame(TEXT, b"to nobody")
            ends[end].reset()
        finally:
            os.kill(nginx.worker, signal.SIGCONT)
        await ends[1 - end].until_gone()
        equal((await nginx.end_of(f"/fails/{end}"))["close_reason"], by)


@test
async def a_close_that_lies_unread_as_the_other_half_closes(nginx):
    for end in (0, 1):
        path = f"/half/{end}"
        ends = await nginx.tunnel(path)
        os.kill(nginx.worker, signal.SIGSTOP)
        try:
            # the worker gets these events in this order
            ends[end].finish()
            await asyncio.sleep(0.05)
            await ends[1 - end].frame(CLOSE, frames.close(1011))
        finally:
            os.kill(nginx.worker, signal.SIGCONT)
        got = frames.decode_all(await ends[end].rest())
        equal([frame.code for frame in got], [1011], "Closes of the end that can still read")
        equal((await nginx.end_of(path))["close_reason"], ["client", "destination"][end])


run(Tls(server=SERVER, http=HTTP), limit=120, together=False)
