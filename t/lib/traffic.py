"""Behaviour of the ends of a tunnel, for several tests."""

import asyncio
import contextlib
import random

import frames
from frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT


async def answer_all(peer, answer=True, timeout=20):
    """Answers Pings and the Close, as RFC 6455 requires, until the end; returns all frames but the
    Pings."""
    received = []
    while (frame := await peer.next(timeout)) is not None:
        if frame.opcode == PING:
            if answer:
                await peer.frame(PONG, frame.payload)
            continue
        received.append(frame)
        if frame.opcode == CLOSE:
            received += await _answer_close(peer, frame)
            break
    return received


async def _answer_close(peer, close):
    """Answers a Close; returns further bytes, which should not exist."""
    # the sender may have closed the connection as well
    with contextlib.suppress(ConnectionError):
        await peer.frame(CLOSE, close.payload)
        # the server closes the connection first
        if peer.masks and (rest := await peer.rest()):
            return frames.decode_all(rest)
    peer.close()
    return []


async def next_close(peer, timeout=20):
    """The Close that an end receives, after any other frames."""
    while (frame := await peer.next(timeout)) is not None:
        if frame.opcode == CLOSE:
            return frame
    raise AssertionError("the connection was closed without a Close")


async def echo(peer):
    """Sends back every frame until the connection is closed."""
    while (frame := await peer.next()) is not None:
        await peer.frame(frame.opcode, frame.payload, fin=frame.fin, rsv=frame.rsv)


def stream(peer, size, seed):
    """Frames of all kinds as one end might send them, about this many bytes."""
    chance = random.Random(seed)
    data = bytearray()
    while len(data) < size:
        data += _message(peer, chance)
    return bytes(data)


def _message(peer, chance):
    mask = {"mask": chance.randbytes(4)} if peer.masks else {}
    longest = chance.choice([0, 1, 125, 126, 127, 300, 65535, 65536, 70000])
    payload = chance.randbytes(longest if chance.random() < 0.5 else chance.randint(0, longest))
    parts = chance.choice([1, 1, 1, 2, 3, 7])
    cuts = sorted(chance.randint(0, len(payload)) for _ in range(parts - 1))
    data = b""
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(payload)])):
        opcode = CONTINUATION if number else chance.choice([TEXT, BINARY])
        data += peer.encode(opcode, payload[start:end], fin=number == parts - 1,
                            rsv=0 if number else chance.choice([0, 4]), **mask)
        if chance.random() < 0.2:
            data += peer.encode(chance.choice([PING, PONG]), chance.randbytes(chance.randint(0, 125)),
                                **mask)
    return data


async def flood(peer):
    """Sends messages until the connection ends."""
    message = peer.encode(BINARY, b"f" * 60_000)
    with contextlib.suppress(ConnectionError):
        while True:
            await peer.send(message)
