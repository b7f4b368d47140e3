#!/usr/bin/python3
"""A response of the module may be part of another one: a subrequest does not end the request."""

import asyncio
import http.client
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx
from tap import equal, run, test

PARTS = {"metrics": "websocket_opened_total", "status": '"websockets":', "page": "</html>",
         "redirect": "301 Moved Permanently"}
SERVER = """
    location = /metrics { websocket_metrics; }
    location = /status { websocket_status; }
    location = /page { websocket_status; }
    location = /redirect { elb_redirect https; }
    location /around/ { root FOLDER; ssi on; ssi_types *; }
"""


class Around(Nginx):
    """An nginx with pages that include responses of the module."""

    def configure(self, **parts):
        folder = self.folder / "around"
        folder.mkdir(exist_ok=True)
        for part in PARTS:
            (folder / part).write_text(f'before <!--#include virtual="/{part}" --> after')
        super().configure(**parts)


def ask(port, accept):
    """The pages, requested one after the other on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    texts = {}
    for part in PARTS:
        connection.request("GET", f"/around/{part}", headers={"Accept": accept[part]})
        texts[part] = connection.getresponse().read().decode()
    connection.close()
    return texts


@test
async def an_answer_within_an_answer(nginx):
    accept = {**dict.fromkeys(PARTS, "*/*"), "page": "text/html"}
    texts = await asyncio.to_thread(ask, nginx.port, accept)
    for part, text in texts.items():
        equal((text[:7], text[-6:]), ("before ", " after"), part)
        assert PARTS[part] in text, f"{part}: {text}"


run(Around(server=SERVER, http="websocket_zone elb:256k;"))
