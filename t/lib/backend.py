"""A destination whose health the test controls, and which counts its requests."""

import asyncio
import contextlib
import re

from peer import answer


class Backend:
    """Listens between start() and stop(), always at the same address.

    `how` is its response to a check (a GET of /check): a status; bytes that it sends unchanged
    before it closes; or None, for no response. All other requests are answered with 200 and the
    name of the backend, a handshake with 101."""

    def __init__(self, name, port=0, host="127.0.0.1", how=200):
        self.name, self.port, self.host, self.how = name, port, host, how
        self.delay = 0
        self.heads, self.requests = [], []
        self.accepted = self.resets = self.ended = 0
        self.server = None
        self.writers = set()

    async def start(self):
        """Starts listening."""
        if str(self.host).startswith("/"):
            self.server = await asyncio.start_unix_server(self._serve, self.host)
            return
        self.server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self):
        """Stops listening, and closes its connections."""
        if self.server:
            self.server.close()
            self.server = None
        for writer in list(self.writers):
            writer.close()
        await asyncio.sleep(0)

    @property
    def address(self):
        """The address."""
        return f"{self.host}:{self.port}"

    async def _serve(self, reader, writer):
        self.accepted += 1
        self.writers.add(writer)
        try:
            await self._answer(reader, writer)
            if not await reader.read(1):
                self.ended += 1
        except ConnectionError:
            self.resets += 1
        except asyncio.IncompleteReadError:
            self.ended += 1
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"GET /check"):
            self.requests.append(head.split()[1].decode())
            if re.search(rb"(?i)\r\nupgrade: websocket\r", head):
                writer.write(answer(head))
            else:
                writer.write(_response(200, self.name))
            return await writer.drain()
        self.heads.append(head)
        await asyncio.sleep(self.delay)
        if self.how is None:
            return None
        if isinstance(self.how, int):
            # with a body larger than one read
            writer.write(_response(self.how, "x" * 30000))
            return await writer.drain()
        for part in self.how if isinstance(self.how, list) else [self.how]:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)
        with contextlib.suppress(OSError):
            writer.write_eof()
        return None


def _response(status, body):
    return (f"HTTP/1.1 {status} Status\r\nContent-Length: {len(body)}\r\n"
            f"Connection: close\r\n\r\n{body}").encode()
