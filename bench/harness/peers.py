"""The proxies that are compared, each with its configuration for the same job in bench/peers."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from harness import proc
from harness.nginx import free_port

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
VENV = ROOT / "build/venv"
NOFILE = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
CONNECTIONS = min(NOFILE, 65_536) - 100
"""Connections of one nginx worker; a proxied one takes two."""
PROBE = (
    "PROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\n"
    "GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
)


class Missing(Exception):
    """A peer that is not installed."""


def program(name: str, *places: Path) -> Path:
    """Where a program is."""
    for place in places:
        if place.is_file():
            return place
    found = shutil.which(name)
    if not found:
        raise Missing(f"{name} is not installed")
    return Path(found)


class Peer:
    """One proxy on a core, with ports and a folder of its own, fronting `destination`."""

    name = ""
    title = ""
    configuration: tuple[str, ...] = ()
    """Files of bench/peers."""
    stop_signal = signal.SIGTERM
    """What its container gets for a stop."""
    reload_how = "signal"

    def __init__(self, destination: str, core: int | str = 0):
        self.destination = destination
        self.core = core
        self.port, self.plain_port, self.admin_port = (free_port() for _ in range(3))
        self.generation = 0
        self.folder = Path(tempfile.mkdtemp(prefix=f"bench-{self.name}-"))
        # the worker of a root's nginx runs as another user and writes here
        self.folder.chmod(0o777)
        for file in self.configuration:
            self.render(file, self.target(file))
        self.process = None

    @classmethod
    def version(cls) -> str:
        """What it says of itself; raises Missing."""
        raise NotImplementedError

    def command(self) -> list:
        """How it is started."""
        raise NotImplementedError

    def environment(self) -> dict:
        """Variables that it is started with."""
        return {}

    def target(self, file: str) -> Path:
        """Where a file of bench/peers goes."""
        return self.folder / file

    def values(self) -> dict:
        """What stands for @NAME@ in its configuration."""
        return {
            "PORT": self.port, "PLAIN": self.plain_port, "ADMIN": self.admin_port,
            "DESTINATION": self.destination,
            "DESTINATION_PORT": self.destination.rpartition(":")[2],
            "FOLDER": self.folder, "NOFILE": NOFILE, "CONNECTIONS": CONNECTIONS,
            "MAXCONN": (NOFILE - 500) // 2, "GENERATION": self.generation, "BUFFERS": "",
        }

    def render(self, file: str, target: Path) -> None:
        """Writes a configuration file with its values filled in, all at once."""
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
        """Where WebSockets and requests are proxied."""
        return f"127.0.0.1:{self.port}"

    @property
    def plain_address(self) -> str:
        """Where requests are redirected."""
        return f"127.0.0.1:{self.plain_port}"

    def start(self) -> tuple[float, float]:
        """Starts it; seconds until it has answered a /ping, and until it has proxied a request."""
        command = ["taskset", "-c", str(self.core), *map(str, self.command())]
        with open(self.folder / "output", "wb") as output:
            began = time.monotonic()
            # in a session of its own, so that all its processes can be ended and no others
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=os.environ | self.environment(), cwd=self.folder, start_new_session=True,
            )
        answered = []
        while time.monotonic() < began + 30 and self.process.poll() is None:
            # some answer the first before they know where to proxy the second
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
        """What it wrote."""
        files = [self.folder / "output", self.folder / "error.log"]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def pids(self) -> list[int]:
        """All of its processes."""
        return proc.session(self.process.pid)

    def cpu_seconds(self) -> float:
        """CPU that its processes and threads have used."""
        return sum(proc.all_threads_seconds(pid) for pid in self.pids())

    def anonymous_bytes(self) -> int:
        """Memory of its processes that belongs to no file; a shared page counts once."""
        return sum(proc.own_anonymous_bytes(pid) for pid in self.pids())

    def reload(self) -> None:
        """Has it take its configuration anew."""
        raise NotImplementedError

    def stop(self) -> None:
        """Asks it to end, as its container does."""
        self.process.send_signal(self.stop_signal)

    def gone(self) -> bool:
        """Whether no process is left."""
        self.process.poll()
        return not self.pids()

    def close(self) -> None:
        """Ends it, whatever it does."""
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


class Nginx(Peer):
    """The nginx that was built with the module, without it."""

    binary = ROOT / "build/sbin/nginx"
    stop_signal = signal.SIGQUIT
    reload_how = "SIGHUP"

    @classmethod
    def version(cls) -> str:
        binary = program("nginx", cls.binary)
        result = subprocess.run([binary, "-v"], capture_output=True, text=True, check=True)
        return result.stderr.strip().removeprefix("nginx version: ")

    def command(self) -> list:
        conf = self.folder / self.configuration[0]
        return [self.binary, "-p", self.folder, "-c", conf, "-g", "daemon off;"]

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)


class Classic(Nginx):
    """What the confd container renders."""

    name, title = "classic", "nginx, confd container"
    configuration = ("classic.conf",)


class Expert(Nginx):
    """A careful plain nginx.conf."""

    name, title = "expert", "nginx, expert"
    configuration = ("expert.conf",)


class Expert64(Expert):
    """The same with large buffers, which each WebSocket then has."""

    name, title = "expert64", "nginx, expert, 64 kB buffers"

    def values(self) -> dict:
        buffers = (
            "proxy_buffer_size 64k; proxy_buffers 4 64k; proxy_busy_buffers_size 128k;"
        )
        return super().values() | {"BUFFERS": buffers}


class Module(Nginx):
    """The shipped nginx.conf with the module, settings from the environment."""

    name, title = "module", "this module"
    conf = ROOT / "nginx/nginx.conf"
    settings: dict[str, str] = {}

    def __init__(self, destination: str, core: int | str = 0):
        super().__init__(destination, core)
        http = self.folder / "overrides/http"
        http.mkdir(parents=True)
        (http / "bench.conf").write_text("access_log off;\nkeepalive_requests 1000000000;\n")

    def command(self) -> list:
        return [self.binary, "-p", ROOT / "build", "-c", self.conf, "-g", "daemon off;"]

    def environment(self) -> dict:
        host, _, port = self.destination.rpartition(":")
        return {
            "LISTEN_ON": self.plain_address, "LISTEN_ON_TLS": self.address,
            "DESTINATION_HOSTNAME": host, "DESTINATION_PORT": port,
            "STATUS_LISTEN_ON": f"127.0.0.1:{self.admin_port}",
            "NGINX_PID": str(self.folder / "nginx.pid"),
            "ERROR_LOG": str(self.folder / "error.log"), "WEBSOCKET_LOG": "off",
            "TEMP_PATH": str(self.folder), "CONFIG_OVERRIDES": str(self.folder / "overrides"),
            "WORKER_PROCESSES": "1", "WORKER_CONNECTIONS": str(CONNECTIONS),
            # with reloads this close to each other, a drain that is over before the next one
            "WEBSOCKET_DRAIN_RELOAD": "1s",
        } | self.settings


class ModuleAgain(Module):
    """The module against itself: what a difference has to exceed."""

    name, title = "again", "this module, again"


class Haproxy(Peer):
    """HAProxy with a master, as packages and its image run it."""

    name, title = "haproxy", "HAProxy"
    configuration = ("haproxy.cfg",)
    stop_signal = signal.SIGUSR1
    reload_how = "SIGUSR2"

    @classmethod
    def version(cls) -> str:
        result = subprocess.run(
            [program("haproxy"), "-v"], capture_output=True, text=True, check=True
        )
        return "HAProxy " + result.stdout.split()[2]

    def command(self) -> list:
        return [program("haproxy"), "-W", "-f", self.folder / "haproxy.cfg"]

    def reload(self) -> None:
        self.process.send_signal(signal.SIGUSR2)


class Envoy(Peer):
    """Envoy with its listeners in a watched file, so that they can be changed."""

    name, title = "envoy", "Envoy"
    configuration = ("envoy.yaml", "envoy-listeners.yaml")
    reload_how = "watched listeners file"

    @staticmethod
    def binary() -> Path:
        """The program itself, not the script that starts it."""
        found = sorted(VENV.glob("lib/python*/site-packages/envoy/_bin/envoy"))
        return program("envoy", *found)

    @classmethod
    def version(cls) -> str:
        result = subprocess.run(
            [cls.binary(), "--version"], capture_output=True, text=True, check=True
        )
        return "Envoy " + re.search(r"version: \w+/([^/]+)/", result.stdout)[1]

    def target(self, file: str) -> Path:
        return self.folder / file.removeprefix("envoy-")

    def command(self) -> list:
        return [
            self.binary(), "-c", self.folder / "envoy.yaml", "--concurrency", 1,
            "--use-dynamic-base-id", "--log-level", "error", "--drain-time-s", 8,
        ]

    def reload(self) -> None:
        self.generation += 1
        self.render("envoy-listeners.yaml", self.target("envoy-listeners.yaml"))


class Traefik(Peer):
    """Traefik with its routes in a watched file."""

    name, title = "traefik", "Traefik"
    configuration = ("traefik.yaml", "traefik-routes.yaml")
    reload_how = "watched routes file"

    @classmethod
    def version(cls) -> str:
        result = subprocess.run(
            [program("traefik", VENV / "bin/traefik"), "version"],
            capture_output=True, text=True, check=True,
        )
        return "Traefik " + re.search(r"Version:\s+(\S+)", result.stdout)[1]

    def target(self, file: str) -> Path:
        return self.folder / file.removeprefix("traefik-")

    def command(self) -> list:
        return [program("traefik", VENV / "bin/traefik"), f"--configFile={self.folder}/traefik.yaml"]

    def reload(self) -> None:
        self.generation += 1
        self.render("traefik-routes.yaml", self.target("traefik-routes.yaml"))


class Caddy(Peer):
    """Caddy with a Caddyfile and its admin API."""

    name, title = "caddy", "Caddy"
    configuration = ("Caddyfile",)
    reload_how = "admin API"

    @classmethod
    def version(cls) -> str:
        result = subprocess.run(
            [program("caddy", VENV / "bin/caddy"), "version"],
            capture_output=True, text=True, check=True,
        )
        return "Caddy " + result.stdout.split()[0].removeprefix("v")

    def environment(self) -> dict:
        folder = str(self.folder)
        return {"HOME": folder, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder}

    def command(self) -> list:
        caddy = program("caddy", VENV / "bin/caddy")
        return [caddy, "run", "--config", self.folder / "Caddyfile", "--adapter", "caddyfile"]

    def reload(self) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin_port}/load",
            data=(self.folder / "Caddyfile").read_bytes(),
            # taken although nothing has changed
            headers={"Content-Type": "text/caddyfile", "Cache-Control": "must-revalidate"},
        )
        # through no proxy that the environment may name
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            answer.read()


KINDS = [Module, ModuleAgain, Classic, Expert, Expert64, Haproxy, Envoy, Traefik, Caddy]


def available(names: list[str]) -> tuple[dict[str, type[Peer]], dict[str, str], dict[str, str]]:
    """Of the peers that are asked for: those that are here, their versions, and why others are
    not."""
    kinds, versions, missing = {}, {}, {}
    for kind in KINDS:
        if names and kind.name not in names:
            continue
        try:
            versions[kind.name] = kind.version()
            kinds[kind.name] = kind
        except (Missing, OSError, subprocess.CalledProcessError, IndexError, TypeError) as error:
            missing[kind.name] = str(error)
    return kinds, versions, missing


def describe(kinds: dict[str, type[Peer]]) -> dict:
    """The configurations that were measured, for the results."""
    return {
        name: {"title": kind.title, "files": [f"bench/peers/{file}" for file in kind.configuration]
               or [str(Module.conf.relative_to(ROOT))], "reload": kind.reload_how,
               "stop": kind.stop_signal.name}
        for name, kind in kinds.items()
    }


