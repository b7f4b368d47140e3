"""The status that the nginx of a test reports."""

import asyncio
import json
import urllib.request

HTTP = "websocket_zone elb:256k;"
SERVER = """
    location = /status { websocket_status; }
    location = /metrics { websocket_metrics; }
"""


async def fetch(port, path, accept="*/*", method="GET"):
    """A response: its status, header and text."""
    def ask():
        url = f"http://127.0.0.1:{port}{path}"
        headers = {"Accept": accept, "Connection": "close"}
        asked = urllib.request.Request(url, headers=headers, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()
    return await asyncio.to_thread(ask)


async def status(port, path="/status"):
    """The snapshot."""
    code, headers, text = await fetch(port, path)
    if (code, headers["Content-Type"]) != (200, "application/json"):
        raise AssertionError(f"{code} {headers['Content-Type']}: {text}")
    return json.loads(text)


async def metrics(port):
    """The samples of /metrics: numbers by name and labels."""
    _, _, text = await fetch(port, "/metrics")
    samples = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in samples}


async def until_status(port, condition, what, timeout=15):
    """Waits until the snapshot satisfies a condition; returns it."""
    for _ in range(timeout * 20):
        told = await status(port)
        if condition(told):
            return told
        await asyncio.sleep(0.05)
    raise AssertionError(f"{what}: {json.dumps(told, indent=1)}")


def closed(told):
    """Ended WebSockets, as {"reason code": count}."""
    return {f"{one['reason']} {one['code']}": one["count"] for one in told["websockets"]["closed"]}


def nonzero(kinds):
    """The numbers other than 0."""
    return {kind: count for kind, count in kinds.items() if count}
