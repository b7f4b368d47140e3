#!/usr/bin/python3
"""elb_shutdown_timeout: ordinary requests that are still under way after this time are ended in a
stop or a reload; WebSockets have their own drain, and no worker waits without need."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from frames import TEXT
from nginx import Nginx, is_running
from peer import answer
from tap import between, equal, run, test
from traffic import answer_all

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def respond(head):
    """No response to a long poll, and the beginning of a stream to other requests."""
    if b"GET /poll" in head or b"POST" in head:
        return b""
    return answer(head) if b"\r\nUpgrade: websocket\r\n" in head else EVENTS


async def begin(nginx, path):
    """Begins a request; returns its client and its destination."""
    client = await nginx.connect()
    await client.send(f"GET {path} HTTP/1.1\r\nHost: app.example\r\n\r\n".encode())
    return client, await nginx.destination.peer(path)


async def events(client, destination):
    """Sends events until the stream ends; returns its duration."""
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def send():
        while True:
            await destination.send(b"data: x\n\n")
            await asyncio.sleep(0.1)
    sending = asyncio.create_task(send())
    await client.until_gone(60)
    sending.cancel()
    return loop.time() - start


def warnings(nginx):
    return [line.split(": ", 1)[1] for line in nginx.messages()
            if "[warn]" in line and "elb_shutdown_timeout" in line]


@test
async def a_stop_ends_what_takes_longer():
    http = "elb_shutdown_timeout 2s reload=60s;"
    async with Nginx(http=http, respond=respond) as nginx:
        stream, poll = await begin(nginx, "/events"), await begin(nginx, "/poll")
        await stream[0].until_head()
        nginx.signal("QUIT")
        between(1.8, await events(*stream), 8, "seconds of the stream")
        equal(await poll[0].rest(), b"", "what the poll got")
        equal(await nginx.has_ended(), 0, "status of nginx")
        equal(warnings(nginx), [
            '2 client connections with requests closed 2s after the stop: raise '
            '"elb_shutdown_timeout" if requests need longer'])


@test
async def a_request_that_is_done_in_time_is_not_touched():
    async with Nginx(http="elb_shutdown_timeout 30s;", respond=respond) as nginx:
        client, destination = await begin(nginx, "/poll")
        nginx.signal("QUIT")
        await nginx.are_leaving(nginx.workers())
        await asyncio.sleep(1)
        await destination.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        await client.until_head()
        equal((client.status, await client.rest()), (200, b"done"))
        equal(await nginx.has_ended(), 0, "status of nginx")
        equal(warnings(nginx), [])


@test
async def a_worker_without_requests_does_not_wait():
    async with Nginx(http="elb_shutdown_timeout 60s;", respond=respond, workers=2,
                     server="location /ok { return 204; }") as nginx:
        idle = await nginx.connect()
        await idle.send(b"GET /ok HTTP/1.1\r\nHost: app.example\r\n\r\n")
        await idle.until_head()
        nginx.signal("QUIT")
        equal(await nginx.has_ended(), 0, "status of nginx")
        await idle.until_gone()


@test
async def what_is_not_a_whole_request_ends_too():
    async with Nginx(http="elb_shutdown_timeout 1s;", respond=respond) as nginx:
        halves = [await nginx.connect() for _ in range(3)]
        await halves[0].send(b"GE")
        await halves[1].send(b"GET / HTTP/1.1\r\nHost: app.")
        await halves[2].send(b"POST /half HTTP/1.1\r\nHost: app.example\r\nContent-Length: 9\r\n\r\nx")
        await asyncio.sleep(0.3)
        nginx.signal("QUIT")
        await asyncio.gather(*(half.until_gone() for half in halves))
        equal(await nginx.has_ended(), 0, "status of nginx")


@test
async def a_download_that_nobody_reads_ends():
    async with Nginx(http="elb_shutdown_timeout 1s;", respond=respond) as nginx:
        (nginx.folder / "large").write_bytes(bytes(50_000_000))
        await nginx.reload(server="location /large { root FOLDER; }")
        client = await nginx.connect(receive_buffer=4096)
        await client.send(b"GET /large HTTP/1.1\r\nHost: app.example\r\n\r\n")
        await client.until_head()
        nginx.signal("QUIT")
        equal(await nginx.has_ended(), 0, "status of nginx")


@test
async def websockets_keep_their_own_drain():
    http = "elb_shutdown_timeout 1s; websocket_drain 4s;"
    async with Nginx(http=http, respond=respond) as nginx:
        ends = [await nginx.tunnel(f"/{number}") for number in range(8)]
        stream = await begin(nginx, "/events")
        await stream[0].until_head()
        nginx.signal("QUIT")
        closings = [asyncio.gather(*map(answer_all, pair)) for pair in ends]
        between(0.8, await events(*stream), 8, "seconds of the stream")
        await asyncio.gather(*closings)
        equal(await nginx.has_ended(12), 0, "status of nginx")
        equal({(line["close_reason"], line["close_code"]) for line in nginx.ended()},
              {("drain", 1001)})
        assert max(line["duration"] for line in nginx.ended()) > 1.5, "all were closed at once"


@test
async def a_tunnel_goes_on_while_requests_are_ended():
    http = "elb_shutdown_timeout 10m reload=1s; websocket_drain 0 reload=10m;"
    async with Nginx(http=http, respond=respond) as nginx:
        ends = await nginx.tunnel("/chat")
        stream = await begin(nginx, "/events")
        await stream[0].until_head()
        going = asyncio.create_task(events(*stream))
        old = await nginx.reload()
        between(0.8, await going, 8, "seconds of the stream")
        await nginx.talk(*ends)
        equal([is_running(pid) for pid in old], [True], "the old worker")
        equal(warnings(nginx), [
            '1 client connection with requests closed 1s after a reload: raise '
            '"elb_shutdown_timeout" if requests need longer'])


@test
async def a_stop_after_a_reload_does_not_wait_for_it():
    async with Nginx(http="elb_shutdown_timeout 1s reload=10m;", respond=respond) as nginx:
        stream = await begin(nginx, "/events")
        await stream[0].until_head()
        going = asyncio.create_task(events(*stream))
        await nginx.reload()
        await asyncio.sleep(1.5)
        assert not going.done(), "the reload ended it"
        nginx.signal("QUIT")
        await going
        equal(await nginx.has_ended(), 0, "status of nginx")


@test
async def an_upgrade_that_nginx_keeps_is_an_ordinary_request():
    http = "elb_shutdown_timeout 1s;"
    async with Nginx(http=http, location="websocket_tunnel off;", respond=respond) as nginx:
        client, destination = await nginx.tunnel("/left")
        nginx.signal("QUIT")
        await nginx.are_leaving(nginx.workers())
        await client.frame(TEXT, b"still here")
        equal((await destination.next()).payload, b"still here")
        await asyncio.gather(client.until_gone(), destination.until_gone())
        equal(await nginx.has_ended(), 0, "status of nginx")


@test
async def connections_of_stream_are_left():
    main = """stream { server { listen 127.0.0.1:OTHER; proxy_pass DESTINATION; } }"""
    async with Nginx(main=main, http="elb_shutdown_timeout 1s;", respond=respond) as nginx:
        nginx.port, http = nginx.other, nginx.port
        client, destination = await begin(nginx, "/events")
        nginx.port = http
        await client.until_head()
        nginx.signal("QUIT")
        await asyncio.sleep(2.5)
        await destination.send(b"data: x\n\n")
        assert await client.receive(), "it was closed"
        client.close()


@test
async def without_it_they_go_on():
    for http in ("", "elb_shutdown_timeout off reload=1s;"):
        async with Nginx(http=http, respond=respond) as nginx:
            client, destination = await begin(nginx, "/events")
            await client.until_head()
            nginx.signal("QUIT")
            await asyncio.sleep(2)
            await destination.send(b"data: x\n\n")
            assert await client.receive(), f"it was closed, with {http!r}"
            client.close()


async def a_stream_of_curl_ends(nginx, *words):
    curl = await asyncio.create_subprocess_exec("curl", "-sN", *words,
                                                stdout=asyncio.subprocess.PIPE)
    destination = await nginx.destination.peer("/events")
    await destination.send(b"data: x\n\n")
    equal(await curl.stdout.readline(), b"data: x\n")
    nginx.signal("QUIT")
    await asyncio.wait_for(curl.wait(), 10)
    equal(await nginx.has_ended(), 0, "status of nginx")


@test
async def a_stream_over_tls_ends():
    server = """listen 127.0.0.1:OTHER ssl; ssl_certificate FOLDER/cert.pem;
                ssl_certificate_key FOLDER/key.pem;"""
    async with Nginx(http="elb_shutdown_timeout 1s;", respond=respond) as nginx:
        nginx.make_certificate()
        await nginx.reload(server=server)
        url = f"https://127.0.0.1:{nginx.other}/events"
        await a_stream_of_curl_ends(nginx, "-k", "--http1.1", url)


@test
async def a_stream_over_http_2_ends():
    server = "listen 127.0.0.1:OTHER http2;"
    async with Nginx(http="elb_shutdown_timeout 1s;", server=server, respond=respond) as nginx:
        url = f"http://127.0.0.1:{nginx.other}/events"
        await a_stream_of_curl_ends(nginx, "--http2-prior-knowledge", url)


@test
async def a_fast_stop_waits_for_nothing():
    # in a fast stop, the master kills a worker that does not exit within a second
    async with Nginx(http="elb_shutdown_timeout 60s;", respond=respond, workers=2,
                     asks_for="exited on signal 9") as nginx:
        stream = await begin(nginx, "/events")
        await stream[0].until_head()
        nginx.signal("TERM")
        equal(await nginx.has_ended(), 0, "status of nginx")
        await stream[0].until_gone()


run(limit=120)
