"""An nginx for a test, with the module, in front of a destination that the test controls.

    async with Nginx(location="websocket_ping 1s;") as nginx:
        client, destination = await nginx.tunnel("/chat")

In configuration snippets FOLDER, PORT, DESTINATION and OTHER stand for the folder of this nginx,
its port, the destination's address and a second free port. `with_modules` are names of modules of
t/modules. On exit from the context no worker may have an open connection, nginx must stop after
SIGQUIT, and there must be no [alert], [crit] or [emerg] in the error log that `asks_for` does not
name, and no report of a sanitizer or valgrind.
"""

import asyncio
import collections
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import frames
import modules
from peer import Destination, answer, connect, request
from tap import INSTRUMENTED, VALGRIND, equal, until

ROOT = Path(__file__).resolve().parents[2]
PREFIX = ROOT / (os.environ.get("NGINX_PREFIX") or "build")
BINARY = PREFIX / "sbin/nginx"
MODULES = PREFIX / "modules"
OWN = MODULES / "ngx_http_elb_websocket_module.so"

LOUD = re.compile(r"\[(alert|crit|emerg)\]|panicked at")

CONFIGURATION = """
daemon off;
%(user)s
%(modules)s
worker_processes %(workers)d;
pid FOLDER/nginx.pid;
error_log FOLDER/error.log %(level)s;
%(main)s
events {
    worker_connections %(connections)d;
    %(events)s
}
http {
    access_log off;
    client_body_temp_path FOLDER/client_body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection upgrade;
    websocket_tunnel on;
    websocket_log FOLDER/websocket.log json;
    %(http)s
    server {
        listen 127.0.0.1:PORT;
        %(server)s
        location / {
            proxy_pass http://DESTINATION;
            %(location)s
        }
    }
}
"""


# Tests run in parallel: each process has its own range of a hundred ports, as in free_port of
# Process.pm, so that no other test uses a port that must stay closed.
PORTS = 10000 + os.getpid() % 200 * 100


# The ports returned last, which may not be in use yet.
GIVEN = collections.deque(maxlen=50)


def free_port():
    """A port without a listener, below the kernel's range of ephemeral ports."""
    while True:
        port = PORTS + random.randrange(100)
        if port in GIVEN:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            GIVEN.append(port)
            return port


def _about():
    return subprocess.run([BINARY, "-V"], capture_output=True, text=True, check=True).stderr


def version():
    """The version of nginx under test, as numbers."""
    return tuple(map(int, re.search(r"nginx/([\d.]+)", _about())[1].split(".")))


def built_with(module):
    """Whether nginx has a module that is not built by default."""
    return f"--with-{module}" in _about()


def methods():
    """nginx's event methods, each with the arguments of Nginx that select it. Those other than
    epoll are level-triggered; nginx binaries of distributions do not have them."""
    also = [method for method in ("poll", "select") if built_with(f"{method}_module")]
    if not also and "NGINX_BUILD_DIR" not in os.environ:
        raise RuntimeError("the vendored nginx has neither poll nor select")
    # select supports descriptors up to 1023
    return {method: {"events": f"use {method};", "connections": 512} for method in ["epoll", *also]}


class Nginx:
    """See the module; omitted arguments have the defaults above."""

    def __init__(self, location="", server="", http="", main="", events="", workers=1,
                 connections=4096, level="info", respond=answer,
                 receive_buffer=None, configuration=CONFIGURATION, asks_for=None,
                 with_modules=()):
        self.parts = {"location": location, "server": server, "http": http, "main": main,
                      "events": events, "workers": workers, "connections": connections, "level": level}
        self.configuration = configuration
        self.destination = Destination(respond, receive_buffer)
        self.asks_for = asks_for
        self.with_modules = with_modules
        self.peers = []
        self.stopping = False

    async def __aenter__(self):
        if not OWN.exists():
            raise RuntimeError(f'no nginx and module in {PREFIX}: run "make build"')
        self.stack = contextlib.AsyncExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="websocket-test-"))
        self.stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        # workers of another user need access
        self.folder.chmod(0o755)
        await self.stack.enter_async_context(self.destination)
        self.port, self.other = free_port(), free_port()
        self.built = [modules.build(name, self.folder, BINARY) for name in self.with_modules]
        self.configure()
        self.process = subprocess.Popen(
            [*self._wrapper(), str(BINARY), "-p", str(PREFIX), "-c", f"{self.folder}/nginx.conf",
             "-e", f"{self.folder}/error.log"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=(self.folder / "stderr").open("w"), env=self._environment(),
            start_new_session=True)
        self.stack.callback(self._kill)
        await until(self._is_ready, 20, "nginx did not start")
        return self

    def _wrapper(self):
        if not VALGRIND:
            return []
        return ["valgrind", "--quiet", "--num-callers=30", "--trace-children=yes",
                "--leak-check=full", "--show-leak-kinds=definite",
                f"--suppressions={ROOT}/t/valgrind.suppress", f"--log-file={self.folder}/valgrind.%p"]

    def _environment(self):
        asked = os.environ.get("ASAN_OPTIONS", "detect_leaks=0:detect_odr_violation=0")
        return {**os.environ, "ASAN_OPTIONS": f"{asked}:log_path={self.folder}/sanitizer"}

    def _is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"nginx ended at once: {(self.folder / 'stderr').read_text()}")
        pid = self.folder / "nginx.pid"
        if "master_process off" in self.parts["main"]:
            return pid.exists() and pid.read_text()
        return pid.exists() and len(self.workers()) == self.parts["workers"]

    async def __aexit__(self, kind, *_):
        try:
            for peer in [*self.peers, *self.destination.all]:
                peer.close()
            # if a test has failed already, this would only hide the cause
            if kind is None:
                await self._stop()
            if loud := "\n".join(self.loud()):
                raise AssertionError(f"nobody asked for:\n{loud[:8000]}")
        finally:
            await self.stack.aclose()

    async def _stop(self):
        """Stops nginx as an operator would."""
        if not self.stopping:
            await self.has_no_connections()
            self.signal("QUIT")
        equal(await self.has_ended(20), 0, "status of nginx")

    def _kill(self):
        """Kills the remaining processes of nginx, including workers without a master."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def fill_in(self, text):
        """A configuration snippet with the words in capitals replaced."""
        words = {"FOLDER": self.folder, "PORT": self.port, "OTHER": self.other,
                 "DESTINATION": f"127.0.0.1:{self.destination.port}"}
        return re.sub(r"\b(FOLDER|PORT|OTHER|DESTINATION)\b", lambda m: str(words[m[1]]), text)

    def configure(self, **parts):
        """Writes the configuration, with some parts changed."""
        self.parts.update(parts)
        # an nginx built without some of its own modules has them in the folder of ours
        beside = sorted(set(MODULES.glob("*.so")) - {OWN})
        text = self.configuration % {
            **self.parts, "user": "user root;" if os.geteuid() == 0 else "",
            "modules": "\n".join(f"load_module {module};"
                                 for module in [OWN, *beside, *self.built])}
        (self.folder / "nginx.conf").write_text(self.fill_in(text))

    def make_certificate(self):
        """Writes a TLS certificate to the folder: cert.pem and key.pem."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-subj", "/CN=test", "-days", "2", "-keyout", f"{self.folder}/key.pem",
             "-out", f"{self.folder}/cert.pem"], check=True, capture_output=True)

    def check(self):
        """The errors that nginx reports for the configuration."""
        tried = subprocess.run(
            [BINARY, "-p", PREFIX, "-c", f"{self.folder}/nginx.conf", "-e", "stderr", "-t", "-q"],
            capture_output=True, text=True, env=self._environment(), check=False)
        return tried.stderr

    def signal(self, name):
        """Sends a signal to the master."""
        self.stopping = self.stopping or name in ("QUIT", "TERM")
        os.kill(int((self.folder / "nginx.pid").read_text()), getattr(signal, "SIG" + name))

    async def reload(self, **parts):
        """Reloads, with some parts of the configuration changed; returns the process ids of the old
        workers."""
        old = self.workers()
        self.configure(**parts)
        self.signal("HUP")
        await until(lambda: len(set(self.workers()) - set(old)) == self.parts["workers"],
                    what="no new workers")
        await self.are_leaving(old)
        return old

    async def are_leaving(self, workers):
        """Waits until workers accept no new connections."""
        def all_leave():
            log = "\n".join(self.messages())
            return all(f"{pid}#{pid}: gracefully shutting down" in log for pid in workers
                       if is_running(pid))
        await until(all_leave, what="the old workers go on")

    async def has_ended(self, timeout=10):
        """Waits for the master to exit; returns its status."""
        await until(lambda: self.process.poll() is not None, timeout, "nginx did not end")
        return self.process.returncode

    def workers(self):
        """Process ids of the workers, old and new."""
        pid = self.folder / "nginx.pid"
        with contextlib.suppress(FileNotFoundError, ValueError):
            master = int(pid.read_text())
            return [int(child)
                    for child in Path(f"/proc/{master}/task/{master}/children").read_text().split()
                    if is_running(int(child))]
        return []

    @property
    def worker(self):
        """The process id of the worker."""
        workers = self.workers()
        return workers[-1] if workers else self.process.pid

    def connections(self, pid):
        """The number of open connections of a process, including those closed by their peers."""
        found, links = set(), ()
        # the process may exit in the meantime
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            links = list(Path(f"/proc/{pid}/fd").iterdir())
        for link in links:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if inode := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link)):
                    found.add(inode[1])
        # the others are listeners, the channels between nginx's processes, and the resolver's
        # sockets
        return len(found - _inodes("tcp", 9, only="0A") - _inodes("tcp6", 9, only="0A")
                   - _inodes("udp", 9) - _inodes("unix", 6))

    async def has_no_connections(self, timeout=10):
        """Waits until no worker has a connection."""
        def none():
            return not any(map(self.connections, self.workers()))
        await until(none, timeout, "connections are left open")

    def ticks(self):
        """The CPU time of the worker, in the system's ticks."""
        fields = Path(f"/proc/{self.worker}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    async def is_idle(self, seconds=1):
        """Waits until the worker has been idle for some time."""
        async def used():
            before = self.ticks()
            await asyncio.sleep(seconds)
            return (self.ticks() - before) / (seconds * os.sysconf("SC_CLK_TCK"))
        shares = []
        for _ in range(5):
            shares.append(await used())
            if shares[-1] < 0.05:
                return
        raise AssertionError(f"the worker is never idle, it takes {shares} of a processor")

    def memory(self, pid=None):
        """Private memory of the worker, in bytes; constant if the worker is instrumented."""
        if INSTRUMENTED:
            return 0
        text = Path(f"/proc/{pid or self.worker}/smaps_rollup").read_text()
        return sum(int(kb) for kb in re.findall(r"(?:Private_Dirty|Swap): +(\d+) kB", text)) * 1024

    def messages(self):
        """Lines of the error log."""
        log = self.folder / "error.log"
        return log.read_text(errors="replace").splitlines() if log.exists() else []

    def loud(self):
        """Unexpected log messages, and findings of a sanitizer or valgrind."""
        loud = [line for line in self.messages() if LOUD.search(line)
                and not (self.asks_for and re.search(self.asks_for, line))]
        for pattern in ("sanitizer.*", "valgrind.*"):
            loud += [text for path in self.folder.glob(pattern) if (text := path.read_text())]
        return loud

    def ended(self):
        """The lines of websocket_log."""
        log = self.folder / "websocket.log"
        if not log.exists():
            return []
        # a line that is being written has no end yet
        return [json.loads(line) for line in log.read_text().splitlines(keepends=True)
                if line.endswith("\n")]

    async def end_of(self, path, timeout=15):
        """Waits for the tunnel with this path to end; returns its line of websocket_log."""
        def line():
            return next((line for line in self.ended() if line["uri"] == path), None)
        return await until(line, timeout, f"no end of {path}")

    async def connect(self, **how):
        """A connection to nginx."""
        peer = await connect(self.port, **how)
        self.peers.append(peer)
        return peer

    async def client(self, path, headers=(), early=b"", key=True, **how):
        """A client that has sent a handshake and received the head of a response."""
        peer = await self.connect(**how)
        await peer.send(request(path, headers, key) + early)
        await peer.until_head()
        return peer

    async def tunnel(self, path, **how):
        """Both ends of a new WebSocket, once nginx has switched to it."""
        client = await self.client(path, **how)
        equal(client.status, 101, "status of the handshake")
        return client, await self.destination.peer(path)

    async def talk(self, client, destination, what=b"hello"):
        """Exchanges a message between both ends."""
        await client.frame(frames.TEXT, what)
        equal((await destination.next()).payload, what, "message from the client")
        await destination.frame(frames.TEXT, what)
        equal((await client.next()).payload, what, "message from the destination")


def _inodes(kind, column, only=None):
    """The sockets in the kernel's table of this kind; for TCP, those in one state only."""
    lines = [line.split() for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]]
    return {fields[column] for fields in lines if only in (None, fields[3])}


def is_running(pid):
    """Whether a process is still running."""
    try:
        return not re.search(r"\) [ZX] ", Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return False
