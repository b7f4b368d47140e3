#!/usr/bin/python3
"""The directives websocket_*: their values, their contexts and their inheritance."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from frames import PING
from nginx import Nginx
from tap import equal, run, test

ALL = [
    "websocket_tunnel on;", "websocket_tunnel off;",
    "websocket_ping 25s;", "websocket_ping off;", "websocket_ping 500ms;", "websocket_ping 1m30s;",
    "websocket_pong_timeout 10s;", "websocket_pong_timeout off;",
    "websocket_pong_timeout 10s destination=1m;", "websocket_pong_timeout 10s destination=off;",
    "websocket_pong_timeout off destination=30s;",
    "websocket_idle_timeout 1h;", "websocket_idle_timeout off;",
    "websocket_send_timeout 60s;", "websocket_send_timeout off;",
    "websocket_max_age 1d;", "websocket_max_age off;", "websocket_max_age off jitter=5%;",
    "websocket_max_age 12h jitter=0%;", "websocket_max_age 12h jitter=100%;",
    "websocket_drain 5s;", "websocket_drain 0;", "websocket_drain off;",
    "websocket_drain 5s reload=30s grace=1s handshake=2s;", "websocket_drain 5s handshake=0 grace=0;",
    "websocket_drain 0 reload=0;", "websocket_drain off reload=1s;",
    "websocket_log FOLDER/other.log;", "websocket_log FOLDER/other.log text;",
    "websocket_log FOLDER/other.log json;", "websocket_log off;", "websocket_log /dev/stdout;",
    "websocket_log FOLDER/other.log id=$request_id;", "websocket_log FOLDER/other.log id=$uri json;",
    "websocket_log FOLDER/other.log text id=a-$uri-$http_x;", "websocket_log off json id=$uri;",
]
PLACES = {
    "http": "server {{ listen 127.0.0.1:OTHER; }} {}",
    "server": "server {{ listen 127.0.0.1:OTHER; {} }}",
    "location": "server {{ listen 127.0.0.1:OTHER; location /a {{ location /a/b {{ {} }} }} }}",
}
# the template has these in http already
TAKEN = ("websocket_tunnel", "websocket_log")

INHERITING = """
    location /inherits/ { proxy_pass http://DESTINATION; }
    location /has-its-own/ {
        proxy_pass http://DESTINATION;
        websocket_ping off;
        location /has-its-own/again/ { proxy_pass http://DESTINATION; websocket_ping 300ms; }
        location /has-its-own/not/ { proxy_pass http://DESTINATION; }
    }
"""


@test
async def every_value_in_every_place():
    async with Nginx() as nginx:
        for place, snippet in PLACES.items():
            for setting in ALL:
                if place == "http" and setting.startswith(TAKEN):
                    continue
                nginx.configure(http=snippet.format(setting))
                equal(nginx.check(), "", f"{setting} in {place}")


@test
async def the_innermost_holds():
    async with Nginx(http="websocket_ping 300ms;", server=INHERITING) as nginx:
        for path, pings in [("/inherits/", True), ("/has-its-own/", False),
                            ("/has-its-own/again/", True), ("/has-its-own/not/", False)]:
            client, destination = await nginx.tunnel(path)
            if pings:
                equal((await client.next()).opcode, PING, path)
            else:
                assert await client.is_silent(2), path


@test
async def a_reload_changes_it_for_new_ones():
    async with Nginx(http="websocket_ping off; websocket_drain off;") as nginx:
        old, _ = await nginx.tunnel("/old")
        await nginx.reload(http="websocket_ping 300ms; websocket_drain off;")
        new, _ = await nginx.tunnel("/new")
        equal((await new.next()).opcode, PING, "the new one")
        assert await old.is_silent(2), "the old one"


run()
