#!/usr/bin/python3
"""websocket_drain: when a worker leaves, each of its tunnels gets a Close 1001."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from frames import BINARY, CLOSE, TEXT
from nginx import Nginx, is_running
from peer import answer
from tap import between, equal, run, test, until
from traffic import answer_all, next_close


async def closes_of(*ends):
    """The codes of the Closes that the ends get; fails if they get anything else."""
    got = await asyncio.gather(*map(answer_all, ends))
    equal([[frame.opcode for frame in frames_of_end] for frames_of_end in got],
          [[CLOSE]] * len(ends), "what the ends got")
    return [frames_of_end[0].code for frames_of_end in got]


@test
async def the_two_closes_come_one_after_the_other():
    async with Nginx(http="websocket_drain 0;") as nginx:
        client, destination = await nginx.tunnel("/order")
        nginx.signal("QUIT")
        equal((await client.next()).code, 1001, "code of the client's Close")
        # the client may still send messages before it answers
        await client.frame(TEXT, b"last words")
        equal((await destination.next()).payload, b"last words")
        await client.frame(CLOSE, frames.close(1001))
        close = await destination.next()
        equal((close.opcode, close.code), (CLOSE, 1001), "the destination's Close")
        assert close.mask is not None, "it has no mask"
        await client.frame(TEXT, b"nobody may say more")
        await destination.frame(CLOSE, frames.close(1001))
        equal(await destination.rest(), b"", "nothing behind it")
        equal(await nginx.has_ended(), 0, "status of nginx")


@test
async def a_client_that_does_not_answer_is_waited_for_but_not_long():
    async with Nginx(http="websocket_drain 0 grace=1s handshake=2s;") as nginx:
        client, destination = await nginx.tunnel("/mute")
        nginx.signal("QUIT")
        equal((await client.next()).code, 1001, "code of the client's Close")
        equal((await next_close(destination)).code, 1001, "code of the destination's Close")
        await nginx.has_ended(8)
        equal((await nginx.end_of("/mute"))["close_reason"], "drain")


@test
async def a_message_that_never_ends_is_interrupted_between_frames():
    async with Nginx(http="websocket_drain 0 grace=1s handshake=2s;") as nginx:
        client, destination = await nginx.tunnel("/endless")
        await destination.frame(TEXT, b"begun", fin=False)
        equal((await client.next()).payload, b"begun")
        nginx.signal("QUIT")
        await asyncio.sleep(0.3)
        assert not client.buffer and await client.is_silent(0.1), "a Close within the grace"
        equal((await client.next()).code, 1001, "code of the client's Close")


@test
async def a_frame_that_never_ends_is_not_broken():
    async with Nginx(http="websocket_drain 0 grace=500ms handshake=1s;") as nginx:
        client, destination = await nginx.tunnel("/frame")
        part = destination.encode(BINARY, b"x" * 1000)[:500]
        await destination.send(part)
        equal(await client.exactly(500), part)
        nginx.signal("QUIT")
        equal(await client.rest(), b"", "what came behind half a frame")
        await nginx.has_ended(8)


@test
async def off_leaves_them():
    async with Nginx(http="websocket_drain off;") as nginx:
        client, destination = await nginx.tunnel("/left")
        old = await nginx.reload()
        await asyncio.sleep(3)
        await nginx.talk(client, destination)
        equal([is_running(pid) for pid in old], [True], "the old worker")
        client.close()
        await until(lambda: not is_running(old[0]), what="the old worker is still there")
        equal((await nginx.end_of("/left"))["close_reason"], "client")


@test
async def a_reload_has_its_own_time():
    async with Nginx(http="websocket_drain 0 reload=10m;") as nginx:
        ends = await nginx.tunnel("/reload")
        old = await nginx.reload()
        await asyncio.sleep(3)
        await nginx.talk(*ends)
        equal([is_running(pid) for pid in old], [True], "the old worker")


@test
async def a_stop_after_a_reload_does_not_wait_for_it():
    async with Nginx(http="websocket_drain 1s reload=60s;") as nginx:
        client, destination = await nginx.tunnel("/")
        answers = asyncio.gather(answer_all(client), answer_all(destination))
        await nginx.reload()
        nginx.signal("QUIT")
        await answers
        equal(await nginx.has_ended(30), 0)
        between(0, (await nginx.end_of("/"))["duration"], 20, "seconds")


@test
async def sigterm_closes_all_at_once():
    async with Nginx(http="websocket_drain 10m;") as nginx:
        pairs = [await nginx.tunnel(f"/{number}") for number in range(20)]
        nginx.signal("TERM")
        equal(await closes_of(*(end for pair in pairs for end in pair)), [1001] * 40)
        await nginx.has_ended(5)
        equal({line["close_reason"] for line in nginx.ended()}, {"drain"})
        equal(len(nginx.ended()), 20, "lines of websocket_log")


@test
async def worker_shutdown_timeout_ends_the_waiting():
    async with Nginx(main="worker_shutdown_timeout 2s;", http="websocket_drain 10m;") as nginx:
        pairs = [await nginx.tunnel(f"/{number}") for number in range(20)]
        nginx.signal("QUIT")
        await nginx.talk(*pairs[0])
        equal(await closes_of(*(end for pair in pairs for end in pair)), [1001] * 40)
        await nginx.has_ended(10)


@test
async def a_single_process_closes_as_it_ends():
    for name in ("QUIT", "TERM"):
        async with Nginx(main="master_process off;", http="websocket_drain 10m;") as nginx:
            pairs = [await nginx.tunnel(f"/{number}") for number in range(20)]
            nginx.signal(name)
            equal(await closes_of(*(end for pair in pairs for end in pair)), [1001] * 40)
            await nginx.has_ended(5)


@test
async def a_single_process_survives_a_reload():
    async with Nginx(main="master_process off;", http="websocket_drain 0;") as nginx:
        client, destination = await nginx.tunnel("/single")
        nginx.signal("HUP")
        await until(lambda: any("reconfiguring" in line for line in nginx.messages()))
        await asyncio.sleep(0.5)
        # without a master, nginx itself accepts no connections after a reload
        await nginx.talk(client, destination)


@test
async def a_handshake_under_way_joins():
    async with Nginx(http="websocket_drain 0;", respond=lambda head: b"") as nginx:
        waiting = asyncio.create_task(nginx.client("/under-way"))
        destination = await nginx.destination.peer("/under-way")
        nginx.signal("QUIT")
        await nginx.are_leaving(nginx.workers())
        await destination.send(answer(destination.head))
        client = await waiting
        equal(client.status, 101)
        equal(await closes_of(client, destination), [1001, 1001])
        equal(await nginx.has_ended(), 0, "status of nginx")


@test
async def ends_that_are_closing_by_themselves_are_left_to_it():
    async with Nginx(http="websocket_drain 0;") as nginx:
        client, destination = await nginx.tunnel("/closing")
        await client.frame(CLOSE, frames.close(4000))
        equal((await destination.next()).code, 4000)
        nginx.signal("QUIT")
        await asyncio.sleep(0.5)
        await destination.frame(CLOSE, frames.close(4001))
        equal((await client.next()).code, 4001, "code of the client's Close")
        destination.close()
        line = await nginx.end_of("/closing")
        equal((line["close_reason"], line["close_code"]), ("client", 4000))


@test
async def closes_are_spread():
    count, seconds = (5000, 30) if os.environ.get("TEST_LONG") else (400, 4)
    async with Nginx(http=f"websocket_drain {seconds}s;", connections=16384) as nginx:
        pairs = [await nginx.tunnel(f"/{number}") for number in range(count)]
        loop = asyncio.get_running_loop()

        async def close_time(client, destination):
            closing = asyncio.create_task(answer_all(destination, timeout=120))
            await next_close(client, timeout=120)
            time = loop.time() - start
            await client.frame(CLOSE, frames.close(1001))
            await closing
            return time

        start = loop.time()
        nginx.signal("QUIT")
        times = sorted(await asyncio.gather(*(close_time(*pair) for pair in pairs)))
        for quarter in range(1, 4):
            between(seconds * (quarter - 1) / 4, times[count * quarter // 4],
                    seconds * quarter / 4 + 3, f"seconds to {quarter} quarters")
        between(seconds / 2, times[-1], seconds + 8, "seconds to the last")
        await nginx.has_ended(15)


run(limit=300)
