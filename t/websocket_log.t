#!/usr/bin/python3
"""websocket_log: a line at the end of each tunnel, as text or JSON."""

import asyncio
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import BINARY, CLOSE, TEXT
from nginx import Nginx
from peer import answer, request
from tap import between, equal, run, test, until

SERVER = """
    location /text/ {
        proxy_pass http://DESTINATION;
        websocket_log FOLDER/text.log;
    }
    location /also/ {
        proxy_pass http://DESTINATION;
        websocket_log FOLDER/text.log text;
    }
    location /off/ {
        proxy_pass http://DESTINATION;
        websocket_log off;
    }
    set $newline "a
b";
    location /id/ {
        proxy_pass http://DESTINATION;
        websocket_log FOLDER/websocket.log json id=$http_x_request_id;
        location /id/text/ {
            proxy_pass http://DESTINATION;
            websocket_log FOLDER/id.log id=$http_x_request_id;
        }
        location /id/newline/ {
            proxy_pass http://DESTINATION;
            websocket_log FOLDER/websocket.log json id=$newline|$request_method;
        }
    }
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Client;
    access_log FOLDER/access.log;
    access_log FOLDER/sizes.log sizes;
"""
HTTP = 'log_format sizes "$request_uri $upstream_bytes_sent $upstream_bytes_received";'
FIELDS = ["time", "remote_addr", "uri", "upstream_addr", "duration", "close_reason", "close_code",
          "client_bytes", "client_frames", "upstream_bytes", "upstream_frames", "pings", "request_id",
          "passthrough", "proof"]


def lines_of(path):
    return path.read_text().splitlines() if path.exists() else []


async def chat(nginx, path, **how):
    """A WebSocket with two frames from the client and three from the destination; their bytes."""
    client, destination = await nginx.tunnel(path, **how)
    up = [client.encode(TEXT, b"one"), client.encode(CLOSE, frames.close(4567))]
    down = [destination.encode(BINARY, b"x" * 200) * 2, destination.encode(CLOSE)]
    await client.send(up[0])
    await destination.exactly(len(up[0]))
    await destination.send(down[0])
    await client.exactly(len(down[0]))
    await client.send(up[1])
    await destination.exactly(len(up[1]))
    await destination.send(down[1])
    await client.exactly(len(down[1]))
    destination.close()
    return len(b"".join(up)), len(b"".join(down))


@test
async def json(nginx):
    up, down = await chat(nginx, "/json")
    line = await nginx.end_of("/json")
    equal(list(line), FIELDS, "fields")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", line.pop("time"))
    between(0, line.pop("duration"), 20, "seconds")
    equal(line, {"remote_addr": "127.0.0.1", "uri": "/json",
                 "upstream_addr": f"127.0.0.1:{nginx.destination.port}", "close_reason": "client",
                 "close_code": 4567, "client_bytes": up, "client_frames": 2,
                 "upstream_bytes": down, "upstream_frames": 3, "pings": 0, "request_id": None,
                 "passthrough": False, "proof": None})


@test
async def text(nginx):
    for place in ("text", "also"):
        up, down = await chat(nginx, f'/{place}/a?b="c"')
        pattern = (rf'\S+ 127\.0\.0\.1 "/{place}/a\?b=\\"c\\"" 127\.0\.0\.1:{nginx.destination.port} '
                   rf"\d+\.\d{{3}} client 4567 {up} 2 {down} 3 0 -")
        await until(lambda: [line for line in lines_of(nginx.folder / "text.log")
                             if re.fullmatch(pattern, line)], what="no such line")


@test
async def no_close_has_no_code(nginx):
    client, destination = await nginx.tunnel("/none")
    client.close()
    line = await nginx.end_of("/none")
    equal((line["close_reason"], line["close_code"]), ("client", None))


@test
async def a_close_without_a_code(nginx):
    client, destination = await nginx.tunnel("/without")
    await destination.frame(CLOSE)
    await client.next()
    await client.frame(CLOSE)
    await destination.next()
    destination.close()
    line = await nginx.end_of("/without")
    equal((line["close_reason"], line["close_code"]), ("destination", None))


@test
async def odd_uris(nginx):
    for number, path in enumerate(["/odd?a=%22\"'\\b", "/odd?caf\u00e9", "/" + "u" * 3000]):
        client = await nginx.client(path)
        equal(client.status, 101)
        client.close()
        await until(lambda: [line for line in nginx.ended()
                             if path.startswith(line["uri"]) and len(line["uri"]) > 8],
                    what=f"no line with {path[:40]}")


@test
async def the_id_of_a_request(nginx):
    (await nginx.tunnel("/id/sane", headers=["X-Request-Id: 8c7e+/="]))[0].close()
    equal((await nginx.end_of("/id/sane"))["request_id"], "8c7e+/=")
    (await nginx.tunnel("/id/none"))[0].close()
    equal((await nginx.end_of("/id/none"))["request_id"], None)
    (await nginx.tunnel("/id/newline/"))[0].close()
    equal((await nginx.end_of("/id/newline/"))["request_id"], "a\nb|GET")


async def close_with_id(nginx, path, value):
    """A WebSocket whose request had this id, closed at once."""
    client = await nginx.connect()
    await client.send(request(path, ["X-Request-Id: VALUE"]).replace(b"VALUE", value))
    await client.until_head()
    equal(client.status, 101)
    client.close()


@test
async def hostile_ids(nginx):
    table = [
        (b'"},{"a":"', '"},{"a":"', r"\u{22}},{\u{22}a\u{22}:\u{22}"),
        (b"\\ passthrough\t\x01\x7f", "\\ passthrough\t\x01\x7f", r"\u{5c}\u{20}passthrough\u{9}\u{1}\u{7f}"),
        (b"\xff\xc3\xa4\xe2\x82", "\ufffd\u00e4\ufffd", r"\u{fffd}\u{e4}\u{fffd}"),
        (b"x" * 5000, "x" * 128, "x" * 128),
    ]
    for number, (value, expected, word) in enumerate(table):
        await close_with_id(nginx, f"/id/hostile/{number}", value)
        equal((await nginx.end_of(f"/id/hostile/{number}"))["request_id"], expected)
        path = f"/id/text/{number}"
        await close_with_id(nginx, path, value)
        line = await until(lambda: next((line for line in lines_of(nginx.folder / "id.log")
                                         if f'"{path}"' in line), None), what="no line")
        equal(line.split(" ")[12:], [word], "last word of the line")


@test
async def the_client_as_realip_names_it(nginx):
    client, destination = await nginx.tunnel("/realip", headers=["X-Client: 192.0.2.99"])
    await nginx.talk(client, destination)
    client.close()
    equal((await nginx.end_of("/realip"))["remote_addr"], "192.0.2.99")


@test
async def off(nginx):
    client, destination = await nginx.tunnel("/off/1")
    await nginx.talk(client, destination)
    client.close()
    await destination.rest()
    await asyncio.sleep(0.3)
    equal([line for line in nginx.ended() if line["uri"].startswith("/off")], [])


@test
async def the_access_log_has_its_line_at_the_upgrade(nginx):
    client, destination = await nginx.tunnel("/access")
    await until(lambda: [line for line in lines_of(nginx.folder / "access.log")
                         if '"GET /access HTTP/1.1" 101' in line], what="no line")
    client.close()
    await nginx.end_of("/access")
    equal(sum("/access" in line for line in lines_of(nginx.folder / "access.log")), 1, "lines")


@test
async def what_was_sent_and_received_by_then(nginx):
    early = frames.encode(TEXT, b"early", mask=b"mask")
    client, destination = await nginx.tunnel("/sizes", early=early)
    # no byte of the early frame had been sent
    expected = f"/sizes {len(destination.head)} {len(answer(destination.head))}"
    await until(lambda: expected in lines_of(nginx.folder / "sizes.log"),
                what=f"no {expected!r}")
    client.close()


@test
async def opened_anew_on_usr1(_):
    async with Nginx() as nginx:
        log = nginx.folder / "websocket.log"
        (await nginx.tunnel("/1"))[0].close()
        await nginx.end_of("/1")
        log.rename(nginx.folder / "rotated.log")
        nginx.signal("USR1")
        await until(log.exists, what="no new file")
        (await nginx.tunnel("/2"))[0].close()
        await nginx.end_of("/2")
        equal(len(lines_of(log)), 1, "lines of the new file")


@test
async def lines_of_many_do_not_mix(_):
    async with Nginx(workers=2) as nginx:
        for _ in range(5):
            for path in [f"/{number}/{'x' * 100}" for number in range(60)]:
                (await nginx.tunnel(path))[0].close()
        await until(lambda: len(nginx.ended()) == 300, what="lines are missing")


run(Nginx(server=SERVER, http=HTTP))
