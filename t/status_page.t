#!/usr/bin/python3
"""The status page in a browser: it shows the status of an instance."""

import asyncio
import contextlib
import copy
import math
import os
import re
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx
from page import DESKTOP, PAGE, PHONE, Browser, StatusServer
from status import HTTP, SERVER
from tap import equal, run, test

HOSTILE = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"


def frames(count):
    """The status of one end's traffic."""
    return {"frames": {"text": count, "binary": 2345, "continuation": 0, "close": 3200, "ping": 0,
                       "pong": 51234, "other": 0},
            "bytes": {"text": 290 * count, "binary": 98123456, "continuation": 0, "close": 6400,
                      "ping": 0, "pong": 409872, "other": 0},
            "messages": count + 2345, "pings": 51240, "pongs_missed": 6}


def histogram(mean, counts):
    """A histogram of times, with this mean and these counts by upper limit."""
    counts = list(counts.items())
    total = sum(count for _, count in counts)
    sums = [sum(count for _, count in counts[:index + 1]) for index in range(len(counts))]
    return {"count": total, "sum": mean * total,
            "buckets": [{"le": limit, "count": count} for (limit, _), count in zip(counts, sums)]}


def instance(second=0):
    """The status of a busy instance."""
    opened = int(3456 + 3.2 * second + 6 * math.sin(second / 11))
    closed = int(2891 + 3 * second + 8 * math.sin(second / 17 + 2))
    return {
        "module": "0.1.0", "nginx": "1.28.3", "started": time.time() - 273600,
        "uptime": 273600 + second, "health": "ok", "generation": 3,
        "workers": [
            {"pid": 12, "generation": 3, "draining": False, "active": 61, "buffered_bytes": 0},
            {"pid": 13, "generation": 3, "draining": False, "active": 52, "buffered_bytes": 14336},
            {"pid": 9, "generation": 2, "draining": True, "active": 7, "buffered_bytes": 0}],
        "websockets": {
            "active": opened - closed - 445, "opened": opened, "passthrough": 1, "left_to_nginx": 0,
            "refused": 2, "buffered_bytes": 14336,
            "closed": [
                {"reason": "client", "code": "1000", "count": closed},
                {"reason": "client", "code": "1001", "count": 309},
                {"reason": "client", "code": "none", "count": 48},
                {"reason": "drain", "code": "1001", "count": 61},
                {"reason": "dead_client", "code": "none", "count": 19},
                {"reason": "destination", "code": "4xxx", "count": 7},
                {"reason": "client_send_timeout", "code": "none", "count": 1}],
            "client": frames(int(120034 + 900 * (second + 4 * math.sin(second / 13)))),
            "destination": frames(int(240068 + 2600 * (second + 9 * math.sin(second / 23)))),
            "duration_seconds": histogram(3634, {
                1: 3, 5: 17, 15: 40, 60: 120, 300: 240, 900: 280, 3600: 700, 14400: 1200,
                86400: 650, None: 86}),
            "handshake_seconds": histogram(0.018, {
                0.001: 12, 0.0025: 138, 0.005: 750, 0.01: 1000, 0.025: 1000, 0.05: 300, 0.1: 180,
                0.25: 60, 0.5: 10, 1: 3, 2.5: 2, None: 1})},
        "redirects": 12, "health_checks": 27345,
        "destinations": [
            {"upstream": "destination", "server": "app-1:45490", "address": "10.0.3.17:45490",
             "up": True, "checked": True, "backup": False, "weight": 2, "connections": 81},
            {"upstream": "destination", "server": "app-2:45490", "address": "10.0.3.18:45490",
             "up": True, "checked": True, "backup": False, "weight": 1, "connections": 39},
            {"upstream": "destination", "server": "spare:45490", "address": "10.0.4.2:45490",
             "up": True, "checked": False, "backup": True, "weight": 1, "connections": 0}],
        "settings": {
            "LISTEN_ON": "8081", "LISTEN_ON_TLS": "8444", "DESTINATIONS":
            '[{"hostname":"app-1","port":45490,"weight":2},{"hostname":"app-2","port":45490},'
            '{"hostname":"spare","port":45490,"backup":true}]',
            "PROXY_PROTOCOL": "on", "TRUSTED_PROXIES": "127.0.0.0/8 ::1/128 10.0.0.0/8 "
            "172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 169.254.0.0/16 fc00::/7 fe80::/10",
            "websocket_ping": "25s", "websocket_pong_timeout": "10s destination=off",
            "websocket_idle_timeout": "off", "websocket_send_timeout": "60s",
            "websocket_max_age": "off", "websocket_drain": "5s", "websocket_drain_reload": "30s",
            "websocket_drain_grace": "1s"}}


@contextlib.asynccontextmanager
async def status(browser, told=None, **how):
    """The page of an instance with this status; yields its server and the page."""
    async with StatusServer(told or instance()) as server:
        yield server, await browser.open_status(server.url, **how)


async def shows(page, selector, pattern):
    """Waits until an element's text matches."""
    await page.comes_true(f"/{pattern}/.test(document.querySelector('{selector}').textContent)")


@test
async def fits_a_phone_and_a_desk_by_day_and_by_night(browser):
    for size, name in (PHONE, "phone"), (DESKTOP, "desktop"):
        for dark in (False, True):
            async with status(browser, size=size, dark=dark) as (server, page):
                # a history of five minutes, so that the test does not have to wait for it
                await page.run(
                    "history.length = 0; before = null; const now = performance.now();"
                    "for (const [at, state] of arguments[0]) remember(state, now + 1000 * at);",
                    [(at, instance(300 + at)) for at in range(-300, 1, 2)])
                server.told = instance(302)
                # by now the page has requested the status again
                await shows(page, "#active .scale:last-child", "(5 min|4 min 59 s) ago")
                await page.is_fine()
                await page.screenshot(f"{name}-{'dark' if dark else 'light'}")


@test
async def obeys_its_content_security_policy(browser):
    text = PAGE.read_text()
    equal(re.findall(r"<[^>]*\s(?:style|on\w+)\s*=", text), [])
    equal(re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", text), [])
    async with status(browser) as (server, page):
        await asyncio.sleep(3)
        await page.is_fine()
        equal(set(server.asked), {"page", "JSON"})


@test
async def numbers_are_alive(browser):
    async with status(browser) as (server, page):
        equal(await page.text("#now-active"), "113")
        equal(await page.text("#now-opened"), "–")
        server.told = copy.deepcopy(server.told)
        server.told["websockets"]["active"] = 12345
        server.told["websockets"]["opened"] += 60
        server.told["websockets"]["client"]["bytes"]["binary"] += 20_000_000
        await shows(page, "#now-active", "^12,345$")
        # 60 more within the time between two requests, about two seconds
        await shows(page, "#now-opened", "^(2|3)\\d")
        await shows(page, "#now-received", "^\\d+(\\.\\d)? MB.s$")
        await shows(page, "#active .over", "max 12,345")
        await shows(page, "#now-opened", "^0$")
        await shows(page, "#turnover .over", "max [23]\\d")
        await page.is_fine()


@test
async def tells_what_it_was_told(browser):
    async with status(browser) as (_, page):
        await shows(page, "#destinations", "app-1:45490.*10.0.3.17:45490.*up.*81")
        await shows(page, "#destinations", "spare:45490.*backup.*not checked")
        await shows(page, "#workers", "12serving361.*9draining27")
        await shows(page, "#closed", "client1000 normal2,89\\d.*dead clientno Close19")
        await shows(page, "#frames", "text120,03\\d")
        await shows(page, "#times", "lasts 1 h 40 min.*takes 9.1 ms")
        await shows(page, "#facts", "health checks27,345")
        await shows(page, "#settings", "websocket_ping25s")
        await shows(page, "#more", "3 destinations up.*up for 3 d 4 h")
        await shows(page, "#versions", "0.1.0 in nginx 1.28.3")
        equal(await page.text("#checks"), "")


@test
async def health_is_unmistakable(browser):
    async with status(browser) as (server, page):
        seen = set()
        for health, kind in ("ok", "ok"), ("draining", "draining"), ("destination down", "down"):
            server.told = {**instance(), "health": health}
            if kind == "down":
                server.told["destinations"] = [
                    {**one, "up": False} for one in server.told["destinations"]]
            await shows(page, "#health", f"^{health}$")
            equal(await page.value("document.body.className"), kind)
            seen.add(await page.value(
                "getComputedStyle(document.querySelector('header')).backgroundColor"))
            await page.is_fine()
        equal(len(seen), 3, "colours")
        await shows(page, "#more", "app-1:45490, app-2:45490, spare:45490")
        await shows(page, "#destinations", "down")
        # the page shows the snapshot whatever the HTTP status
        server.status = 503
        server.told = {**instance(), "health": "draining"}
        await shows(page, "#health", "^draining$")


@test
async def websockets_that_are_not_tunnelled_are_in_the_headline(browser):
    async with status(browser) as (server, page):
        for count, pattern in (0, "^3 destinations up"), (1, "^1 WebSocket not tunnelled"), \
                (1234, "^1,234 WebSockets not tunnelled for an unknown reason: see the error log"):
            told = instance()
            told["websockets"]["left_by_reason"] = [
                {"label": "busy", "count": 5}, {"label": "unexplained", "count": count}]
            server.told = told
            await shows(page, "#more", pattern)
            await page.is_fine()


@test
async def hostile_text_stays_text(browser):
    told = instance()
    told["destinations"][0]["server"] = told["destinations"][1]["upstream"] = HOSTILE
    told["settings"][HOSTILE] = HOSTILE
    told["websockets"]["closed"].append({"reason": HOSTILE, "code": HOSTILE, "count": 5})
    told["websockets"]["client"]["frames"][HOSTILE] = 5
    told.update(health=HOSTILE, module=HOSTILE, nginx=HOSTILE)
    for size in PHONE, DESKTOP:
        async with status(browser, told, size=size) as (_, page):
            for place in ("#health", "#destinations", "#settings dt:last-child, #settings",
                          "#closed", "#frames", "#versions"):
                equal(HOSTILE in await page.text(place), True, place)
            equal(await page.value("document.querySelectorAll('img, main script').length"), 0)
            equal(await page.value("document.title") == "owned", False)
            await page.is_fine()


@test
async def says_so_when_nobody_answers(browser):
    async with status(browser) as (server, page):
        server.told = None
        await shows(page, "#health", "^no answer$")
        await shows(page, "#more", "Last seen [3-9] s ago, at .*no connection")
        equal(await page.text("#now-active"), "113")
        server.told, server.status = "nonsense", 502
        await shows(page, "#more", "no JSON came")
        server.told, server.status = instance(), 200
        await shows(page, "#health", "^ok$")
        # a server that accepts the request and does not respond
        server.delay = 7
        await shows(page, "#more", "Last seen \\d+ s ago, at .*nothing within 5 s")
        server.delay = 0
        await shows(page, "#health", "^ok$")


@test
async def counters_may_begin_again(browser):
    async with status(browser, instance(200)) as (server, page):
        await shows(page, "#now-closed", "^0$")
        server.told = instance()
        server.told.update(started=time.time(), uptime=1)
        await shows(page, "#restart", "nginx started anew")
        await shows(page, "#now-active", "^113$")
        equal("-" in await page.text(".graphs"), False, "a negative number")
        await shows(page, "#now-opened", "^0$")
        await page.is_fine()


@test
async def asks_nothing_while_nobody_looks(browser):
    async with status(browser) as (server, page):
        async def asks(expected, what):
            await asyncio.sleep(0.5)
            count = len(server.asked)
            await asyncio.sleep(3)
            equal(len(server.asked) > count, expected, what)

        hide = ("Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
                "document.dispatchEvent(new Event('visibilitychange'))")
        await asks(True, "asks while it is seen")
        await page.run(hide % "true")
        await asks(False, "asks while it is hidden")
        await page.run(hide % "false")
        await asks(True, "asks when it is seen again")
        await page.run("document.querySelector('#pause').click()")
        await shows(page, "#more", "^Paused at")
        await asks(False, "asks while it pauses")
        await page.run("document.querySelector('#pause').click()")
        await asks(True, "asks when it goes on")
        await shows(page, "#more", "up for")


@test
async def little_or_nothing_to_tell(browser):
    told = {"health": "ok", "websockets": {"active": 0, "opened": 0, "closed": []},
            "destinations": [{"server": "app:1", "up": True, "checked": False}]}
    async with status(browser, told) as (server, page):
        await shows(page, "#closed", "No WebSockets yet")
        await shows(page, "#frames", "No frame has passed yet")
        await shows(page, "#times", "Nothing has been timed yet")
        await shows(page, "#checks", "No checks are configured")
        await shows(page, "#now-active", "^0$")
        await page.is_fine()
        server.told = {"websockets": None, "workers": [None, {}], "destinations": [{}, 3],
                       "settings": None}
        await shows(page, "#health", "^health unknown$")
        await shows(page, "#now-active", "^–$")
        server.told = {"websockets": {"closed": 3, "duration_seconds": {"count": 1, "buckets": 7},
                                      "client": {"frames": 5}}, "destinations": "?"}
        await shows(page, "#destinations", "No destinations are known")
        await page.is_fine()


@test
async def of_a_real_instance(browser):
    # otherwise the browser would keep its connections open
    server = SERVER + "keepalive_timeout 0;"
    async with Nginx(http=HTTP, server=server, workers=2) as nginx:
        url = f"http://127.0.0.1:{nginx.port}/status"
        pairs = [await nginx.tunnel(f"/{number}") for number in range(3)]
        for size, name in (PHONE, "phone"), (DESKTOP, "desktop"):
            page = await browser.open_status(url, size, dark=size == PHONE)
            await shows(page, "#health", "^ok$")
            await shows(page, "#now-active", f"^{len(pairs)}$")
            for pair in pairs:
                await nginx.talk(*pair)
            pairs.pop()[0].close()
            await shows(page, "#now-active", f"^{len(pairs)}$")
            await shows(page, "#closed", "clientno Close\\d")
            await shows(page, "#frames", "text\\d")
            await shows(page, "#settings", "websocket_ping25s")
            await page.is_fine()
            await page.screenshot(f"real-{name}")


if not shutil.which("chromedriver") and not os.environ.get("CI"):
    print("1..0 # SKIP there is no Chromium here")
    sys.exit()
run(Browser(), together=False, limit=90)
