#!/usr/bin/python3
"""If a part of nginx still holds the request of an upgrade, the upgrade returns to nginx's copier,
with all bytes that the ends have sent meanwhile."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import TEXT
from nginx import CONFIGURATION, Nginx
from peer import answer, request
from tap import equal, run, test, until

GREETING = frames.encode(TEXT, b"greeting")
EARLY = frames.encode(TEXT, b"early", mask=b"mask")
# a 101 that is larger than any socket buffer
HEADERS = [f"X-Large-{number}: {'h' * 8000}" for number in range(60)]
LISTEN = CONFIGURATION.replace("127.0.0.1:PORT", "127.0.0.1:PORT sndbuf=8k")
SERVER = """
    location /at_once/ {
        proxy_pass http://DESTINATION;
        late_subrequest /beside;
    }
    location /meanwhile/ {
        proxy_pass http://DESTINATION;
        proxy_buffer_size 1m;
        proxy_buffers 8 1m;
        proxy_busy_buffers_size 2m;
        late_subrequest /beside 300ms;
    }
    location = /beside {
        internal;
        proxy_set_header Upgrade "";
        proxy_pass http://DESTINATION;
    }
"""


def respond(head):
    """No response to the subrequest, so that it continues; a 101 with a frame to a handshake."""
    if b" /beside " in head:
        return b""
    return answer(head, HEADERS if b" /meanwhile/" in head else []) + GREETING


async def is_given_back(nginx, path, client, destination):
    """Whether the early bytes of both ends arrive, and the ends can exchange messages."""
    equal(await client.exactly(len(GREETING), 3), GREETING, "what the destination said early")
    equal(await destination.exactly(len(EARLY), 3), EARLY, "what the client said early")
    await nginx.talk(client, destination)
    assert await until(lambda: [line for line in nginx.messages() if "not tunnelled: a subrequest "
                                "is under way" in line and path in line])
    client.close()
    await destination.rest()


@test
async def before_anything_has_moved(nginx):
    client, destination = await nginx.tunnel("/at_once/a", early=EARLY)
    await is_given_back(nginx, "/at_once/a", client, destination)


@test
async def while_the_client_has_not_taken_the_whole_101(nginx):
    client = await nginx.connect(receive_buffer=4096)
    await client.send(request("/meanwhile/a") + EARLY)
    destination = await nginx.destination.peer("/meanwhile/a")
    await asyncio.sleep(0.6)
    await client.until_head()
    equal((client.status, client.head.count(b"X-Large")), (101, len(HEADERS)))
    await is_given_back(nginx, "/meanwhile/a", client, destination)


run(Nginx(server=SERVER, configuration=LISTEN, respond=respond,
          with_modules=["late_subrequest"]))
