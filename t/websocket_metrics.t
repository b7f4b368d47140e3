#!/usr/bin/python3
"""websocket_metrics and websocket_status: their output is valid, has the same numbers in every
format, and the format is the one that the client accepts."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import jsonschema
from nginx import ROOT, Nginx
from page import content_security_policy
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from status import HTTP, SERVER, fetch, status, until_status
from tap import equal, run, test

OPEN = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.2"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SCHEMA = json.loads((ROOT / "docs/status.schema.json").read_text())

# every number that is in both formats: family, labels, and its place in the JSON
SAME = [
    ("websocket_active", {}, lambda told: told["websockets"]["active"]),
    ("websocket_opened_total", {}, lambda told: told["websockets"]["opened"]),
    ("websocket_passthrough_total", {}, lambda told: told["websockets"]["passthrough"]),
    ("websocket_refused_total", {"reason": "destination"}, lambda told: told["websockets"]["refused"]),
    ("websocket_messages_total", {"from": "client"},
     lambda told: told["websockets"]["client"]["messages"]),
    ("websocket_frames_total", {"from": "destination", "kind": "text"},
     lambda told: told["websockets"]["destination"]["frames"]["text"]),
    ("websocket_payload_bytes_total", {"from": "client", "kind": "text"},
     lambda told: told["websockets"]["client"]["bytes"]["text"]),
    ("websocket_duration_seconds_count", {},
     lambda told: told["websockets"]["duration_seconds"]["count"]),
    ("websocket_handshake_seconds_sum", {},
     lambda told: told["websockets"]["handshake_seconds"]["sum"]),
    ("websocket_closed_total", {"reason": "client", "code": "none"},
     lambda told: told["websockets"]["closed"][0]["count"]),
    ("elb_generation", {}, lambda told: told["generation"]),
    ("elb_start_time_seconds", {}, lambda told: told["started"]),
]


def samples(text):
    """Samples of the text format, by name and labels."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()
            labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))
            found[name, frozenset(labels.items())] = float(value)
    return found


async def some_traffic(nginx):
    """Three WebSockets, one of them still open, and the snapshot."""
    pairs = [await nginx.tunnel(f"/{number}") for number in range(3)]
    for pair in pairs:
        await nginx.talk(*pair)
    for client, _ in pairs[1:]:
        client.close()
    return await until_status(nginx.port, lambda told: told["websockets"]["active"] == 1, "open")


@test
async def prometheus_finds_nothing_wrong_and_the_numbers_are_the_same():
    async with Nginx(http=HTTP, server=SERVER) as nginx:
        told = await some_traffic(nginx)
        code, headers, text = await fetch(nginx.port, "/metrics")
        equal((code, headers["Content-Type"]),
              (200, "text/plain; version=0.0.4; charset=utf-8"))
        checked = await asyncio.to_thread(
            subprocess.run, ["promtool", "check", "metrics"], input=text, capture_output=True,
            text=True, check=False)
        equal((checked.returncode, checked.stdout + checked.stderr), (0, ""), "promtool")
        found = samples(text)
        for name, labels, of in SAME:
            equal(found[name, frozenset(labels.items())], of(told), f"{name} {labels}")
        equal(found["elb_health", frozenset({("state", "ok")})], 1)


@test
async def openmetrics_where_it_is_wanted_more():
    async with Nginx(http=HTTP, server=SERVER) as nginx:
        await some_traffic(nginx)
        code, headers, text = await fetch(nginx.port, "/metrics", OPEN)
        equal((code, headers["Content-Type"]),
              (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"))
        families = {family.name: family for family in text_string_to_metric_families(text)}
        equal(families["websocket_opened"].samples[0].value, 3)
        equal(families["websocket_opened"].type, "counter")
        equal(families["websocket_duration_seconds"].type, "histogram")
        plain = (await fetch(nginx.port, "/metrics", "text/plain, application/openmetrics-text"))[1]
        equal(plain["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")


@test
async def the_snapshot_fits_its_schema():
    async with Nginx(http=HTTP, server=SERVER, workers=2) as nginx:
        jsonschema.validate(await status(nginx.port), SCHEMA)
        told = await some_traffic(nginx)
        jsonschema.validate(told, SCHEMA)
        equal(told["nginx"] in subprocess.run(
            [nginx_binary(), "-v"], capture_output=True, text=True, check=True).stderr, True)
        equal(sorted(told["settings"])[-1], "websocket_tunnel")


def nginx_binary():
    return ROOT / (os.environ.get("NGINX_PREFIX") or "build") / "sbin/nginx"


@test
async def settings_are_those_of_the_place():
    server = """
        location = /own { websocket_status; websocket_ping 7s; websocket_max_age 90m jitter=5%;
                          websocket_drain 1500ms; websocket_tunnel off; }
    """
    async with Nginx(http=HTTP, server=SERVER + server) as nginx:
        inherited = (await status(nginx.port))["settings"]
        equal((inherited["websocket_ping"], inherited["websocket_tunnel"],
               inherited["websocket_log"]), ("25s", "on", "on"))
        equal(inherited["websocket_max_age"], "off")
        own = (await status(nginx.port, "/own"))["settings"]
        equal({name: own[name] for name in ("websocket_ping", "websocket_max_age",
                                            "websocket_drain", "websocket_tunnel")},
              {"websocket_ping": "7s", "websocket_max_age": "5400s jitter=5%",
               "websocket_drain": "1500ms reload=30s grace=1s handshake=2s",
               "websocket_tunnel": "off"})


@test
async def a_browser_gets_the_page():
    async with Nginx(http=HTTP, server=SERVER) as nginx:
        code, headers, page = await fetch(nginx.port, "/status", BROWSER)
        equal((code, headers["Content-Type"], headers["Vary"], headers["Cache-Control"]),
              (200, "text/html; charset=utf-8", "Accept", "no-store"))
        equal(page, Path(ROOT, "src/metrics/status.html").read_text(), "page")
        equal(headers["Content-Security-Policy"], content_security_policy(page))
        code, headers, _ = await fetch(nginx.port, "/status", BROWSER, "HEAD")
        equal((code, headers["Content-Length"]), (200, str(len(page.encode()))), "HEAD")


@test
async def destinations_are_those_of_all_workers():
    server = SERVER + "location /app { proxy_pass http://app; }"
    nginx = Nginx(http=HTTP + "upstream app { elb_destination; }", server=server, workers=3)
    os.environ["DESTINATION_HOSTNAME"] = "127.0.0.1"
    os.environ["DESTINATION_PORT"] = str(nginx.destination.port)
    async with nginx:
        told, count = await status(nginx.port), 0
        while count < 100 and sum(worker["active"] > 0 for worker in told["workers"]) < 2:
            await nginx.tunnel(f"/app/{count}")
            told, count = await status(nginx.port), count + 1
        address = f"127.0.0.1:{nginx.destination.port}"
        for _ in range(6):
            equal((await status(nginx.port))["destinations"], [{
                "upstream": "app", "server": address, "address": address, "up": True,
                "checked": False, "backup": False, "weight": 1, "connections": count}])
        equal(sum(worker["active"] > 0 for worker in told["workers"]), 2, "workers at work")


@test
async def only_get_and_head():
    async with Nginx(http=HTTP, server=SERVER) as nginx:
        for path in ("/status", "/metrics"):
            equal((await fetch(nginx.port, path, method="POST"))[0], 405, path)


@test
async def faults_are_told():
    async with Nginx() as nginx:
        for parts, message in [
            ({"server": SERVER}, 'needs a zone to report, as in "websocket_zone elb:256k;"'),
            ({"http": "websocket_zone elb;"}, 'invalid value "elb" in "websocket_zone" directive, '
             'it must be a name and a size such as "elb:256k"'),
            ({"http": "websocket_zone :64k;"}, "it must be a name and a size"),
            ({"http": "websocket_zone elb:x;"}, "it must be a name and a size"),
            ({"http": "websocket_zone elb:63k;"}, "it must be of 64k at least"),
            ({"http": HTTP + HTTP}, '"websocket_zone" directive is duplicate'),
            ({"http": HTTP, "server": "location /a { websocket_status; websocket_metrics; }"},
             "must be the only one of its location that answers"),
            ({"http": HTTP, "location": "websocket_status;"},
             "must be the only one of its location that answers"),
        ]:
            nginx.configure(**{"http": "", "server": "", "location": "", **parts})
            equal(message in nginx.check(), True, f"{message} in {nginx.check()}")


run()
