#!/usr/bin/python3
"""A slow reader in front of a fast sender costs the worker little memory, and gets every byte."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import BINARY
from nginx import Nginx
from tap import equal, run, test, until

TUNNELS = 8
# more than all kernel buffers between the ends
SIZE = 24 << 20


async def slow_readers(nginx, tunnels, by_client):
    """Sends many bytes through tunnels with slow readers, watching memory; then reads all bytes."""
    before = nginx.memory()
    message = frames.encode(BINARY, os.urandom(SIZE), mask=None if by_client else b"mask")
    sending = []
    for client, destination in tunnels:
        sender = destination if by_client else client
        sending.append(asyncio.create_task(sender.send(message)))
    readers = [client if by_client else destination for client, destination in tunnels]
    most = 0
    for _ in range(20):
        # 10 kB/s
        await asyncio.gather(*(reader.receive(2000) for reader in readers))
        await asyncio.sleep(0.2)
        most = max(most, nginx.memory() - before)
    equal([line["close_reason"] for line in nginx.ended()], [], "tunnels that ended")
    assert not any(task.done() for task in sending), "nobody had to wait"
    # the 128 kB that the worker reads at once for each tunnel, and memory that malloc keeps
    assert most < TUNNELS * 300_000 + 2_000_000, f"the worker took {most} bytes more"
    for reader, task in zip(readers, sending):
        assert await reader.exactly(len(message)) == message, "the message has changed"
        await task
    await until(lambda: nginx.memory() - before < 4_000_000, what="the memory is not given back")


@test
async def slow_clients():
    async with Nginx(http="websocket_ping off;") as nginx:
        tunnels = [await nginx.tunnel(f"/{number}", receive_buffer=4096)
                   for number in range(TUNNELS)]
        await slow_readers(nginx, tunnels, by_client=True)


@test
async def slow_destinations():
    async with Nginx(http="websocket_ping off;", receive_buffer=4096) as nginx:
        tunnels = [await nginx.tunnel(f"/{number}") for number in range(TUNNELS)]
        await slow_readers(nginx, tunnels, by_client=False)


@test
async def both_at_once_do_not_lock_each_other():
    async with Nginx() as nginx:
        client, destination = await nginx.tunnel("/both", receive_buffer=4096)
        ends = [(client, destination), (destination, client)]
        # both ends send until the buffers are full, and read only then
        sent = [sender.encode(BINARY, os.urandom(SIZE)) for sender, _ in ends]
        sending = [asyncio.create_task(sender.send(data)) for (sender, _), data in zip(ends, sent)]
        await asyncio.sleep(1)
        got = await asyncio.gather(*(reader.exactly(SIZE) for _, reader in ends))
        rest = await asyncio.gather(*(reader.exactly(len(data) - SIZE)
                                      for (_, reader), data in zip(ends, sent)))
        assert [a + b for a, b in zip(got, rest)] == sent, "the messages have changed"
        await asyncio.gather(*sending)


run()
