"""Independent WebSocket software: Python's websockets at both ends, kosoku with Autobahn's cases.
"""

import asyncio
import contextlib
import json
import logging
import tempfile
from pathlib import Path

import websockets

from nginx import ROOT

KOSOKU = ROOT / "build/venv/bin/kosoku"


@contextlib.asynccontextmanager
async def echo_server():
    """An application that echoes messages, with permessage-deflate; returns its port."""
    # deliberate errors of clients are not logged
    logging.getLogger("websockets").setLevel(logging.CRITICAL)

    async def echo(socket):
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in socket:
                await socket.send(message)

    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def autobahn(port, *cases):
    """The results of Autobahn's cases for a server: for each case, its behaviour and code."""
    with tempfile.TemporaryDirectory() as folder:
        includes = [word for case in cases for word in ("-i", case)]
        kosoku = await asyncio.create_subprocess_exec(
            KOSOKU, "-p", "4", *includes, "-o", folder, f"127.0.0.1:{port}",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        output, _ = await kosoku.communicate()
        index = Path(folder, "index.json")
        if not index.exists():
            raise AssertionError(output.decode())
        (verdicts,) = json.loads(index.read_text()).values()
    # whether the answer to bytes before a violation is still sent depends on timing: both results
    # are valid, and one of them is called "non-strict"
    return {case: (verdict["behavior"].replace("NON-STRICT", "OK"), verdict["behaviorClose"],
                   verdict["remoteCloseCode"]) for case, verdict in verdicts.items()}
