#!/usr/bin/python3
"""elb_drain_file: while the file exists, readiness checks get a 503, and all else works as before.
nginx warns at start if a stop takes longer than it may."""

import asyncio
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx, is_running
from tap import equal, run, test, until

DRAIN = "elb_drain_file FOLDER/drain; elb_ready /ready; elb_ping /ping;"


async def ask(nginx, path="/ready"):
    """The status and the body of the response to a readiness check, on a new connection."""
    peer = await nginx.connect()
    await peer.send(f"GET {path} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n".encode())
    return await answer_of(peer)


async def answer_of(peer):
    await peer.until_head()
    body = (await peer.rest()).decode()
    peer.close()
    return peer.status, body


async def becomes(nginx, expected, timeout=10):
    """Waits until a readiness check gets another response."""
    end = asyncio.get_running_loop().time() + timeout
    while (answer := await ask(nginx)) != expected:
        if asyncio.get_running_loop().time() > end:
            equal(answer, expected, "the answer")
        await asyncio.sleep(0.05)


@test
async def the_file_takes_it_out_and_back():
    async with Nginx(http=DRAIN, level="notice") as nginx:
        file = nginx.folder / "drain"
        ends = await nginx.tunnel("/before")
        equal(await ask(nginx), (200, "ok"))
        file.touch()
        await becomes(nginx, (503, "draining"))
        equal(await ask(nginx, "/ping"), (200, "ok"), "elb_ping, which was not asked")
        await nginx.talk(*ends, b"still here")
        await nginx.talk(*await nginx.tunnel("/while"), b"and still taken")
        file.unlink()
        await becomes(nginx, (200, "ok"))
        told = [line for line in nginx.messages() if "draining" in line]
        equal([re.search(r"\[(\w+)\].*? ((?:no longer )?draining): ", line).groups()
               for line in told], [("notice", "draining"), ("notice", "no longer draining")])


@test
async def every_worker_sees_it():
    async with Nginx(http=DRAIN, workers=3) as nginx:
        (nginx.folder / "drain").touch()
        await becomes(nginx, (503, "draining"))
        # by then no worker relies on an earlier look at the file
        await asyncio.sleep(1.2)
        equal({await ask(nginx) for _ in range(30)}, {(503, "draining")})


@test
async def a_folder_will_do_and_a_link_to_nothing_will_not():
    async with Nginx(http=DRAIN) as nginx:
        file = nginx.folder / "drain"
        file.symlink_to("nowhere")
        await asyncio.sleep(1.2)
        equal(await ask(nginx), (200, "ok"))
        file.unlink()
        file.mkdir()
        await becomes(nginx, (503, "draining"))


@test
async def a_file_that_cannot_be_looked_for_is_told_once():
    http = "elb_drain_file FOLDER/nginx.pid/drain; elb_ready /ready;"
    async with Nginx(http=http) as nginx:
        equal(await ask(nginx), (200, "ok"))
        await asyncio.sleep(1.2)
        equal(await ask(nginx), (200, "ok"))
        told = [line for line in nginx.messages() if "cannot check drain file" in line]
        equal(len(told), 1, "how often it is told")
        assert f'"{nginx.folder}/nginx.pid/drain": Not a directory' in told[0], told[0]


@test
async def a_worker_that_stops_is_draining():
    async with Nginx(http="elb_ready /ready; websocket_drain 0;") as nginx:
        peer = await nginx.connect()
        # nginx does not close a connection with a request under way
        await peer.send(b"GET /ready HTTP/1.1\r\nHost: app.")
        await asyncio.sleep(0.3)
        nginx.signal("QUIT")
        await nginx.are_leaving(nginx.workers())
        await peer.send(b"example\r\n\r\n")
        equal(await answer_of(peer), (503, "draining"))
        await nginx.has_ended()


@test
async def a_worker_that_a_reload_leaves_is_not():
    async with Nginx(http="elb_ready /ready;") as nginx:
        peer = await nginx.connect()
        await peer.send(b"GET /ready HTTP/1.1\r\nHost: app.")
        await asyncio.sleep(0.3)
        old = await nginx.reload()
        await peer.send(b"example\r\n\r\n")
        equal(await answer_of(peer), (200, "ok"))
        await until(lambda: not is_running(old[0]), what="the old worker is still there")


@test
async def a_reload_names_another_file():
    async with Nginx(http=DRAIN) as nginx:
        (nginx.folder / "drain").touch()
        await becomes(nginx, (503, "draining"))
        await nginx.reload(http=DRAIN.replace("drain;", "other;"))
        equal(await ask(nginx), (200, "ok"))
        (nginx.folder / "other").touch()
        await becomes(nginx, (503, "draining"))


@test
async def a_single_process_is_drained_as_well():
    async with Nginx(http=DRAIN, main="master_process off;") as nginx:
        equal(await ask(nginx), (200, "ok"))
        (nginx.folder / "drain").touch()
        await becomes(nginx, (503, "draining"))


def warnings(nginx, http, location="", server=""):
    nginx.configure(http=http, location=location, server=server)
    return [line for line in nginx.check().splitlines() if "a stop takes up to" in line]


@test
async def a_stop_that_takes_too_long_is_warned_of():
    async with Nginx() as nginx:
        told = warnings(nginx, "elb_drain_file /tmp/drain delay=2s stop_timeout=10s;")
        equal(len(told), 1, "warnings")
        message = (
            'a stop takes up to 10s (delay of 2s + 5s of "websocket_drain" + its grace of 1s and '
            "handshake of 2s), but what is left after stop_timeout=10s is killed: raise "
            "stop_timeout (STOP_TIMEOUT), and the platform's own with it, above 10s in "
            f"{nginx.folder}/nginx.conf:")
        assert "[warn]" in told[0] and message in told[0], told[0]
        number = int(told[0].rsplit(":", 1)[1])
        line = (nginx.folder / "nginx.conf").read_text().splitlines()[number - 1]
        assert "elb_drain_file" in line, f"it names the line {line!r}"


@test
async def the_warning_names_what_takes_so_long():
    async with Nginx() as nginx:
        told = warnings(nginx, "elb_drain_file /tmp/drain delay=2s stop_timeout=10s;"
                               "elb_shutdown_timeout 9s;")
        equal(len(told), 1, "warnings")
        assert 'takes up to 11s (delay of 2s + 9s of "elb_shutdown_timeout"), but' in told[0], told


@test
async def the_sum_is_that_of_the_longest_drain():
    drain_file = "elb_drain_file /tmp/drain"
    cases = [
        # http, location, the duration in the warning, or None for no warning
        (f"{drain_file};", "", None),
        (f"{drain_file} delay=1h;", "", None),
        (f"{drain_file} stop_timeout=9s;", "", None),
        (f"{drain_file} stop_timeout=8001ms;", "", None),
        (f"{drain_file} stop_timeout=8s;", "", "8s"),
        (f"{drain_file} stop_timeout=8;", "", "8s"),
        (f"{drain_file} delay=1m stop_timeout=68s;", "", "68s"),
        (f"{drain_file} delay=1m stop_timeout=69s;", "", None),
        # websocket_drain counts wherever it stands
        (f"websocket_drain 20s; {drain_file} stop_timeout=10s;", "", "23s"),
        (f"{drain_file} stop_timeout=10s; websocket_drain 20s;", "", "23s"),
        (f"{drain_file} stop_timeout=10s;", "websocket_drain 500ms grace=20s handshake=1s;",
         "21500ms"),
        (f"{drain_file} stop_timeout=10s; websocket_drain 20s;", "websocket_drain 1s;", "23s"),
        # the longer of the two counts
        (f"{drain_file} stop_timeout=10s; elb_shutdown_timeout 8s;", "", None),
        (f"{drain_file} stop_timeout=10s; elb_shutdown_timeout 10s;", "", "10s"),
        (f"elb_shutdown_timeout 1m reload=1h; {drain_file} delay=2s stop_timeout=62s;", "", "62s"),
        (f"{drain_file} stop_timeout=8s; elb_shutdown_timeout 7s;", "", "8s"),
        (f"{drain_file} stop_timeout=10s; elb_shutdown_timeout off reload=1h;", "", None),
        (f"{drain_file} stop_timeout=10s; elb_shutdown_timeout 9s; websocket_drain off;", "", None),
        (f"{drain_file} stop_timeout=9s; elb_shutdown_timeout 9s; websocket_drain off;", "", "9s"),
        # without a drain, only the delay counts
        (f"{drain_file} delay=9s stop_timeout=10s; websocket_drain off;", "", None),
        (f"{drain_file} delay=10s stop_timeout=10s; websocket_drain off;", "", "10s"),
    ]
    async with Nginx() as nginx:
        for http, location, expected in cases:
            told = warnings(nginx, http, location)
            sums = [re.search(r"takes up to (\w+) ", line)[1] for line in told]
            equal(sums, [expected] if expected else [], f"sums of {http} {location}")
        told = warnings(nginx, f"{drain_file} stop_timeout=10s; websocket_drain 20s;",
                        "websocket_tunnel off;", "websocket_tunnel off;")
        equal(told, [], "where there are no tunnels")


@test
async def a_reload_warns_as_well():
    async with Nginx() as nginx:
        await nginx.reload(http="elb_drain_file FOLDER/drain stop_timeout=3s;")
        told = [line for line in nginx.messages() if "a stop takes up to 8s" in line]
        equal(len(told), 1, "warnings")


run(limit=120)
