#!/usr/bin/python3
"""elb_listen ... proxy_protocol=optional: connections with or without a PROXY header."""

import asyncio
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import Nginx, is_running
from peer import connect
from tap import equal, run, test, until

ANSWER = 'return 200 "$remote_addr $proxy_protocol_addr $request_uri\\n";'
TRUST = "set_real_ip_from 127.0.0.0/8; set_real_ip_from ::1; real_ip_header proxy_protocol;"
LISTEN = "elb_listen STATUS_LISTEN_ON default=127.0.0.1:OTHER proxy_protocol=optional"
SERVER = f"{TRUST} server {{ {LISTEN}; {ANSWER} }}"

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ADDRESSES = socket.inet_aton("192.0.2.3") + socket.inet_aton("192.0.2.2")
V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1111 443\r\n"
V1_UNKNOWN = b"PROXY UNKNOWN\r\n"
V2 = SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 12) + ADDRESSES + struct.pack("!HH", 1111, 443)
# as Amazon's load balancer sends it: the checksum and the endpoint's name follow the addresses
V2_LONG = (SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 12 + 7 + 26) + ADDRESSES
           + struct.pack("!HH", 1111, 443) + b"\x03\0\x04crc!" + b"\xea\0\x17\x01vpce-08d2bf15fac5001c")
V2_LOCAL = SIGNATURE + struct.pack("!BBH", 0x20, 0, 0)

# a header, and the client's address in it
FORMS = [
    (b"", "127.0.0.1 "), (V1, "192.0.2.1 192.0.2.1"), (V1_UNKNOWN, "127.0.0.1 "),
    (V2, "192.0.2.3 192.0.2.3"), (V2_LONG, "192.0.2.3 192.0.2.3"), (V2_LOCAL, "127.0.0.1 "),
]


def head(path="/ping", method="GET"):
    return f"{method} {path} HTTP/1.1\r\nHost: app.example\r\n\r\n".encode()


async def client(nginx, sent=b"", port=None, **how):
    peer = await connect(port or nginx.other, **how)
    nginx.peers.append(peer)
    await peer.send(sent)
    return peer


async def answer(peer):
    """The status and the body of the next response, without the newline at its end."""
    assert await peer.until_head(), "the connection was closed"
    length = next(int(line.split(b":")[1]) for line in peer.head.split(b"\r\n")
                  if line.lower().startswith(b"content-length:"))
    return peer.status, (await peer.exactly(length)).decode().rstrip("\n")


async def is_closed_without_answer(peer):
    # the kernel resets a connection that is closed with unread bytes
    await peer.until_gone()
    equal(bytes(peer.buffer), b"", "what came before the end")


async def waiting(nginx):
    """Clients that the worker has accepted and waits for."""
    peers = [await client(nginx, sent) for sent in (b"", b"P", V1[:-1], V2[:-1])]
    await until(lambda: nginx.connections(nginx.worker) == len(peers), what="they do not wait")
    return peers


@test
async def with_and_without_a_header():
    async with Nginx(http=SERVER) as nginx:
        for header, who in FORMS:
            peer = await client(nginx, header + head("/a?b=c"))
            equal(await answer(peer), (200, f"{who} /a?b=c"), f"after {header!r}")
            # the client's address holds for all requests of the connection
            await peer.send(head("/again"))
            equal(await answer(peer), (200, f"{who} /again"), f"again after {header!r}")


@test
async def a_header_alone_comes_first():
    async with Nginx(http=SERVER) as nginx:
        peers = [await client(nginx, header) for header, _ in FORMS]
        await asyncio.sleep(0.3)
        for peer, (header, who) in zip(peers, FORMS):
            await peer.send(head())
            equal(await answer(peer), (200, f"{who} /ping"), f"after {header!r}")


@test
async def byte_by_byte():
    async def one(nginx, header, who):
        peer = await client(nginx)
        for byte in header + head():
            await peer.send(bytes([byte]))
            await asyncio.sleep(0.01)
        equal(await answer(peer), (200, f"{who} /ping"), f"after {header!r}")

    async with Nginx(http=SERVER) as nginx:
        await asyncio.gather(*(one(nginx, *form) for form in FORMS))


@test
async def split_anywhere():
    async def one(nginx, header, who, at):
        peer = await client(nginx, header[:at])
        await asyncio.sleep(0.3)
        await peer.send(header[at:] + head())
        equal(await answer(peer), (200, f"{who} /ping"), f"{header!r} split at {at}")

    async with Nginx(http=SERVER) as nginx:
        await asyncio.gather(*(one(nginx, header, who, at) for header, who in FORMS
                               for at in range(1, len(header))))


@test
async def a_request_that_begins_like_a_header():
    async with Nginx(http=SERVER) as nginx:
        for whole, expected in [(head("/", "POST"), 200), (head("/", "PUT"), 200),
                                (head("/", "PROPFIND"), 200), (b"\r\n" + head("/"), 200),
                                (b"PROXX TCP4 192.0.2.1 192.0.2.2 1111 443\r\n\r\n", 400),
                                (b"proxy TCP4 192.0.2.1 192.0.2.2 1111 443\r\n\r\n", 400)]:
            peers = [await client(nginx, whole[:size]) for size in (1, 2, 4, 5, len(whole))]
            await asyncio.sleep(0.3)
            for size, peer in zip((1, 2, 4, 5, len(whole)), peers):
                await peer.send(whole[size:])
                status, _ = await answer(peer)
                equal(status, expected, f"{whole!r} split at {size}")


@test
async def a_broken_header_is_not_served():
    broken = [b"PROXY nonsense\r\n" + head(), b"PROXY " + b"x" * 200,
              SIGNATURE + b"\x31\x11\0\x0c" + ADDRESSES + b"\0\0\0\0" + head(),
              SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 5000,
              # only one header may precede the request
              V1 + V1 + head()]
    async with Nginx(http=SERVER) as nginx:
        for sent in broken[:-1]:
            await is_closed_without_answer(await client(nginx, sent))
        equal((await answer(await client(nginx, broken[-1])))[0], 400, "status after two headers")
        log = "\n".join(nginx.messages())
        for text in ('broken header: "PROXY nonsense', "unknown PROXY protocol version: 3",
                     "header is too large", " while reading PROXY protocol, client: 127.0.0.1"):
            assert text in log, f"the log does not say: {text}"


@test
async def one_that_leaves_is_let_go():
    async with Nginx(http=SERVER + "access_log FOLDER/access.log;") as nginx:
        for sent in (b"", b"P", b"PROXY", V1[:-1], V2[:5], V2[:-1]):
            peer = await client(nginx, sent)
            await asyncio.sleep(0.1)
            peer.finish()
            await is_closed_without_answer(peer)
            # all at once
            peer = await client(nginx, sent)
            peer.finish()
            await is_closed_without_answer(peer)
            peer = await client(nginx, sent)
            peer.reset()
            peer = await client(nginx, sent)
            await asyncio.sleep(0.1)
            peer.reset()
        await nginx.has_no_connections()
        equal((nginx.folder / "access.log").read_text(), "", "access log")


@test
async def one_that_says_its_request_and_leaves_is_answered():
    async with Nginx(http=SERVER) as nginx:
        for header, who in FORMS:
            peer = await client(nginx, header + head())
            peer.finish()
            equal(await answer(peer), (200, f"{who} /ping"), f"after {header!r}")


@test
async def one_that_stalls_is_let_go():
    async with Nginx(http="client_header_timeout 1s;" + SERVER) as nginx:
        sent = (b"", b"P", b"PROXY ", V1[:-1], V2[:12], V2[:-1])
        peers = [await client(nginx, start) for start in sent]
        await asyncio.gather(*map(is_closed_without_answer, peers))
        assert "client timed out" in "\n".join(nginx.messages()), "nothing of it in the log"


@test
async def drops_do_not_move_the_timeout():
    async with Nginx(http="client_header_timeout 1s;" + SERVER) as nginx:
        peer = await client(nginx)

        async def drip():
            for byte in V1[:-1]:
                await peer.send(bytes([byte]))
                await asyncio.sleep(0.2)

        dripping = asyncio.create_task(drip())
        await is_closed_without_answer(peer)
        try:
            await dripping
        except ConnectionError:
            return
        raise AssertionError("it was waited for")


@test
async def a_stop_does_not_wait():
    async with Nginx(http="client_header_timeout 10m;" + SERVER) as nginx:
        peers = await waiting(nginx)
        nginx.signal("QUIT")
        await asyncio.gather(*map(is_closed_without_answer, peers))
        equal(await nginx.has_ended(10), 0, "status of nginx")


@test
async def reloads():
    async with Nginx(http="client_header_timeout 10m;" + SERVER) as nginx:
        for _ in range(3):
            peers = await waiting(nginx)
            old = await nginx.reload()
            await asyncio.gather(*map(is_closed_without_answer, peers))
            await until(lambda: not is_running(old[0]), what="the old worker is still there")
            for header, who in FORMS:
                peer = await client(nginx, header + head())
                equal(await answer(peer), (200, f"{who} /ping"), f"after {header!r}")
                peer.close()
        await nginx.reload(http=SERVER.replace(" proxy_protocol=optional", ""))
        peer = await client(nginx, V1 + head())
        equal((await answer(peer))[0], 400, "status once the parameter is gone")
        equal((await answer(await client(nginx, head())))[0], 200, "status without a header")


@test
async def several_workers_with_reuseport():
    async with Nginx(http=SERVER.replace("=optional", "=optional reuseport"), workers=3) as nginx:
        for _ in range(10):
            for header, who in FORMS:
                peer = await client(nginx, header + head())
                equal(await answer(peer), (200, f"{who} /ping"), f"after {header!r}")
                peer.close()


@test
async def in_a_single_process():
    async with Nginx(http=SERVER, main="master_process off;") as nginx:
        for header, who in FORMS:
            equal(await answer(await client(nginx, header + head())), (200, f"{who} /ping"))


@test
async def servers_that_share_the_address_in_the_same_way():
    both = (f"{TRUST} server {{ {LISTEN}; server_name first.example; return 200 first; }}"
            f"server {{ {LISTEN} default_server; server_name app.example; {ANSWER} }}")
    async with Nginx(http=both) as nginx:
        for header, who in FORMS:
            equal(await answer(await client(nginx, header + head())), (200, f"{who} /ping"))
            first = head().replace(b"app.example", b"first.example")
            equal(await answer(await client(nginx, header + first)), (200, "first"))


@test
async def only_that_address_of_a_port():
    # one socket for all addresses of the port, on which core would at once read available bytes
    any_address = f"{SERVER} server {{ listen OTHER deferred; return 200 other; }}"
    async with Nginx(http=any_address) as nginx:
        for header, who in FORMS:
            equal(await answer(await client(nginx, header + head())), (200, f"{who} /ping"))
        equal(await answer(await client(nginx, head(), address="127.0.0.2")), (200, "other"))
        peer = await client(nginx, V1 + head(), address="127.0.0.2")
        equal((await answer(peer))[0], 400, "status after a header on another address")


@test
async def beside_an_address_with_http2():
    # nginx before 1.25.1 has a special handler for the start of such a connection
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
    other = LISTEN.replace("STATUS_LISTEN_ON default=127.0.0.1", "MY_ADDRESS default=127.0.0.2")
    both = f"{SERVER} server {{ {other} http2; return 200 other; }}"
    async with Nginx(http=both) as nginx:
        for header, who in ((b"", "127.0.0.1 "), (V1, "192.0.2.1 192.0.2.1")):
            peer = await client(nginx, header + preface, address="127.0.0.2")
            settings = await peer.exactly(9)
            equal(settings[3:5], b"\x04\0", f"type and flags of the first frame after {header!r}")
            equal(await answer(await client(nginx, header + head())), (200, f"{who} /ping"))


@test
async def all_addresses():
    every = SERVER.replace("127.0.0.1:OTHER", "OTHER")
    async with Nginx(http=every) as nginx:
        for header, who in FORMS:
            peer = await client(nginx, header + head(), address="127.0.0.2")
            equal(await answer(peer), (200, f"{who} /ping"))


@test
async def an_ipv6_address():
    on_ipv6 = SERVER.replace("127.0.0.1:OTHER", "[::1]:OTHER")
    async with Nginx(http=on_ipv6) as nginx:
        for header, who in FORMS:
            peer = await client(nginx, header + head(), address="::1")
            equal(await answer(peer), (200, f"{who.replace('127.0.0.1', '::1')} /ping"))


run()
