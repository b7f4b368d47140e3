#!/usr/bin/python3
"""A refusal by websocket_limit_conn with error_page counts once, and the client gets the page."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx
from peer import answer
from status import HTTP, SERVER, metrics
from tap import equal, run, test

# the limit also applies to the locations of the pages
LIMITED = SERVER + """
    websocket_limit_conn $http_x_key 1;
    error_page 503 /busy.html;
    location = /busy.html { root FOLDER; }
    location /proxied/ {
        error_page 503 @busy;
        proxy_pass http://DESTINATION;
    }
    location @busy { proxy_pass http://DESTINATION; }
    location /another/ {
        error_page 503 =404 /busy.html;
        proxy_pass http://DESTINATION;
    }
"""


class Limited(Nginx):
    """An nginx with a page for refused clients."""

    def configure(self, **parts):
        (self.folder / "busy.html").write_text("all lines are busy")
        super().configure(**parts)


def respond(head):
    """A 101, or the page for refused clients."""
    if head.split()[1].endswith(b"again"):
        return b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nproxied"
    return answer(head)


async def refused(nginx):
    """The numbers of refusals in the metrics, by reason."""
    told = await metrics(nginx.port)
    return [told[f'websocket_refused_total{{reason="{reason}"}}']
            for reason in ("limit", "destination", "unreachable")]


@test
async def each_has_its_page_and_is_one(nginx):
    pages = [("/file", 503, b"all lines are busy"), ("/another/", 404, b"all lines are busy"),
             ("/proxied/", 503, b"proxied")]
    for number, (path, code, body) in enumerate(pages, 1):
        key = [f"X-Key: {number}"]
        first = await nginx.client(path, headers=key)
        equal(first.status, 101, path)
        second = await nginx.client(f"{path}?again", headers=key)
        equal((second.status, await second.exactly(len(body))), (code, body), path)
        equal(await refused(nginx), [number, 0, 0], path)
        refusals = [line for line in nginx.messages() if "WebSocket refused: client limit reached, "
                    "raise \"websocket_limit_conn\" if clients need more, client: " in line]
        equal(len(refusals), number, "messages")


run(Limited(server=LIMITED, http=HTTP, respond=respond))
