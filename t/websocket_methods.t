#!/usr/bin/python3
"""With each of nginx's event methods, no bytes are left waiting, and no event fires again and again
without need."""

import asyncio
import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import BINARY, CLOSE
from nginx import CONFIGURATION, Nginx, methods
from peer import answer, request
from tap import equal, run, test
from traffic import flood, next_close

LISTEN = CONFIGURATION.replace("127.0.0.1:PORT", "127.0.0.1:PORT sndbuf=8k")
# a 101 that is larger than any socket buffer
LARGE = "proxy_buffer_size 1m; proxy_buffers 8 1m; proxy_busy_buffers_size 2m;"
HEADERS = [f"X-Large-{number}: {'h' * 8000}" for number in range(60)]


def with_each_method(**parts):
    """Registers a test for each event method, each with its own nginx."""
    def add(function):
        async def one(how):
            async with Nginx(**parts, **how) as nginx:
                await function(nginx)
        for method, how in methods().items():
            def bound(how=how):
                return one(how)
            bound.__name__ = f"{function.__name__}_with_{method}"
            test(bound)
    return add


@with_each_method(http="websocket_ping off;")
async def a_burst_and_silence(nginx):
    client, destination = await nginx.tunnel("/burst")
    message = destination.encode(BINARY, bytes(8 << 20))
    sending = asyncio.create_task(destination.send(message))
    await asyncio.sleep(0.3)
    await client.exactly(len(message))
    await sending
    await nginx.is_idle()
    await nginx.talk(client, destination)


@with_each_method(configuration=LISTEN, location=LARGE, http="websocket_ping off;",
                  respond=lambda head: answer(head, HEADERS))
async def a_client_that_talks_and_does_not_read_the_101(nginx):
    client = await nginx.connect(receive_buffer=4096)
    await client.send(request("/talks"))
    destination = await nginx.destination.peer("/talks")
    early = [client.encode(BINARY, b"early"), destination.encode(BINARY, b"early")]
    await client.send(early[0])
    await destination.send(early[1])
    await nginx.is_idle()
    await client.until_head()
    equal(await client.exactly(len(early[1])), early[1])
    equal(await destination.exactly(len(early[0])), early[0])
    await nginx.is_idle()


@with_each_method(http="websocket_ping off; websocket_send_timeout 500ms;", configuration=LISTEN)
async def a_client_that_is_waited_for_after_its_tunnel(nginx):
    client, destination = await nginx.tunnel("/waited", receive_buffer=4096)
    # neither end reads, so both have bytes to be written and bytes unread
    floods = [asyncio.create_task(flood(end)) for end in (client, destination)]
    equal((await nginx.end_of("/waited"))["close_reason"][-13:], "_send_timeout")
    for task in floods:
        task.cancel()
    # the socket is writable again, and there are no bytes to write
    await client.rest()
    await nginx.is_idle()


@with_each_method(http="websocket_ping off; websocket_max_age 300ms jitter=0%; "
                       "websocket_drain 0 grace=100ms handshake=8s;")
async def an_end_that_closes_before_the_other_has_answered(nginx):
    for end in (0, 1):
        ends = await nginx.tunnel(f"/closes/{end}")
        equal((await next_close(ends[0])).code, 1001)
        if end:
            await ends[0].frame(CLOSE, frames.close(1001))
            equal((await next_close(ends[1])).code, 1001)
        ends[1 - end].finish()
        await nginx.is_idle()
        for peer in ends:
            peer.close()


run(limit=120)
