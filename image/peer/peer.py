"""Client and application for the tests of the image, with a third-party WebSocket library.

    peer.py serve PORT                 the application: echoes messages, answers GET with the
                                       request's headers as JSON, GET /slow after two seconds
    peer.py talk HOST PORT [HEADER]    the client: sends HEADER (hex) before its handshake, then
                                       messages of every kind, and prints what came back
    peer.py hold HOST PORT [HEADER]    the client that only waits, and prints how it was closed
"""

import asyncio
import http
import json
import socket
import sys

import websockets


async def answer(path, headers):
    """Answers ordinary requests; returns None for the handshake of a WebSocket."""
    if "Upgrade" in headers:
        return None
    if path == "/slow":
        await asyncio.sleep(2)
    body = json.dumps({"path": path, **{name.lower(): value for name, value in headers.items()}})
    return http.HTTPStatus.OK, [("Content-Type", "application/json")], body.encode()


async def echo(websocket):
    """Sends the client address that the proxy named, then echoes."""
    await websocket.send(websocket.request_headers.get("X-Forwarded-For", "nobody"))
    async for message in websocket:
        await websocket.send(message)


async def serve(port):
    async with websockets.serve(echo, "0.0.0.0", port, process_request=answer, max_size=None):
        await asyncio.Future()


def connect(host, port, header=""):
    """Opens a WebSocket on a connection that starts with the header."""
    connection = socket.create_connection((host, int(port)))
    connection.sendall(bytes.fromhex(header))
    uri = f"ws://{host}:{port}/chat?room=1"
    return websockets.connect(uri, sock=connection, max_size=None)


async def talk(*where):
    async with connect(*where) as websocket:
        print("client", await websocket.recv())
        for kind, message, whole in [
            ("text", "hello", "hello"),
            ("binary", bytes(range(256)), bytes(range(256))),
            ("fragmented", iter(["frag", "men", "ted"]), "fragmented"),
            ("megabyte", "m" * 2**20, "m" * 2**20),
        ]:
            await websocket.send(message)
            print(kind, "same" if await websocket.recv() == whole else "different")
        await asyncio.wait_for(await websocket.ping(b"payload"), 5)
        print("ping answered")
    print("closed", websocket.close_code)


async def hold(*where):
    async with connect(*where) as websocket:
        print("client", await websocket.recv())
        await websocket.wait_closed()
        print("closed", websocket.close_code)


asyncio.run({"serve": serve, "talk": talk, "hold": hold}[sys.argv[1]](*sys.argv[2:]))
