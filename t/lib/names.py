"""A nameserver whose answers a test can change."""

import asyncio
import socket
import struct


class Names:
    """Answers with the addresses of `known`, with a TTL of one second; other names do not exist."""

    def __init__(self, **known):
        self.known = known

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(
            lambda: _Protocol(self.known), local_addr=("127.0.0.1", 0))
        self.port = self.transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_):
        self.transport.close()


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, known):
        self.known = known

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        # one question: labels, then type and class
        labels, at = [], 12
        while size := data[at]:
            labels.append(data[at + 1 : at + 1 + size].decode())
            at += 1 + size
        question = data[12 : at + 5]
        (kind,) = struct.unpack("!H", data[at + 1 : at + 3])
        addresses = self.known.get(labels[0])
        records = [b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 1, 4) + socket.inet_aton(address)
                   for address in (addresses or []) if kind == 1]
        code = 0 if addresses is not None else 3
        head = struct.pack("!HHHHHH", *struct.unpack("!H", data[:2]), 0x8180 | code, 1, len(records),
                           0, 0)
        self.transport.sendto(head + question + b"".join(records), addr)
