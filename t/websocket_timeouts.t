#!/usr/bin/python3
"""websocket_idle_timeout and websocket_send_timeout, which replace nginx's own timeouts."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from frames import BINARY, CLOSE, TEXT
from nginx import Nginx
from tap import between, equal, run, test
from traffic import answer_all, flood

SERVER = """
    location /idle/ {
        proxy_pass http://DESTINATION;
        websocket_ping 500ms;
        websocket_idle_timeout 2s;
    }
    location /send/ {
        proxy_pass http://DESTINATION;
        websocket_ping off;
        websocket_send_timeout 1s;
    }
    location /short/ {
        proxy_pass http://DESTINATION;
        proxy_read_timeout 1s;
        proxy_send_timeout 1s;
        websocket_ping off;
    }
"""


@test
async def an_idle_tunnel_is_closed_whatever_pongs_come(nginx):
    client, destination = await nginx.tunnel("/idle/both")
    await nginx.talk(client, destination)
    got = await asyncio.gather(answer_all(client), answer_all(destination))
    equal([[frame.code for frame in end] for end in got], [[1001], [1001]], "Closes of both ends")
    line = await nginx.end_of("/idle/both")
    equal((line["close_reason"], line["close_code"]), ("idle_timeout", 1001))
    between(1.9, line["duration"], 10, "seconds")
    assert line["pings"] > 0, "there were Pings meanwhile"


@test
async def a_busy_tunnel_is_not_idle(nginx):
    client, destination = await nginx.tunnel("/idle/busy")
    answers = asyncio.create_task(answer_all(destination))
    for _ in range(8):
        await client.frame(TEXT, b"busy")
        await asyncio.sleep(0.5)
    await client.frame(CLOSE)
    equal(len(await answers), 9, "frames at the destination")
    equal((await nginx.end_of("/idle/busy"))["close_reason"], "client")


@test
async def a_client_that_stops_reading(nginx):
    client, destination = await nginx.tunnel("/send/client", receive_buffer=4096)
    await flood(destination)
    equal((await nginx.end_of("/send/client"))["close_reason"], "client_send_timeout")


@test
async def a_destination_that_stops_reading(nginx):
    client, destination = await nginx.tunnel("/send/destination")
    await flood(client)
    equal((await nginx.end_of("/send/destination"))["close_reason"], "destination_send_timeout")


@test
async def a_slow_reader_is_not_one_that_stops(nginx):
    client, destination = await nginx.tunnel("/send/slow", receive_buffer=4096)
    message = destination.encode(BINARY, b"m" * 8_000_000)
    sending = asyncio.create_task(destination.send(message))
    for _ in range(12):
        await client.receive(20000)
        await asyncio.sleep(0.3)
    equal([line for line in nginx.ended() if line["uri"] == "/send/slow"], [], "its end")
    equal(len(await client.exactly(len(message))), len(message), "bytes")
    await sending
    client.close()


@test
async def times_of_ordinary_requests_do_not_hold(nginx):
    client, destination = await nginx.tunnel("/short/tunnel")
    await asyncio.sleep(3)
    await nginx.talk(client, destination)
    client.close()


@test
async def ordinary_requests_keep_them(nginx):
    async with Nginx(respond=lambda head: b"", server=SERVER) as other:
        equal((await other.client("/short/request")).status, 504)


run(Nginx(server=SERVER))
