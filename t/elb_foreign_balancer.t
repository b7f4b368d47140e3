#!/usr/bin/python3
"""An upstream block with a balancer of another module, which has its own structure for peers."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import status
from nginx import Nginx, version
from tap import equal, run, test

# a name that is neither in DNS nor in /etc/hosts
NAME = "app.invalid"
AT_START = f"host not found in upstream \"{NAME}:"


class Foreign(Nginx):
    """An nginx with one upstream block."""

    def __init__(self, block, host="127.0.0.1", **more):
        self.host = host
        super().__init__(
            http=f"upstream app {{ {block} }} {status.HTTP}", with_modules=["own_peers"],
            server="location /app/ { proxy_pass http://app; } elb_ready /ready;" + status.SERVER,
            **more)

    def _environment(self):
        return {**super()._environment(), "DESTINATION_HOSTNAME": self.host,
                "DESTINATION_PORT": str(self.destination.port)}

    def said(self, level):
        """The log messages about a balancer that is not one of nginx's own."""
        return [line.split(": ", 1)[1].split(" in /")[0].split(", client")[0]
                for line in self.messages()
                if f"[{level}]" in line and "not one of nginx's own" in line]


async def serves(nginx):
    """WebSockets, requests and the status work, whatever the block."""
    for number in range(2):
        client, destination = await nginx.tunnel(f"/app/{number}")
        await nginx.talk(client, destination)
        client.close()
        await nginx.end_of(f"/app/{number}")
    equal((await status.status(nginx.port))["destinations"], [], "destinations in the status")
    equal((await status.fetch(nginx.port, "/ready"))[0], 200, "readiness")


NOT_TOLD = ("destinations of upstream \"app\" are not in the status, and workers share nothing "
            "about them: its balancer is not one of nginx's own")
NO_EFFECT = "\"elb_check\" has no effect in upstream \"app\": its balancer is not one of nginx's own"

BLOCKS = {
    "alone": ("own_peers; server DESTINATION;", []),
    "behind keepalive": ("own_peers; server DESTINATION; keepalive 4;", []),
    "without checks": ("own_peers; server DESTINATION; keepalive 4; elb_check off;", []),
    "with checks": ("own_peers; server DESTINATION; elb_check 100ms;", [NO_EFFECT]),
    "with checks, behind keepalive": (
        "elb_check 100ms; own_peers; server DESTINATION; keepalive 4;", [NO_EFFECT]),
    "with destinations": ("own_peers; elb_destination;", [NOT_TOLD]),
    "with all of it": ("own_peers; keepalive 4; elb_destination; elb_check 100ms;",
                       [NOT_TOLD, NO_EFFECT]),
}


@test
async def nothing_is_taken_for_a_list_of_peers():
    for name, (block, warnings) in BLOCKS.items():
        async with Foreign(block) as nginx:
            await serves(nginx)
            equal(nginx.said("warn"), warnings, name)
            equal(len(nginx.said("notice")), 1, f"notices that WebSockets do not count: {name}")
            # long enough for some checks
            await asyncio.sleep(0.3 if "elb_check" in block else 0)
            await nginx.reload()
            await serves(nginx)


@test
async def names_are_looked_up_at_start():
    told_late = "must stand before \"elb_destination\""
    # in nginx before 1.29.7, keepalive hides the balancer that precedes it
    behind_keepalive = told_late if version() < (1, 29, 7) else AT_START
    for block, complaint in [
        ("own_peers; elb_destination;", AT_START),
        ("elb_destination; own_peers;", told_late),
        ("own_peers; keepalive 4; elb_destination;", behind_keepalive),
    ]:
        if version() < (1, 27, 3):
            # this version resolves names at start only
            complaint = AT_START
        async with Foreign("server DESTINATION;") as nginx:
            nginx.host = NAME
            nginx.configure(http=f"resolver 127.0.0.1:1; upstream app {{ {block} }} {status.HTTP}")
            found = nginx.check()
            assert complaint in found, f"{block} {found}"


run(limit=90, together=False)
