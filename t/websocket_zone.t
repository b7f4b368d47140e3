#!/usr/bin/python3
"""websocket_zone: counters include everything that clients and destinations did in any worker,
through reloads, and after workers were killed."""

import asyncio
import os
import signal
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from nginx import Nginx
from peer import answer, request
from status import HTTP, SERVER, closed, fetch, nonzero, status, until_status
from tap import between, equal, run, test, until


def zoned(http="", server="", **how):
    return Nginx(http=HTTP + http, server=SERVER + server, **how)


async def settled(nginx, active=0):
    """The snapshot once this many WebSockets are open."""
    return await until_status(nginx.port, lambda told: told["websockets"]["active"] == active,
                              f"not {active} WebSockets")


def balance(told):
    """Each WebSocket that was opened is still open or has ended."""
    sockets = told["websockets"]
    equal(sockets["opened"], sockets["active"] + sum(closed(told).values()), "opened")
    equal(sockets["active"], sum(worker["active"] for worker in told["workers"]), "active")


def close(code):
    return struct.pack("!H", code)


async def ends(peer, other, code=None):
    """A closing handshake that `peer` starts."""
    await peer.frame(frames.CLOSE, b"" if code is None else close(code))
    await other.next()
    await other.frame(frames.CLOSE, b"" if code is None else close(code))
    await peer.next()


@test
async def everything_is_counted_exactly_over_several_workers():
    async with zoned(workers=3) as nginx:
        # a worker process may exist before it has registered
        told = await until_status(nginx.port, lambda told: len(told["workers"]) == 3, "workers")
        equal(told["websockets"]["opened"], 0, "opened at first")
        pairs = [await nginx.tunnel(f"/{number}") for number in range(30)]
        for number, (client, destination) in enumerate(pairs):
            await client.frame(frames.TEXT, b"x" * number)
            await destination.next()
            await destination.frame(frames.BINARY, b"y" * 200, fin=False)
            await destination.frame(frames.CONTINUATION, b"z" * 10)
            await destination.frame(frames.PING, b"hi")
            for _ in range(3):
                await client.next()
            await client.frame(frames.PONG, b"hi")
            await destination.next()
        told = await settled(nginx, 30)
        balance(told)
        equal(sum(worker["active"] > 0 for worker in told["workers"]) > 1, True, "workers at work")

        for number, (client, destination) in enumerate(pairs):
            if number < 10:
                await ends(client, destination, 1000)
            elif number < 15:
                await ends(destination, client, 4001)
            elif number < 20:
                await ends(destination, client)
            elif number < 22:
                await ends(client, destination, 3000)
            elif number < 25:
                client.reset()
            else:
                client.close()
        told = await settled(nginx)
        balance(told)
        sockets = told["websockets"]
        by = closed(told)
        # nginx notices a reset by a read, or by a write if that comes first
        equal(by.pop("client none", 0) + by.pop("client_error none", 0), 8, "without a Close")
        equal(by, {"client 1000": 10, "client 3xxx": 2, "destination 4xxx": 5,
                   "destination none": 5})
        client, destination = sockets["client"], sockets["destination"]
        equal(nonzero(client["frames"]), {"text": 30, "close": 22, "pong": 30})
        equal(nonzero(client["bytes"]),
              {"text": sum(range(30)), "close": 34, "pong": 60})
        equal(nonzero(destination["frames"]),
              {"binary": 30, "continuation": 30, "close": 22, "ping": 30})
        equal(nonzero(destination["bytes"]),
              {"binary": 6000, "continuation": 300, "close": 34, "ping": 60})
        equal((client["messages"], destination["messages"]), (30, 30), "messages")
        equal((sockets["duration_seconds"]["count"], sockets["handshake_seconds"]["count"]),
              (30, 30), "histograms")
        equal((sockets["refused"], sockets["left_to_nginx"], sockets["passthrough"],
               sockets["buffered_bytes"]), (0, 0, 0, 0))


@test
async def pings_and_pongs():
    async with zoned(location="websocket_ping 1s; websocket_pong_timeout 4s;") as nginx:
        client, destination = await nginx.tunnel("/answers")
        for peer in (client, destination):
            ping = await peer.next()
            await peer.frame(frames.PONG, ping.payload)
        told = await until_status(
            nginx.port, lambda told: told["websockets"]["destination"]["pongs"] == 1, "no Pong")
        equal(told["websockets"]["client"]["pongs"], 1, "Pongs of the client")
        # finally no WebSocket is open
        told = await settled(nginx)
        balance(told)
        missed = [told["websockets"][end]["pongs_missed"] for end in ("client", "destination")]
        equal(sum(missed), 1, "missed")
        equal(sum(count for by, count in closed(told).items() if by.startswith("dead_")), 1)
        pings = [told["websockets"][end]["pings"] for end in ("client", "destination")]
        between(3, sum(pings), 4, "Pings")


@test
async def refused_left_and_passthrough():
    def respond(head):
        if b"GET /refuse" in head:
            return b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
        return answer(head)

    server = """
        location = /limited { proxy_pass http://DESTINATION; websocket_limit_conn all 1; }
        location = /gone { proxy_pass http://127.0.0.1:1; }
        location = /redirect { elb_redirect https; }
        elb_ping /ping;
    """
    async with zoned(server=server, respond=respond, asks_for="refused") as nginx:
        equal((await nginx.client("/refuse")).status, 403)
        equal((await nginx.client("/gone")).status, 502)
        client, destination = await nginx.tunnel("/limited")
        equal((await nginx.client("/limited")).status, 503)
        bad, other = await nginx.tunnel("/passthrough")
        await bad.send(b"\xff" * 100)
        await other.exactly(100)
        keyless = await nginx.connect()
        await keyless.send(request("/key", key=False))
        await keyless.until_head()
        equal(keyless.status, 101)
        for _ in range(3):
            equal((await fetch(nginx.port, "/ping"))[2], "ok")
        plain = await nginx.connect()
        await plain.send(b"GET /redirect HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        await plain.until_head()
        equal(plain.status, 301)
        told = await status(nginx.port)
        sockets = told["websockets"]
        equal({one["label"]: one["count"] for one in sockets["refused_by_reason"]},
              {"destination": 1, "unreachable": 1, "limit": 1})
        equal({one["label"]: one["count"] for one in sockets["left_by_reason"]},
              {"not_websocket": 1, "not_of_its_own": 0, "busy": 0, "unexplained": 0})
        equal((sockets["refused"], sockets["left_to_nginx"], sockets["passthrough"],
               sockets["opened"], sockets["active"]), (3, 1, 1, 2, 2))
        equal((told["health_checks"], told["redirects"]), (3, 1))


@test
async def bytes_that_wait_are_held_and_given_back():
    size = 8_000_000
    async with zoned(receive_buffer=4096) as nginx:
        client, destination = await nginx.tunnel("/slow")

        def begin():
            """Sends more than the socket buffers hold."""
            return asyncio.ensure_future(
                client.frame(frames.BINARY, bytes(size), mask=bytes(4)))

        sending = begin()
        await until_status(nginx.port, lambda told: told["websockets"]["buffered_bytes"] > 0,
                           "nothing waits")
        await destination.exactly(size + 14, timeout=30)
        await sending
        await until_status(nginx.port, lambda told: told["websockets"]["buffered_bytes"] == 0,
                           "something is left")
        sending = begin()
        await until_status(nginx.port, lambda told: told["websockets"]["buffered_bytes"] > 0,
                           "nothing waits again")
        sending.cancel()
        client.reset()
        destination.reset()
        told = await settled(nginx)
        equal(told["websockets"]["buffered_bytes"], 0, "after the end")


@test
async def a_reload_keeps_counts_and_tells_who_is_leaving():
    async with zoned(workers=2, http="websocket_drain 1s reload=60s;") as nginx:
        old = [await nginx.tunnel(f"/old/{number}") for number in range(6)]
        await nginx.talk(*old[0])
        started = (await status(nginx.port))["started"]
        before = await nginx.reload()
        told = await settled(nginx, 6)
        equal((told["generation"], told["started"]), (2, started), "generation and start")
        held = {worker["pid"]: worker for worker in told["workers"]}
        for pid in before:
            if pid in held:
                equal((held[pid]["draining"], held[pid]["generation"]), (True, 1))
        fresh = [worker for pid, worker in held.items() if pid not in before]
        equal([(worker["draining"], worker["generation"]) for worker in fresh], [(False, 2)] * 2)
        new = [await nginx.tunnel(f"/new/{number}") for number in range(4)]
        await nginx.talk(*old[1])
        told = await settled(nginx, 10)
        balance(told)
        equal((told["websockets"]["opened"], told["websockets"]["client"]["messages"]), (10, 2))
        for client, _ in old:
            client.close()
        told = await settled(nginx, 4)
        await until(lambda: not set(before) & set(nginx.workers()), what="old workers stay")
        told = await status(nginx.port)
        balance(told)
        equal(len(told["workers"]), 2, "workers after the drain")
        equal(told["websockets"]["opened"], 10, "opened")
        for client, _ in new:
            client.close()
        await settled(nginx)


@test
async def a_killed_worker_holds_nothing_and_its_counts_stay():
    asks_for = r"exited on signal 9"
    async with zoned(workers=2, asks_for=asks_for) as nginx:
        pairs = [await nginx.tunnel(f"/{number}") for number in range(12)]
        for pair in pairs:
            await nginx.talk(*pair)
        victim = max((await status(nginx.port))["workers"], key=lambda one: one["active"])
        between(1, victim["active"], 12, "of the victim")
        os.kill(victim["pid"], signal.SIGKILL)
        left = 12 - victim["active"]
        told = await settled(nginx, left)
        balance(told)
        equal(closed(told), {"worker_lost none": victim["active"]})
        equal(told["websockets"]["client"]["messages"], 12, "messages")
        # the new worker takes the slot of the old one, or another slot
        told = await until_status(nginx.port, lambda told: len(told["workers"]) == 2, "no successor")
        balance(told)
        equal(victim["pid"] in [worker["pid"] for worker in told["workers"]], False)
        equal((told["websockets"]["opened"], told["websockets"]["active"]), (12, left))
        for number in range(5):
            client, destination = await nginx.tunnel(f"/again/{number}")
            await nginx.talk(client, destination)
        told = await settled(nginx, left + 5)
        balance(told)
        equal(told["websockets"]["client"]["messages"], 17, "messages")


@test
async def so_does_one_that_is_killed_while_it_drains():
    async with zoned(http="websocket_drain 60s reload=60s;", asks_for=r"exited on signal 9") as nginx:
        for number in range(5):
            await nginx.tunnel(f"/{number}")
        [old] = await nginx.reload()
        await nginx.tunnel("/new")
        told = await settled(nginx, 6)
        balance(told)
        os.kill(old, signal.SIGKILL)
        told = await settled(nginx, 1)
        balance(told)
        equal(closed(told), {"worker_lost none": 5})
        equal([worker["generation"] for worker in told["workers"]], [2])


@test
async def reloads_do_not_run_out_of_slots():
    async with zoned(workers=2) as nginx:
        for number in range(25):
            client, destination = await nginx.tunnel(f"/{number}")
            await ends(client, destination, 1000)
            await nginx.reload()
        told = await settled(nginx)
        equal((told["generation"], told["websockets"]["opened"]), (26, 25))
        equal([line for line in nginx.messages() if "has no room" in line], [])


@test
async def without_a_master_or_when_the_zone_is_gone():
    async with zoned(main="master_process off;") as nginx:
        client, destination = await nginx.tunnel("/")
        await nginx.talk(client, destination)
        told = await status(nginx.port)
        balance(told)
        equal((told["websockets"]["active"], len(told["workers"])), (1, 1))
        client.close()
        await settled(nginx)


@test
async def a_zone_too_small_for_all_says_so():
    async with Nginx(http="websocket_zone small:64k;", server=SERVER, workers=40) as nginx:
        await until(lambda: any("has no room for this process" in line
                                for line in nginx.messages()), what="no word of it")
        between(15, len((await status(nginx.port))["workers"]), 39, "workers with a slot")


# one after the other, because some tests keep the machine busy
run(together=False)
