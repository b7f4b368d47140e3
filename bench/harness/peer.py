"""A proxy in the comparison: its configuration, start, reload, stop, CPU and memory."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from harness import proc
from harness.nginx import free_port

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
VENV = ROOT / "build/venv"
NOFILE = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
CONNECTIONS = min(NOFILE, 65_536) - 100
"""Connections of one nginx worker; a proxied WebSocket takes two."""
PROBE = (
    "PROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\n"
    "GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
)


class Missing(Exception):
    """A peer that is not installed."""


def program(name: str, *places: Path) -> Path:
    """The path of a program."""
    for place in places:
        if place.is_file():
            return place
    found = shutil.which(name)
    if not found:
        raise Missing(f"{name} is not installed")
    return Path(found)


class Peer:
    """A proxy on one core, with its own ports and folder, in front of `destination`."""

    name = ""
    title = ""
    configuration: tuple[str, ...] = ()
    """The names of its files in bench/peers."""
    stop_signal = signal.SIGTERM
    """The signal that stops its container."""
    reload_how = "signal"

    def __init__(self, destination: str, core: int | str = 0):
        self.destination = destination
        self.core = core
        self.port, self.plain_port, self.admin_port = (free_port() for _ in range(3))
        self.generation = 0
        self.folder = Path(tempfile.mkdtemp(prefix=f"bench-{self.name}-"))
        # if nginx runs as root, its worker runs as another user and writes here
        self.folder.chmod(0o777)
        for file in self.configuration:
            self.render(file, self.target(file))
        self.process = None

    @classmethod
    def version(cls) -> str:
        """Its version; raises Missing if it is not installed."""
        raise NotImplementedError

    def command(self) -> list:
        """The command that starts it."""
        raise NotImplementedError

    def environment(self) -> dict:
        """Additional environment variables for its start."""
        return {}

    def target(self, file: str) -> Path:
        """The path of the rendered copy of a file of bench/peers."""
        return self.folder / file

    def values(self) -> dict:
        """The values of the placeholders @NAME@ in its configuration."""
        return {
            "PORT": self.port, "PLAIN": self.plain_port, "ADMIN": self.admin_port,
            "DESTINATION": self.destination,
            "DESTINATION_PORT": self.destination.rpartition(":")[2],
            "FOLDER": self.folder, "NOFILE": NOFILE, "CONNECTIONS": CONNECTIONS,
            "MAXCONN": (NOFILE - 500) // 2, "GENERATION": self.generation, "BUFFERS": "",
        }

    def render(self, file: str, target: Path) -> None:
        """Writes a configuration file with its values filled in, atomically."""
        values = self.values()
        text = re.sub(
            r"@([A-Z_]+)@", lambda match: str(values[match[1]]),
            (BENCH / "peers" / file).read_text(),
        )
        new = target.with_name(f".{target.name}.new")
        new.write_text(text)
        new.rename(target)

    @property
    def address(self) -> str:
        """The address of the listener that proxies WebSockets and requests."""
        return f"127.0.0.1:{self.port}"

    @property
    def plain_address(self) -> str:
        """The address of the listener that redirects requests."""
        return f"127.0.0.1:{self.plain_port}"

    def start(self) -> tuple[float, float]:
        """Starts it; returns the seconds to the first answered /ping and first proxied request."""
        command = ["taskset", "-c", str(self.core), *map(str, self.command())]
        with open(self.folder / "output", "wb") as output:
            began = time.monotonic()
            # in its own session, so that all of its processes can be killed, and no others
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=os.environ | self.environment(), cwd=self.folder, start_new_session=True,
            )
        answered = []
        while time.monotonic() < began + 30 and self.process.poll() is None:
            # some peers answer /ping before they can proxy
            if not self._answers("/ping" if not answered else "/"):
                time.sleep(0.0005)
                continue
            answered.append(time.monotonic() - began)
            if len(answered) == 2:
                return answered[0], answered[1]
        said = self.said()
        self.close()
        raise RuntimeError(f"{self.name} does not answer: {said[-2000:]}")

    def _answers(self, path: str) -> bool:
        with suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(PROBE.format(path).encode())
                return b" 200 " in probe.recv(1024)
        return False

    def said(self) -> str:
        """Its output."""
        files = [self.folder / "output", self.folder / "error.log"]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def pids(self) -> list[int]:
        """All of its processes."""
        return proc.session(self.process.pid)

    def cpu_seconds(self) -> float:
        """CPU time of its processes and threads so far."""
        return sum(proc.all_threads_seconds(pid) for pid in self.pids())

    def anonymous_bytes(self) -> int:
        """Memory of its processes that is not backed by files; a shared page counts once."""
        return sum(proc.own_anonymous_bytes(pid) for pid in self.pids())

    def reload(self) -> None:
        """Makes it reload its configuration."""
        raise NotImplementedError

    def stop(self) -> None:
        """Sends the stop signal, as its container would."""
        self.process.send_signal(self.stop_signal)

    def gone(self) -> bool:
        """Whether all of its processes have ended."""
        self.process.poll()
        return not self.pids()

    def close(self) -> None:
        """Kills it."""
        if self.process and self.pids():
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
            for pid in self.pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.process:
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()
