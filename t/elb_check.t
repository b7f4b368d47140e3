#!/usr/bin/python3
"""elb_check: destinations that die, come back, are slow or answer something else."""

import asyncio
import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from backend import Backend
from checked import HTTP, ONCE, TCP, Checked
from nginx import version
from tap import equal, run, test, until

# interim responses may precede the final one
HINT = [b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"]


async def dies_and_comes_back(nginx):
    """A destination that stops listening, and later listens again."""
    await nginx.is_spread()
    await nginx.b.stop()
    line = await nginx.tells(nginx.b, "is down: connect: Connection refused$")
    assert "[warn]" in line, line
    before = nginx.refused()
    equal(await nginx.answers(), {"a"}, "who answers")
    for number in range(6):
        path = f"/socket/{number}"
        equal((await nginx.client(path)).status, 101, "handshake")
        assert path in nginx.a.requests, "the WebSocket is at the other one"
    equal(nginx.refused(), before, "requests that were sent to it")
    await nginx.b.start()
    assert "[notice]" in await nginx.tells(nginx.b, "is up$")
    await nginx.is_spread()
    equal(len(nginx.told(nginx.a, "")), 0, "words about the other one")


@test
async def by_tcp():
    async with Checked(TCP) as nginx:
        await dies_and_comes_back(nginx)
        assert nginx.b.accepted > len(nginx.b.requests), "they were connections"
        equal(nginx.b.heads, [], "requests of checks")


@test
async def by_http():
    async with Checked(HTTP) as nginx:
        await dies_and_comes_back(nginx)
        head = nginx.a.heads[0].decode()
        assert head.startswith("GET /check HTTP/1.1\r\n"), head
        assert f"\r\nHost: {nginx.a.address}\r\n" in head, head
        assert "\r\nConnection: close\r\n" in head, head
        # nginx read each response to its end
        equal((nginx.a.resets, nginx.b.resets), (0, 0), "connections that were reset")


@test
async def by_http_with_a_host():
    async with Checked(f"{HTTP} host=app.example:8080") as nginx:
        await until(lambda: nginx.a.heads and nginx.b.heads, what="there are no checks")
        for head in nginx.a.heads[0], nginx.b.heads[0]:
            equal(head.count(b"\r\nHost: "), 1, head)
            assert b"\r\nHost: app.example:8080\r\n" in head, head


@test
async def what_an_answer_says():
    async with Checked(f"{HTTP} status=200-204,404") as nginx:
        turns = [
            (503, "status 503"), (204, None), (301, "status 301"), (404, None), (205, "status 205"),
            ([b"H", b"TTP/1.", b"0 2", b"00", b" OK\r\n\r\n"], None),
            (None, "timed out after 1s"), (200, None),
            (b"", "closed without an answer"), (200, None),
            (b"HTTP/1.1 2", "closed without an answer"), (200, None),
            (HINT * 3 + [b"HTTP/1.1 503 Busy\r\n\r\n"], "status 503"),
            ([b"HTTP/1.1 100 Continue\r\n\r\n", *HINT * 9, b"HTTP/1.1 200 OK\r\n\r\n"], None),
            ([HINT[0] * 1500], "answered with 64 kB of interim answers"), (200, None),
            (b"220 mail.test ESMTP\r\n", "answered with something other than HTTP/1"), (200, None),
        ]
        downs = ups = 0
        for how, failure in turns:
            nginx.b.how = how
            if failure:
                downs += 1
                assert (await nginx.tells(nginx.b, "is down", downs)).endswith(failure), failure
                equal(await nginx.answers(6), {"a"}, f"who answers: {failure}")
            else:
                ups += 1
                await nginx.tells(nginx.b, "is up$", ups)
                await nginx.is_spread()


@test
async def a_slow_one():
    async with Checked(HTTP) as nginx:
        nginx.b.delay = 0.1
        await asyncio.sleep(1)
        equal(nginx.told(nginx.b, ""), [], "words about one that is slow, but in time")
        nginx.b.delay = 30
        await nginx.tells(nginx.b, "is down: timed out after 1s$")
        nginx.b.delay = 0
        await nginx.tells(nginx.b, "is up$")


@test
async def one_that_sends_without_end():
    async with Checked(HTTP) as nginx:
        nginx.b.how = [b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (8 << 20)]
        await until(lambda: nginx.b.resets + nginx.b.ended > 5, what="its checks do not end")
        equal(nginx.told(nginx.b, ""), [], "words about it")


@test
async def a_hung_one_accepts_connections():
    async with Checked(TCP) as nginx:
        nginx.b.how = None
        await until(lambda: nginx.b.accepted > 5, what="it is not checked")
        equal(nginx.told(nginx.b, ""), [], "words about it")


@test
async def few_failures_change_nothing():
    async with Checked("elb_check 150ms timeout=1s rise=2 fall=1000 path=/check") as nginx:
        await until(lambda: nginx.b.heads, what="no check")
        nginx.b.how = 500
        await nginx.tells(nginx.b, "fails a check: status 500$", 5)
        equal(nginx.told(nginx.b, "is "), [], "changes")
        await nginx.is_spread()


@test
async def the_first_result_decides():
    nginx = Checked(ONCE)
    nginx.b.how = 500
    async with nginx:
        await nginx.tells(nginx.b, "is down: status 500$")
        equal(await nginx.answers(), {"a"}, "who answers")


@test
async def all_are_dead():
    async with Checked(TCP) as nginx:
        await nginx.a.stop()
        await nginx.b.stop()
        await nginx.tells(nginx.a, "is down")
        await nginx.tells(nginx.b, "is down")
        before = nginx.refused()
        equal(await nginx.answers(4), {502}, "answers")
        equal(nginx.refused(), before, "requests that were sent to one")
        await nginx.a.start()
        await nginx.tells(nginx.a, "is up$")
        equal(await nginx.answers(4), {"a"}, "who answers")


@test
async def a_backup():
    async with Checked(TCP, servers="server A max_fails=0; server B backup;") as nginx:
        equal(await nginx.answers(6), {"a"}, "who answers")
        await nginx.a.stop()
        await nginx.tells(nginx.a, "is down")
        equal(await nginx.answers(6), {"b"}, "who answers")
        await nginx.b.stop()
        await nginx.tells(nginx.b, "is down")
        before = nginx.refused()
        equal(await nginx.answers(6), {502}, "answers")
        equal(nginx.refused(), before, "requests that were sent to one")
        await nginx.b.start()
        await nginx.tells(nginx.b, "is up$")
        equal(await nginx.answers(6), {"b"}, "who answers")


@test
async def one_that_the_configuration_takes_out():
    async with Checked(HTTP, servers="server A; server B down;") as nginx:
        await until(lambda: len(nginx.a.heads) > 5, what="no checks")
        equal(nginx.b.accepted, 0, "checks of it")
        equal(await nginx.answers(), {"a"}, "who answers")


@test
async def the_same_address_twice():
    servers = "server A; server B max_fails=0; server B max_fails=0 backup;"
    async with Checked(HTTP, servers=servers) as nginx:
        await until(lambda: len(nginx.b.heads) > 4, what="no checks")
        assert abs(len(nginx.a.heads) - len(nginx.b.heads)) <= 3, "each is checked once a turn"
        await nginx.b.stop()
        await nginx.tells(nginx.b, "is down")
        equal(len(nginx.told(nginx.b, "is down")), 1, "words about it")
        equal(await nginx.answers(), {"a"}, "who answers")


@test
async def what_requests_have_found_is_forgotten():
    servers = "server A max_fails=1 fail_timeout=1h; server B max_fails=1 fail_timeout=1h;"
    async with Checked(HTTP, servers=servers) as nginx:
        await nginx.is_spread()
        await nginx.b.stop()
        while not nginx.refused() and not nginx.told(nginx.b, "is down"):
            await nginx.answers(4)
        await nginx.tells(nginx.b, "is down")
        await nginx.b.start()
        await nginx.tells(nginx.b, "is up")
        await nginx.is_spread()


@test
async def balancers():
    methods = ["least_conn", "ip_hash", "hash $uri", "hash $uri consistent", "random",
               "random two", "keepalive 4"]
    methods += [f"{method}; keepalive 4" for method in methods[:-1]]
    if version() >= (1, 29, 6):
        methods += ["sticky cookie id", "least_conn; sticky cookie id; keepalive 4"]
    blocks = "".join(f"upstream m{n} {{ {method}; server A max_fails=0; server B max_fails=0;"
                     f" {TCP}; }}\n" for n, method in enumerate(methods))
    nginx = Checked(TCP)
    nginx.parts["http"] += nginx.fill_in_servers(blocks)
    nginx.parts["server"] = "".join(
        f"location ^~ /m{n}/ {{ proxy_pass http://m{n}; }}" for n in range(len(methods))
    ) + nginx.parts["server"]
    async with nginx:
        await nginx.b.stop()
        for number in range(len(methods)):
            said = f"destination {nginx.b.address} of upstream \"m{number}\" is down"
            await until(lambda said=said: any(said in line for line in nginx.messages()),
                        what=said)
        before = nginx.refused()
        for number, method in enumerate(methods):
            got = {(await nginx.get(f"/m{number}/{turn}"))[:2] for turn in range(12)}
            equal(got, {(200, "a")}, method)
        equal(nginx.refused(), before, "requests that were sent to it")


@test
async def a_unix_socket():
    nginx = Checked(HTTP, servers="server A; server unix:/FOLDER/b.socket max_fails=0;")
    # FOLDER is an absolute path
    nginx.parts["http"] = nginx.parts["http"].replace("unix:/F", "unix:F")
    async with nginx:
        await until(lambda: any("b.socket of upstream \"app\" is down: connect: No such file"
                                in line for line in nginx.messages()), what="it is not down")
        backend = Backend("b", host=f"{nginx.folder}/b.socket")
        await backend.start()
        os.chmod(backend.host, 0o777)
        await until(lambda: any(line.endswith("b.socket of upstream \"app\" is up")
                                for line in nginx.messages()), what="it is not up")
        await nginx.is_spread()
        assert b"\r\nHost: localhost\r\n" in backend.heads[-1], backend.heads[-1]
        await backend.stop()


@test
async def no_connection_is_left_for_a_check():
    async with Checked(HTTP, workers=1, connections=14,
                       asks_for="worker_connections are not enough") as nginx:
        await until(lambda: nginx.b.heads, what="no check")
        clients = []

        def met_by_checks():
            return sum(line.endswith("connections are not enough") for line in nginx.messages())
        # a check may hold a connection while clients come, so more clients have to follow
        while met_by_checks() <= 5:
            assert len(clients) < 500, "checks find a connection"
            clients.append(await nginx.connect())
            # nginx would close a connection without any bytes to make room
            with contextlib.suppress(ConnectionError):
                await clients[-1].send(b"GET / HT")
            await asyncio.sleep(0.03)
        for client in clients:
            client.close()
        equal(nginx.told(nginx.b, ""), [], "words about it")
        count = len(nginx.b.heads)
        await until(lambda: len(nginx.b.heads) > count, what="it is checked no more")


@test
async def no_checks():
    async with Checked("elb_check off") as nginx:
        await nginx.is_spread()
        await asyncio.sleep(0.7)
        equal((nginx.a.heads, nginx.b.heads), ([], []), "checks")
        equal(nginx.a.accepted, len(nginx.a.requests), "connections")


run(limit=90, together=False)
