"""WebSocket frames as bytes, RFC 6455 section 5.2, valid or invalid."""

import struct
from typing import NamedTuple, Optional

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Frame(NamedTuple):
    """A received frame."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    mask: Optional[bytes] = None

    @property
    def code(self):
        """The status code of a Close."""
        return struct.unpack("!H", self.payload[:2])[0] if len(self.payload) >= 2 else None


def masked(payload, mask):
    """The payload, masked or unmasked."""
    key = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")


def encode(opcode, payload=b"", fin=True, rsv=0, mask=None):
    """A frame, masked if there is a mask of four bytes."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    bit = 0x80 if mask is not None else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 1 << 16:
        head += struct.pack("!BH", bit | 126, len(payload))
    else:
        head += struct.pack("!BQ", bit | 127, len(payload))
    return head + (payload if mask is None else mask + masked(payload, mask))


def close(code, reason=b""):
    """The payload of a Close."""
    return struct.pack("!H", code) + reason


def decode(data):
    """The first frame of the data and the remaining bytes; None for an incomplete frame."""
    if len(data) < 2:
        return None, data
    size, at = data[1] & 0x7F, 2
    if size >= 126:
        form, at = ("!H", 4) if size == 126 else ("!Q", 10)
        if len(data) < at:
            return None, data
        size = struct.unpack(form, data[2:at])[0]
    mask = None
    if data[1] & 0x80:
        mask, at = bytes(data[at : at + 4]), at + 4
    if len(data) < at + size:
        return None, data
    payload = bytes(data[at : at + size])
    if mask:
        payload = masked(payload, mask)
    frame = Frame(data[0] & 0x0F, payload, bool(data[0] & 0x80), data[0] >> 4 & 7, mask)
    return frame, data[at + size :]


def decode_all(data):
    """All frames of the data, which must end with a complete one."""
    frames = []
    while data:
        frame, data = decode(data)
        if frame is None:
            raise AssertionError(f"the data ends within a frame: {bytes(data[:40])!r}")
        frames.append(frame)
    return frames
