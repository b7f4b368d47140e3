#!/usr/bin/python3
"""websocket_tunnel: streams that are not valid WebSocket frames pass as well."""

import asyncio
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import BINARY, PING, TEXT
from nginx import Nginx
from tap import equal, run, test

GARBAGE = {
    "text": b"GET / HTTP/1.1\r\nHost: smuggled\r\n\r\n" * 40,
    "zeros": b"\0" * 5000,
    "ones": b"\xff" * 5000,
    # always the same bytes: one in twenty random streams begins like a Close of one of the ends
    "random": random.Random(1).randbytes(20000),
    "wrong masking": frames.encode(TEXT, b"no mask") * 3,
    "a long control frame": frames.encode(PING, b"x" * 200, mask=b"mask"),
    "a control frame in pieces": frames.encode(PING, b"x", fin=False, mask=b"mask"),
    "a length of 63 bits": bytes([0x82, 0xFF]) + b"\xff" * 8 + b"mask" + b"rest",
    "a continuation of nothing": frames.encode(0, b"x", mask=b"mask") * 2,
}


@test
async def garbage_passes_both_ways(nginx):
    for number, (what, data) in enumerate(GARBAGE.items()):
        path = f"/garbage/{number}"
        client, destination = await nginx.tunnel(path)
        before = client.encode(TEXT, b"a good frame")
        await client.send(before + data)
        equal(await destination.exactly(len(before + data)), before + data, what)
        await destination.send(data)
        equal(await client.exactly(len(data)), data, f"{what}, back")
        client.close()
        equal((await nginx.end_of(path))["close_reason"], "client", what)


@test
async def unknown_opcodes_and_extension_bits_pass(nginx):
    client, destination = await nginx.tunnel("/opcodes")
    for sender, receiver in [(client, destination), (destination, client)]:
        data = b"".join(sender.encode(opcode, b"%d" % opcode, rsv=rsv)
                        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15) for rsv in range(8))
        await sender.send(data)
        equal(await receiver.exactly(len(data)), data)
    client.close()


@test
async def nothing_is_put_into_what_cannot_be_followed(nginx):
    async with Nginx(location="websocket_ping 1s; websocket_pong_timeout 1s;") as pinging:
        client, destination = await pinging.tunnel("/quiet")
        await client.send(b"\xff" * 100)
        await destination.exactly(100)
        quiet = await asyncio.gather(client.is_silent(4), destination.is_silent(4))
        equal(quiet, [True, True], "silence of both ends")
        await destination.send(b"still passes")
        equal(await client.exactly(12), b"still passes")
        client.close()
        line = await pinging.end_of("/quiet")
        equal((line["passthrough"], line["close_reason"], line["pings"]), (True, "client", 0))


@test
async def one_side_can_be_followed_and_the_other_not(nginx):
    client, destination = await nginx.tunnel("/one")
    await client.send(b"\xff" * 100)
    await destination.frame(BINARY, b"fine" * 5000)
    equal((await client.next()).payload, b"fine" * 5000)
    equal(await destination.exactly(100), b"\xff" * 100)
    client.close()


run(Nginx())
