"""The two ends of a tunnel under the control of a test: a client, and the destination to which
nginx connects. They read and write only when the test asks for it."""

import asyncio
import base64
import contextlib
import ctypes
import hashlib
import os
import re
import socket
import struct

import frames
from tap import PATIENCE

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Peer:
    """One end of a connection. `head` is the head of the request, or of the response."""

    def __init__(self, connection, masks):
        self.connection = connection
        self.masks = masks
        self.buffer = bytearray()
        self.head = b""

    @property
    def status(self):
        """The status of the response to a client."""
        return int(self.head.split()[1]) if self.head else None

    async def begin(self):
        """A hook, called before the first byte."""

    async def send(self, data):
        """Sends bytes."""
        await asyncio.get_running_loop().sock_sendall(self.connection, data)

    async def frame(self, opcode, payload=b"", **how):
        """Sends a frame; a client's is masked."""
        await self.send(self.encode(opcode, payload, **how))

    def encode(self, opcode, payload=b"", **how):
        """A frame as this end sends it."""
        if self.masks:
            how.setdefault("mask", os.urandom(4))
        return frames.encode(opcode, payload, **how)

    async def receive(self, size=65536, timeout=10):
        """Reads once into the buffer; False at the end of the stream."""
        read = asyncio.get_running_loop().sock_recv(self.connection, size)
        data = await asyncio.wait_for(read, timeout * PATIENCE)
        self.buffer += data
        return bool(data)

    async def next(self, timeout=10):
        """The next frame; None at the end of the stream."""
        while True:
            frame, rest = frames.decode(self.buffer)
            if frame:
                self.buffer = rest
                return frame
            if not await self.receive(timeout=timeout):
                if self.buffer:
                    raise AssertionError(f"the stream ends within a frame: {self.buffer[:40]!r}")
                return None

    async def exactly(self, size, timeout=10):
        """This many bytes."""
        while len(self.buffer) < size:
            if not await self.receive(timeout=timeout):
                raise AssertionError(f"the stream ended after {len(self.buffer)} of {size} bytes")
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    async def rest(self, timeout=10):
        """All bytes up to the end of the stream."""
        while await self.receive(timeout=timeout):
            pass
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    async def until_gone(self, timeout=15):
        """Reads until the connection ends, in an orderly way or not."""
        with contextlib.suppress(ConnectionError):
            await self.rest(timeout)

    async def is_silent(self, seconds):
        """Whether nothing arrives within this time."""
        if self.buffer:
            return False
        with contextlib.suppress(asyncio.TimeoutError):
            await self.receive(timeout=seconds / PATIENCE)
            return False
        return True

    async def until_head(self):
        """Reads the head of a request or a response; further bytes stay in the buffer."""
        while b"\r\n\r\n" not in self.buffer:
            if not await self.receive():
                return False
        size = self.buffer.index(b"\r\n\r\n") + 4
        self.head = bytes(self.buffer[:size])
        del self.buffer[:size]
        return True

    def finish(self):
        """Shuts down the sending direction."""
        self.connection.shutdown(socket.SHUT_WR)

    def reset(self):
        """Resets the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def vanish(self):
        """Makes its host neither receive nor acknowledge anything, as if it had lost its network: a
        filter on the socket drops all packets (socket(7), SO_ATTACH_FILTER)."""
        drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
        program = struct.pack("HP", 1, ctypes.addressof(drop_all))
        self.connection.setsockopt(socket.SOL_SOCKET, 26, program)

    def close(self):
        """Closes the connection."""
        self.connection.close()


def request(path, headers=(), key=True):
    """A handshake request of a client."""
    lines = [f"GET {path} HTTP/1.1", "Host: app.example", "Upgrade: websocket",
             "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    if key:
        lines.append("Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode())
    return "\r\n".join([*lines, *headers, "", ""]).encode()


def answer(head, headers=()):
    """The response of a destination to the handshake."""
    key = re.search(rb"(?i)\r\nsec-websocket-key: *(\S*)", head)
    digest = hashlib.sha1((key[1] if key else b"") + _GUID).digest()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
             "Sec-WebSocket-Accept: " + base64.b64encode(digest).decode()]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


async def connect(port, receive_buffer=None, address="127.0.0.1"):
    """A client's connection, before the first byte is sent."""
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (address, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Peer(connection, masks=True)


class Destination:
    """An application that passes its WebSockets to the test.

    `respond` returns its response to the head of a request, by default that of a WebSocket."""

    def __init__(self, respond=answer, receive_buffer=None):
        self.respond = respond
        # the class for an accepted connection
        self.make_peer = lambda connection: Peer(connection, masks=False)
        self.peers = {}
        self.all = []
        self.listener = socket.socket()
        # so that a test can close it and listen at the same address again
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.setblocking(False)
        self.listener.bind(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    async def __aenter__(self):
        self.listener.listen(1024)
        self.task = asyncio.create_task(self._accept())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        self.listener.close()
        for peer in self.all:
            peer.close()

    async def _accept(self):
        tasks = set()
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(self.listener)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = self.make_peer(connection)
            self.all.append(peer)
            task = asyncio.create_task(self._shake_hands(peer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _shake_hands(self, peer):
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
            await peer.begin()
            if await peer.until_head():
                await peer.send(self.respond(peer.head))
                path = peer.head.split()[1].decode(errors="replace")
                if self._expected(path).done():
                    del self.peers[path]
                self._expected(path).set_result(peer)

    def _expected(self, path):
        return self.peers.setdefault(path, asyncio.get_running_loop().create_future())

    async def peer(self, path, timeout=10):
        """The destination's end of the WebSocket with this path."""
        return await asyncio.wait_for(asyncio.shield(self._expected(path)), timeout * PATIENCE)
