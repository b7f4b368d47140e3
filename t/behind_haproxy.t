#!/usr/bin/python3
"""Two instances from start to stop behind a real load balancer: HAProxy sends the PROXY protocol
and checks /ready while 1,000 WebSockets are open. When one instance stops, HAProxy marks it as down
before it closes a WebSocket; its clients get a Close 1001 and reconnect to the other instance."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from nginx import BINARY, PREFIX, ROOT, free_port
from peer import Destination, Peer, request
from status import status
from tap import between, equal, run, test, until

CLIENTS = 1000

HAPROXY = """
global
    stats socket {folder}/admin
    maxconn 8000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
    option redispatch
frontend clients
    bind 127.0.0.1:{port}
    default_backend instances
backend instances
    balance roundrobin
    option httpchk
    http-check send meth GET uri /ready
    default-server inter 200ms fastinter 200ms downinter 200ms fall 2 rise 2 send-proxy-v2
    # as a Network Load Balancer checks, with a header that names nobody, and as a Classic ELB
    # does, without one
    server a 127.0.0.1:{a.port} check port {a.status_port} check-send-proxy
    server b 127.0.0.1:{b.port} check port {b.status_port}
"""


class Instance:
    """The shipped configuration behind the image's entry point, with an application of its own."""

    def __init__(self, name, folder):
        self.folder = folder / name
        self.folder.mkdir()
        self.port, self.status_port, self.plain = free_port(), free_port(), free_port()
        self.destination = Destination()
        self.process = None

    def start(self):
        """Starts nginx as the container does."""
        environment = {
            **os.environ,
            "LISTEN_ON": f"127.0.0.1:{self.plain}", "LISTEN_ON_TLS": f"127.0.0.1:{self.port}",
            "STATUS_LISTEN_ON": f"127.0.0.1:{self.status_port}",
            "DESTINATION_HOSTNAME": "127.0.0.1",
            "DESTINATION_PORT": str(self.destination.port), "DESTINATION_CHECK": "200ms",
            "DESTINATION_CHECK_RISE": "1", "DESTINATION_CHECK_FALL": "2",
            "DRAIN_FILE": f"{self.folder}/drain", "DRAIN_DELAY": "2", "WEBSOCKET_DRAIN": "2s",
            "NGINX_PID": f"{self.folder}/nginx.pid", "TEMP_PATH": str(self.folder),
            "ERROR_LOG": f"{self.folder}/error.log", "ACCESS_LOG": "/dev/null",
            "WEBSOCKET_LOG": f"{self.folder}/websocket.log", "LOG_FORMAT": "json",
            "CONFIG_OVERRIDES": f"{self.folder}/none", "WORKER_PROCESSES": "2"}
        self.process = subprocess.Popen(
            ["sh", ROOT / "nginx/entrypoint", BINARY, "-p", PREFIX, "-c", ROOT / "nginx/nginx.conf",
             "-e", f"{self.folder}/error.log", "-g", "daemon off;"],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=(self.folder / "stderr").open("w"), start_new_session=True)

    def stop(self):
        """Asks the instance to stop, as a container runtime does."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self):
        """Kills the remaining processes of the instance."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Scene:
    """HAProxy, and two instances that are not yet started."""

    async def __aenter__(self):
        self.stack = contextlib.AsyncExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="websocket-test-"))
        self.stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o777)
        self.a, self.b = Instance("a", self.folder), Instance("b", self.folder)
        for instance in (self.a, self.b):
            instance.folder.chmod(0o777)
            await self.stack.enter_async_context(instance.destination)
            self.stack.callback(instance.kill)
        self.port = free_port()
        configuration = self.folder / "haproxy.cfg"
        configuration.write_text(HAPROXY.format(
            folder=self.folder, port=self.port, a=self.a, b=self.b))
        self.haproxy = subprocess.Popen(
            ["haproxy", "-db", "-f", configuration], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=(self.folder / "haproxy").open("w"))
        self.stack.callback(self.haproxy.wait)
        self.stack.callback(self.haproxy.kill)
        await until((self.folder / "admin").exists, what="HAProxy did not start")
        return self

    async def __aexit__(self, *error):
        await self.stack.aclose()

    def seen(self, name):
        """HAProxy's state of an instance: UP or DOWN, and the status of the last check."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self.folder / "admin"))
            admin.sendall(b"show stat\n")
            text = b"".join(iter(lambda: admin.recv(65536), b"")).decode()
        names, *rows = [line.split(",") for line in text.removeprefix("# ").splitlines() if line]
        row = next(dict(zip(names, row)) for row in rows if row[:2] == ["instances", name])
        return row["status"].split()[0], row["check_code"]

    async def sees(self, name, *expected):
        """Waits until HAProxy reports this state of an instance."""
        await until(lambda: self.seen(name) == expected, 20,
                    f"{name} is not {expected}, but {self.seen(name)}")

    def complaints(self):
        """The log messages of both instances above the level of a warning."""
        return [line for instance in (self.a, self.b)
                for line in (instance.folder / "error.log").read_text().splitlines()
                if any(level in line for level in ("[emerg]", "[alert]", "[crit]", "panicked"))]


class Client:
    """A client that reconnects after each Close, and records how each WebSocket ended."""

    def __init__(self, scene, number):
        self.scene, self.number = scene, number
        self.ends, self.rounds, self.peer = [], 0, None

    async def open(self):
        """Opens a WebSocket through HAProxy."""
        connection = socket.socket()
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.scene.port))
        self.peer = Peer(connection, masks=True)
        self.rounds += 1
        await self.peer.send(request(f"/{self.number}/{self.rounds}"))
        await self.peer.until_head()
        equal(self.peer.status, 101, "status of the handshake")

    async def live(self):
        """Reads until the test cancels it."""
        try:
            while True:
                frame = await self.peer.next(timeout=120)
                if frame is None or frame.opcode != frames.CLOSE:
                    self.ends.append("cut off" if frame is None else frame)
                    return
                self.ends.append(frame.code)
                await self.peer.frame(frames.CLOSE, frame.payload)
                equal(await self.peer.next(timeout=20), None, "after the Close")
                self.peer.close()
                await self.open()
        except (OSError, AssertionError, asyncio.TimeoutError) as error:
            self.ends.append(repr(error))
        finally:
            self.peer.close()


async def answer_closes(destination):
    """An application that answers each Close."""
    async def one(peer):
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError, AssertionError):
            while frame := await peer.next(timeout=120):
                if frame.opcode == frames.CLOSE:
                    await peer.frame(frames.CLOSE, frame.payload)
        peer.close()

    known, tasks = set(), []
    while True:
        for peer in destination.all:
            if peer.head and id(peer) not in known:
                known.add(id(peer))
                tasks.append(asyncio.create_task(one(peer)))
        await asyncio.sleep(0.02)


async def active(instance):
    """The number of open WebSockets in the status of an instance."""
    return (await status(instance.status_port))["websockets"]["active"]


@test
async def nobody_sees_anything_but_1001(scene):
    a, b = scene.a, scene.b
    await scene.sees("a", "DOWN", "")
    for instance in (a, b):
        instance.start()
    for name in "ab":
        await scene.sees(name, "UP", "200")

    # the application of the first instance stops, and starts again
    port = a.destination.port
    a.destination.task.cancel()
    a.destination.listener.close()
    await scene.sees("a", "DOWN", "503")
    equal((await status(a.status_port))["health"], "destination down")
    equal([one["up"] for one in (await status(a.status_port))["destinations"]], [False])
    a.destination.listener = socket.socket()
    a.destination.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    a.destination.listener.setblocking(False)
    a.destination.listener.bind(("127.0.0.1", port))
    await a.destination.__aenter__()
    await scene.sees("a", "UP", "200")
    equal((await status(a.status_port))["health"], "ok")

    applications = [asyncio.create_task(answer_closes(instance.destination))
                    for instance in (a, b)]
    clients = [Client(scene, number) for number in range(CLIENTS)]
    for client in clients:
        await client.open()
    lives = [asyncio.create_task(client.live()) for client in clients]
    # a worker counts a WebSocket once its 101 has been sent
    for _ in range(50):
        on_a, on_b = await active(a), await active(b)
        if on_a + on_b == CLIENTS:
            break
        await asyncio.sleep(0.1)
    equal(on_a + on_b, CLIENTS, "open WebSockets")
    between(400, on_a, 600, "on the first")

    a.stop()
    await scene.sees("a", "DOWN", "503")
    # HAProxy marked it as down before it closed any WebSocket
    equal(sum(len(client.ends) for client in clients), 0, "ended by now")
    told = await status(a.status_port)
    equal((told["health"], told["websockets"]["active"]), ("draining", on_a))
    equal(await asyncio.to_thread(a.process.wait, 30), 0, "status of the first")
    await scene.sees("a", "DOWN", "")

    async def all_on_b():
        for _ in range(400):
            if await active(b) == CLIENTS:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{await active(b)} on the second")
    await all_on_b()
    ends = [end for client in clients for end in client.ends]
    equal((len(ends), set(ends)), (on_a, {1001}), "how they ended")
    equal((await status(b.status_port))["websockets"]["opened"], CLIENTS, "opened by the second")
    equal(scene.complaints(), [], "complaints")
    for task in [*lives, *applications]:
        task.cancel()
    await asyncio.gather(*lives, *applications, return_exceptions=True)
    await scene.sees("b", "UP", "200")
    b.stop()
    equal(await asyncio.to_thread(b.process.wait, 30), 0, "status of the second")


run(Scene(), limit=150)
