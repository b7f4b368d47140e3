"""The proxies in the comparison. bench/peers has their configurations for the same job."""

import re
import signal
import subprocess
import urllib.request
from pathlib import Path

from harness.peer import CONNECTIONS, ROOT, VENV, Missing, Peer, program


class Nginx(Peer):
    """The nginx that was built with the module, but run without it."""

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
    """The configuration that the confd container renders."""

    name, title = "classic", "nginx, confd container"
    configuration = ("classic.conf",)


class Expert(Nginx):
    """A careful plain nginx.conf."""

    name, title = "expert", "nginx, expert"
    configuration = ("expert.conf",)


class Expert64(Expert):
    """The same with large buffers, which each WebSocket then allocates."""

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
            # reloads follow each other quickly: the drain must end before the next one
            "WEBSOCKET_DRAIN_RELOAD": "1s",
        } | self.settings


class ModuleAgain(Module):
    """The module against itself, to show which differences are noise."""

    name, title = "again", "this module, again"


class Haproxy(Peer):
    """HAProxy with a master, as its packages and its image run it."""

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
    """Envoy with its listeners in a watched file, so that a reload can change them."""

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
        traefik = program("traefik", VENV / "bin/traefik")
        return [traefik, f"--configFile={self.folder}/traefik.yaml"]

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
            # reloads even if nothing has changed
            headers={"Content-Type": "text/caddyfile", "Cache-Control": "must-revalidate"},
        )
        # ignores a proxy in the environment
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            answer.read()


KINDS = [Module, ModuleAgain, Classic, Expert, Expert64, Haproxy, Envoy, Traefik, Caddy]


def available(names: list[str]) -> tuple[dict[str, type[Peer]], dict[str, str], dict[str, str]]:
    """The requested peers that are installed, their versions, and the reasons why others are
    missing."""
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
    """The configuration files of the measured peers, for the results."""
    return {
        name: {"title": kind.title, "files": [f"bench/peers/{file}" for file in kind.configuration]
               or [str(Module.conf.relative_to(ROOT))], "reload": kind.reload_how,
               "stop": kind.stop_signal.name}
        for name, kind in kinds.items()
    }


