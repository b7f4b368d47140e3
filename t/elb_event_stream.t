#!/usr/bin/python3
"""Server-sent events: each event passes at once, however the response ends."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx
from tap import equal, run, test

CHUNKED = "Transfer-Encoding: chunked"
LONG = "Content-Length: 1000"
CLOSE = "Connection: close"


def answering(*headers):
    """A destination that sends the head of a response; the test sends the rest."""
    head = "\r\n".join(["HTTP/1.1 200 OK", *headers, "", ""]).encode()
    return lambda _: head


async def begin(nginx, path="/events"):
    """Begins a request; returns its client and its destination."""
    client = await nginx.connect()
    await client.send(
        f"GET {path} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n".encode())
    return client, await nginx.destination.peer(path)


async def passes(client, destination, chunked):
    """Whether two events arrive, each before the test sends anything else."""
    for event in (b"data: one\n\n", b"data: two\n\n"):
        await destination.send(b"%x\r\n%b\r\n" % (len(event), event) if chunked else event)
        if await client.is_silent(0.7):
            return False
        while event not in client.buffer:
            assert await client.receive(), f"the end of the stream after {client.buffer!r}"
        client.buffer.clear()
    return True


@test
async def an_event_comes_when_it_is_sent():
    for name in ("text/event-stream", "Text/Event-Stream; charset=utf-8", "text/event-stream;x=y"):
        for length in (CHUNKED, LONG, CLOSE):
            async with Nginx(respond=answering(f"Content-Type: {name}", length)) as nginx:
                client, destination = await begin(nginx)
                assert await client.until_head(), "no head"
                equal(client.status, 200)
                assert await passes(client, destination, length == CHUNKED), f"{name}, {length}"
                destination.close()
                await client.until_gone()


@test
async def the_rest_comes_with_the_end_of_the_connection():
    respond = answering("Content-Type: text/event-stream", CLOSE)
    async with Nginx(respond=respond) as nginx:
        client, destination = await begin(nginx)
        await client.until_head()
        await destination.send(b"data: last")
        destination.close()
        assert (await client.rest()).startswith(b"a\r\ndata: last\r\n0\r\n"), "the last bytes"


@test
async def it_passes_whatever_the_configuration_or_the_destination_asks_for():
    respond = answering("Content-Type: text/event-stream", "X-Accel-Buffering: yes", CLOSE)
    async with Nginx(http="proxy_buffering on; gzip on; gzip_types text/event-stream;",
                     respond=respond) as nginx:
        client, destination = await begin(nginx)
        await client.until_head()
        assert await passes(client, destination, False), "it is buffered"


@test
async def it_is_neither_cached_nor_stored():
    cache = """proxy_cache_path FOLDER/cache keys_zone=cache:1m; proxy_cache cache;
               proxy_cache_valid 200 1h;"""
    for http in (cache, "proxy_store FOLDER/stored;"):
        respond = answering("Content-Type: text/event-stream", CLOSE)
        # without a master: Nginx would take the processes that manage the cache for workers
        async with Nginx(http=http, respond=respond, main="master_process off;") as nginx:
            for path in ("/one", "/two"):
                client, destination = await begin(nginx, path)
                await client.until_head()
                assert await passes(client, destination, False), "it is buffered"
                destination.close()
                await client.until_gone()
            kept = [path for name in ("cache", "stored")
                    for path in (nginx.folder / name).rglob("*") if path.is_file()]
            equal(kept, [], "what is kept of it")


@test
async def a_head_alone_ends_the_request():
    respond = answering("Content-Type: text/event-stream", CHUNKED)
    async with Nginx(respond=respond) as nginx:
        client = await nginx.connect()
        await client.send(b"HEAD /head HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n")
        await client.until_head()
        equal(client.status, 200)
        equal(await client.rest(), b"")


@test
async def other_answers_are_buffered_as_ever():
    async with Nginx(respond=answering("Content-Type: text/plain", CLOSE)) as nginx:
        client, destination = await begin(nginx)
        assert not await passes(client, destination, False), "it is not buffered"
        destination.close()
        assert b"data: one" in await client.rest(), "it is lost"


run(limit=60)
