#!/usr/bin/python3
"""A TLS destination may send session tickets at any time, also long after nginx has freed the
request to which a saved session would belong."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from frames import TEXT
from openssl import SecureNginx
from tap import equal, run, test


@test
async def tickets_in_a_tunnel(nginx):
    worker = nginx.worker
    client, destination = await nginx.tunnel("/tickets")
    for number in range(3):
        await destination.send_ticket()
        await destination.frame(TEXT, b"hi %d" % number)
        equal((await client.next()).payload, b"hi %d" % number)
    await nginx.talk(client, destination)
    equal(nginx.worker, worker, "the worker")


@test
async def sessions_are_still_reused(nginx):
    # with the tickets that came with the handshake
    await nginx.talk(*await nginx.tunnel("/first"))
    _, destination = await nginx.tunnel("/second")
    equal(destination.is_reused(), True, "the session")


run(SecureNginx(destinations=True), together=False)
