#!/usr/bin/python3
"""$websocket_* in the access log, $elb_utf8_* for a valid JSON log, and $elb_request_id."""

import asyncio
import json
import os
import re
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx, version
from peer import answer, request
from tap import equal, run, test, until

HTTP = """
    log_format json escape=json
        '{"uri":"$elb_utf8_request_uri","state":"$websocket_state","active":$websocket_active,'
        '"protocol":"$websocket_protocol","extensions":"$websocket_extensions",'
        '"agent":"$elb_utf8_http_user_agent","missing":"$elb_utf8_http_x_missing",'
        '"early":"$early","id":"$elb_request_id","kept":"$kept"}';
    log_format text '$uri $websocket_state [$websocket_protocol] [$websocket_extensions]';
    server {
        listen 127.0.0.1:OTHER%s;
        %s
        access_log FOLDER/access.log json;
        location / { proxy_pass http://DESTINATION; }
    }
"""
SERVER = """
    access_log FOLDER/access.log json;
    access_log FOLDER/text.log text;
    set $early "$websocket_state";
    set $kept "$elb_request_id";
    location /ordinary/ { return 204; }
    location /off/ {
        proxy_pass http://DESTINATION;
        websocket_tunnel off;
    }
    location /hidden/ {
        proxy_pass http://DESTINATION;
        proxy_hide_header Sec-WebSocket-Protocol;
    }
    location /unbuffered/ {
        proxy_pass http://DESTINATION;
        proxy_request_buffering off;
    }
"""
HOSTILE = 'Sec-WebSocket-Protocol: "},\\{"a\x01\t\x7f'.encode() + b"\xff\xc3\xa4\xe2\x82"
EXTENSIONS = ["Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10",
              "Sec-WebSocket-Extensions: x-other"]


def respond(head):
    """What a destination answers to the paths of the tests."""
    path = head.split()[1]
    if path.startswith(b"/hostile"):
        return answer(head, ["X-Hostile"]).replace(b"X-Hostile", HOSTILE)
    if path.startswith(b"/foo"):
        return b"HTTP/1.1 101 Go\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n"
    if path.startswith(b"/refused"):
        return b"HTTP/1.1 403 No\r\nSec-WebSocket-Protocol: chat\r\nContent-Length: 0\r\n\r\n"
    if path.startswith(b"/bare"):
        return answer(head)
    return answer(head, ["Sec-WebSocket-Protocol: chat", *EXTENSIONS])


def logged(nginx, name="access.log"):
    """The complete lines of a log."""
    log = nginx.folder / name
    lines = log.read_bytes().splitlines(keepends=True) if log.exists() else []
    # a JSON log is UTF-8, whatever the bytes of the request
    return [line.decode() for line in lines if line.endswith(b"\n")]


async def line_of(nginx, path):
    """The line with this path in the JSON log, and in the text log."""
    def found():
        return next((line for line in map(json.loads, logged(nginx)) if line["uri"] == path), None)
    line = await until(found, what=f"no line with {path}")
    texts = [text for text in logged(nginx, "text.log") if text.split()[0] == path]
    return line, texts[0].rstrip("\n") if texts else None


async def left(nginx, path, handshake, **how):
    """The line of an upgrade that nginx's own copier handles: nginx writes it at the end."""
    client = await nginx.connect(**how)
    await client.send(handshake)
    await client.until_head()
    destination = await nginx.destination.peer(path)
    client.close()
    destination.close()
    return await line_of(nginx, path)


@test
async def a_tunnel(nginx):
    client, _ = await nginx.tunnel("/tunnel")
    line, text = await line_of(nginx, "/tunnel")
    extensions = "permessage-deflate; server_max_window_bits=10, x-other"
    equal((line["state"], line["protocol"], line["extensions"]), ("tunnelled", "chat", extensions))
    equal(text, f"/tunnel tunnelled [chat] [{extensions}]")
    equal(line["early"], "", "asked before the upgrade")
    client.close()
    await nginx.end_of("/tunnel")


@test
async def what_the_101_does_not_say(nginx):
    client, _ = await nginx.tunnel("/bare")
    line, text = await line_of(nginx, "/bare")
    equal((line["state"], line["protocol"], line["extensions"]), ("tunnelled", "", ""))
    equal(text, "/bare tunnelled [-] [-]")
    client, _ = await nginx.tunnel("/hidden/")
    line, _ = await line_of(nginx, "/hidden/")
    equal(line["protocol"], "", "protocol that the client was not told")


@test
async def left_to_nginx(nginx):
    line, _ = await left(nginx, "/foo", request("/foo").replace(b"websocket", b"foo"))
    equal(line["state"], "left_not_websocket")
    line, _ = await left(nginx, "/key", request("/key", key=False))
    equal((line["state"], line["protocol"]), ("left_not_websocket", "chat"))
    path = "/unbuffered/busy"
    line, text = await left(nginx, path, request(path, ["Content-Length: 5"]) + b"fi")
    equal(line["state"], "left_busy")
    equal(text.split()[:2], [path, "left_busy"])


@test
async def other_requests(nginx):
    line, _ = await left(nginx, "/off/", request("/off/"))
    equal((line["state"], line["protocol"]), ("", "chat"))
    for path in ("/ordinary/", "/refused"):
        client = await nginx.client(path)
        line, text = await line_of(nginx, path)
        equal((line["state"], line["protocol"], line["extensions"]), ("", "", ""))
        equal(text, f"{path} - [-] [-]")
        client.close()


@test
async def ids(nginx):
    seen = set()
    for number in range(40):
        path = f"/ordinary/id{number}"
        (await nginx.client(path)).close()
        line, _ = await line_of(nginx, path)
        equal(bool(re.fullmatch("[0-9a-f]{32}", line["id"])), True, f"an id: {line['id']}")
        equal(line["kept"], line["id"], "the id asked for earlier in the request")
        seen.add(line["id"])
    equal(len(seen), 40, "different ids")


@test
async def hostile_values(nginx):
    path = '/hostile"\\'
    client = await nginx.connect()
    handshake = request("/PATH", ["User-Agent: AGENT"]).replace(b"AGENT", b'\xfe"}\\\x01\t\xe2\x82')
    await client.send(handshake.replace(b"/PATH", path.encode() + b"\xff\xc3\xa4"))
    await client.until_head()
    equal(client.status, 101)
    line, _ = await line_of(nginx, path + "\ufffd\u00e4")
    equal(line["state"], "tunnelled")
    equal(line["protocol"], '"},\\{"a\x01\t\x7f\ufffd\u00e4\ufffd')
    equal(line["agent"], '\ufffd"}\\\x01\t\ufffd')
    equal(line["missing"], "")
    client.close()


@test
async def active(_):
    async with Nginx(respond=respond, http=HTTP % ("", ""), server=SERVER) as nginx:
        tunnels = []
        for number in range(4):
            tunnels.append((await nginx.tunnel(f"/{number}"))[0])
            equal((await line_of(nginx, f"/{number}"))[0]["active"], number, "tunnels before it")
        tunnels[0].close()
        await nginx.end_of("/0")
        (await nginx.client("/ordinary/one")).close()
        equal((await line_of(nginx, "/ordinary/one"))[0]["active"], 3)
        for tunnel in tunnels[1:]:
            tunnel.close()
        await until(lambda: len(nginx.ended()) == 4, what="tunnels are left")
        (await nginx.client("/ordinary/two")).close()
        equal((await line_of(nginx, "/ordinary/two"))[0]["active"], 0)


def headers_frame(headers):
    """HTTP/2: a HEADERS frame with a whole request, without the use of tables (RFC 7541 6.2.2)."""
    block = b"".join(b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
                     for name, value in headers)
    return struct.pack("!I", len(block))[1:] + b"\x01\x05" + struct.pack("!I", 1) + block


async def a_stream_of_http2(_):
    old = version() < (1, 25, 1)
    http = HTTP % ((" http2", "") if old else ("", "http2 on;"))
    # nginx's copier takes the stream for a connection, and may add its socket to epoll once more
    asks_for = r"epoll_ctl\(1, \d+\) failed \(17: File exists\)"
    async with Nginx(respond=respond, http=http, server=SERVER, asks_for=asks_for) as nginx:
        reader, writer = await asyncio.open_connection("127.0.0.1", nginx.other)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0" + headers_frame([
            (b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"app.example"),
            (b":path", b"/http2"), (b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"),
            (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")]))
        destination = await nginx.destination.peer("/http2")
        destination.close()
        line, _ = await line_of(nginx, "/http2")
        equal(line["state"], "left_not_of_its_own")
        writer.close()


# later versions refuse such a header over HTTP/2 (RFC 9113 8.2.2)
if version() < (1, 31, 0):
    test(a_stream_of_http2)


run(Nginx(respond=respond, http=HTTP % ("", ""), server=SERVER))
