"""The questions of the comparison, and how each is measured."""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from harness import proc
from harness.figures import figure, order
from harness.load import Clients, Destination
from harness.peer import NOFILE, Peer

PROXY_CORE, LOAD_CORE = 0, 1
Kinds = dict[str, type[Peer]]


@dataclass
class Scale:
    """The size of the measurements."""

    rounds: int
    part: float
    """The share of the messages of a full round."""
    sockets: int
    """The number of idle WebSockets."""
    starts: int
    seconds: float
    """Seconds after which a row starts no further round, in case other processes slow it down."""
    quick: bool = False


FULL = Scale(rounds=8, part=1.0, sockets=11_000, starts=10, seconds=80)
QUICK = Scale(rounds=3, part=0.4, sockets=3_000, starts=4, seconds=15, quick=True)


@contextmanager
def surviving(failed: dict[str, str], name: str) -> Iterator[None]:
    """Records the failure of one peer, so that the others can continue."""
    try:
        yield
    except (RuntimeError, OSError, KeyError) as error:
        failed[name] = str(error)[-500:]
        print(f"      {name} failed: {failed[name]}", file=sys.stderr)


def without(values: dict[str, list[float]], failed: dict[str, str]) -> dict[str, list[float]]:
    """The values of the peers that have not failed."""
    return {name: of_peer for name, of_peer in values.items() if name not in failed}


@dataclass
class Cpu:
    """Rounds of messages on connections that stay open; the peers take turns."""

    id: str
    question: str
    title: str
    mode: str
    count: int
    """Messages, requests or handshakes of a full round."""
    unit: str
    """The divisor of the CPU time."""
    sockets: int = 0
    extra: tuple = ()
    plain: bool = False
    """Whether the load goes to the listener that redirects."""
    quick: bool = True
    """Whether a quick run includes this row."""
    without: tuple[str, ...] = ("expert64",)
    """Peers to leave out, because their result equals that of another peer."""
    counted: str = "--messages"
    """The load tool's option for the count."""

    def options(self, scale: Scale) -> tuple:
        """Options for the load tool."""
        count = max(int(self.count * scale.part), self.sockets)
        sockets = ("--sockets", self.sockets) if self.sockets else ()
        return (*sockets, self.counted, count, *self.extra, "--max-seconds", 600)

    def measure(self, kinds: Kinds, destination: Destination, scale: Scale) -> dict:
        """Measures CPU for each unit, rate, latency, and how busy the proxy was."""
        values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        failed: dict[str, str] = {}
        kinds = {name: kind for name, kind in kinds.items() if name not in self.without}
        with ExitStack() as stack:
            running = {}
            for name, kind in kinds.items():
                with surviving(failed, name):
                    peer = stack.enter_context(kind(destination.address, PROXY_CORE))
                    address = peer.plain_address if self.plain else peer.address
                    clients = stack.enter_context(
                        Clients(LOAD_CORE, self.mode, address, *self.options(scale))
                    )
                    clients.go()  # fills caches and buffers
                    running[name] = peer, clients
            pids = [destination.process.pid]
            for peer, clients in running.values():
                pids += [clients.process.pid, *peer.pids()]
            foreign = proc.Foreign(pids)
            began = time.monotonic()
            for turn in range(scale.rounds):
                if turn >= 2 and time.monotonic() > began + scale.seconds:
                    break
                for name in order(list(running), turn):
                    if name not in failed:
                        with surviving(failed, name):
                            self._round(*running[name], values, name)
            others = foreign.cores()
        good = {what: without(by, failed) for what, by in values.items()}
        return {"figures": self._figures(good), "failed": failed,
                "other_processes_cores": others}

    def _round(self, peer: Peer, clients: Clients, values: dict, name: str) -> None:
        before = peer.cpu_seconds()
        line = clients.go()
        time.sleep(0.01)  # when the proxy sleeps, the kernel updates its CPU counters
        used = peer.cpu_seconds() - before
        done = line["bytes"] / 1e9 if "GB" in self.unit else line["messages"] / 1e5
        values["cpu"][name].append(used / done)
        # for a bulk transfer only the speed has a meaning
        rate = line["bytes"] / 1e6 if "GB" in self.unit else line["messages"]
        values["rate"][name].append(rate / line["seconds"])
        values["busy"][name].append(used / line["seconds"])
        for quantile in ("p50", "p99", "p99.9") if "latency_us" in line else ():
            values[quantile][name].append(line["latency_us"][quantile])

    def _figures(self, values: dict) -> dict:
        rate = "MB a second" if "GB" in self.unit else f"{self.counted[2:]} a second"
        if self.mode == "handshakes":
            rate = "handshakes a second"
        units = {"cpu": f"CPU s / {self.unit}", "rate": rate, "busy": "cores"}
        return {
            what: figure(units.get(what, "µs"), by, "more" if what == "rate" else "less")
            for what, by in values.items()
        }


@dataclass
class Memory:
    """The memory that many WebSockets add to the proxy."""

    id: str = "memory"
    question: str = "memory"
    title: str = "memory of a WebSocket"
    quick: bool = True

    def measure(self, kinds: Kinds, destination: Destination, scale: Scale) -> dict:
        """Measures bytes for each WebSocket: idle, after 1 kB each way, after 60 kB each way."""
        values: dict[str, dict[str, list[float]]] = defaultdict(dict)
        failed: dict[str, str] = {}
        # a proxied WebSocket takes two open files
        sockets = min(scale.sockets, (NOFILE - 2000) // 2)
        for name, kind in kinds.items():
            with surviving(failed, name):
                idle, after, whole = self._one(kind, destination, 1000, sockets)
                again, large, _ = self._one(kind, destination, 60_000, sockets)
                values["idle"][name] = [idle, again]
                values["after 1 kB"][name] = [after]
                values["after 60 kB"][name] = [large]
                values["whole"][name] = [whole / 1e6]
                print(f"      {name}: {idle:,.0f} idle, {after:,.0f} after 1 kB, "
                      f"{large:,.0f} after 60 kB", flush=True)
        return {
            "figures": {
                what: figure("MB" if what == "whole" else "bytes a socket", by)
                for what, by in values.items()
            },
            "failed": failed, "from": 1000, "to": sockets,
        }

    @staticmethod
    def _one(
        kind: type[Peer], destination: Destination, size: int, total: int
    ) -> tuple[float, float, int]:
        with ExitStack() as stack:
            peer = stack.enter_context(kind(destination.address, PROXY_CORE))

            def open_sockets(count: int) -> Clients:
                clients = stack.enter_context(Clients(
                    LOAD_CORE, "echo", peer.address, "--sockets", count, "--messages", count,
                    "--size", size,
                ))
                time.sleep(0.5)
                return clients

            # some sockets first: memory that a proxy allocates only once is no cost of a socket
            first = open_sockets(1000)
            before = peer.anonymous_bytes()
            rest = open_sockets(total - 1000)
            whole = peer.anonymous_bytes()
            for clients in (first, rest):
                clients.go()
            time.sleep(0.5)
            after = peer.anonymous_bytes()
            return (whole - before) / (total - 1000), (after - before) / (total - 1000), whole


@dataclass
class Start:
    """The time from the start of the process to its first answer."""

    id: str = "start"
    question: str = "start"
    title: str = "start to first answer"
    quick: bool = True

    def measure(self, kinds: Kinds, destination: Destination, scale: Scale) -> dict:
        """Measures milliseconds to the first answer to `/ping` and to the first proxied request.
        Each start is a new process."""
        values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        failed: dict[str, str] = {}
        kinds = {name: kind for name, kind in kinds.items() if name != "expert64"}
        for turn in range(scale.starts):
            for name in order(list(kinds), turn):
                if name in failed:
                    continue
                with surviving(failed, name):
                    peer = kinds[name](destination.address, PROXY_CORE)
                    try:
                        ping, proxied = peer.start()
                    finally:
                        peer.close()
                    values["/ping"][name].append(ping * 1e3)
                    values["proxied"][name].append(proxied * 1e3)
        return {"figures": {what: figure("ms", without(by, failed)) for what, by in values.items()},
                "failed": failed}


WITHOUT_CLOSE = ("closed without a close", "cut off", "reset", "connect failed")


@dataclass
class Life:
    """The effect of reloads, or of a stop, on open WebSockets. All peers run at once, because no
    measured time depends on the others."""

    id: str
    question: str
    title: str
    mode: str
    seconds: int
    reloads: int = 0
    every: int = 500
    sockets: int = 500
    quick: bool = True
    without: tuple[str, ...] = field(default=("again", "expert64"))

    def measure(self, kinds: Kinds, destination: Destination, scale: Scale) -> dict:
        """Counts how the sockets ended, and measures when the last socket and process ended."""
        failed: dict[str, str] = {}
        gap = 0.6 if scale.quick else 1.5
        seconds = self.seconds + int(self.reloads * gap)
        peers = {}
        with ExitStack() as stack:
            running = {}
            for name, kind in kinds.items():
                if name in self.without:
                    continue
                with surviving(failed, name):
                    peer = stack.enter_context(kind(destination.address, PROXY_CORE))
                    running[name] = peer, stack.enter_context(Clients(
                        LOAD_CORE, self.mode, peer.address, "--sockets", self.sockets,
                        "--every", self.every, "--seconds", seconds,
                    ))
            for _, clients in running.values():
                clients.begin()
            began = time.monotonic()
            gone = self._disturb(running, began, gap, seconds, failed)
            for name, (peer, clients) in running.items():
                with surviving(failed, name):
                    line = clients.result(strict=False)
                    peers[name] = self._outcome(line, peer, gone.get(name))
        units = {
            "cut": "sockets", "closed": "sockets", "failed": "handshakes or messages",
            "unanswered": "messages", "open": "sockets", "processes": "processes",
            "last socket": "s", "gone": "s",
        }
        figures = {}
        for what, unit in units.items():
            by = {name: [of[what]] for name, of in peers.items() if of.get(what) is not None}
            if by:
                figures[what] = figure(unit, by, None)
        ways = {name: {"ways": of["ways"], "errors": of["errors"]} for name, of in peers.items()}
        return {"figures": figures, "failed": failed, "ends": ways, "sockets": self.sockets,
                "seconds": seconds, "reloads": self.reloads, "gap": gap}

    def _disturb(
        self, running: dict, began: float, gap: float, seconds: int, failed: dict
    ) -> dict[str, float]:
        """Runs the reloads, or the stop; returns when the processes of each peer had ended."""
        for _ in range(self.reloads):
            time.sleep(gap)
            for name, (peer, _) in running.items():
                with surviving(failed, name):
                    peer.reload()
        gone: dict[str, float] = {}
        if not self.reloads:
            for peer, _ in running.values():
                peer.stop()
            while len(gone) < len(running) and time.monotonic() < began + seconds + 1:
                for name, (peer, _) in running.items():
                    if name not in gone and peer.gone():
                        gone[name] = time.monotonic() - began
                time.sleep(0.02)
        return gone

    def _outcome(self, line: dict, peer: Peer, gone: float | None) -> dict:
        ends = line.get("ends", {"ways": {}, "unanswered": 0, "after_ms": {}})
        ways = ends["ways"]
        outcome = {
            "ways": ways, "errors": line["errors"], "messages": line["messages"],
            "cut": sum(count for way, count in ways.items() if way in WITHOUT_CLOSE),
            "closed": sum(count for way, count in ways.items() if way.startswith("close ")),
            "failed": sum(line["errors"].values()),
            "unanswered": ends["unanswered"],
        }
        if self.reloads:
            outcome["processes"] = len(peer.pids())
        else:
            outcome |= {"open": line["sockets"], "gone": gone}
            if not line["sockets"] and ends["after_ms"]:
                outcome["last socket"] = ends["after_ms"]["last"] / 1e3
        return outcome


def _echo(size: int, sockets: int, count: int, quick: bool) -> Cpu:
    unit = {64: "64 B", 1024: "1 kB", 16_384: "16 kB"}[size]
    several = "socket" if sockets == 1 else "sockets"
    return Cpu(
        f"echo-{size}-{sockets}", "echo", f"echo {unit}, {sockets:,} {several}", "echo", count,
        "100,000 messages", sockets, ("--size", size), quick=quick,
        without=() if size > 4096 else ("expert64",),
    )


def _requests(name: str, title: str, count: int, **more: bool) -> Cpu:
    return Cpu(name, name, title, name, count, "100,000 requests", 64,
               counted="--requests", **more)


def _bulk(direction: str) -> Cpu:
    return Cpu(
        f"bulk-{direction}", "bulk", f"1 MB messages {direction} the destination", "bulk", 400,
        "GB", 8, ("--direction", direction), without=(),
    )


ROWS = [
    Memory(),
    _echo(64, 1, 6_000, False),
    _echo(64, 64, 40_000, True),
    _echo(64, 1000, 30_000, False),
    _echo(1024, 1, 6_000, False),
    _echo(1024, 64, 40_000, False),
    _echo(1024, 1000, 30_000, True),
    _echo(16_384, 1, 4_000, False),
    _echo(16_384, 64, 8_000, True),
    _echo(16_384, 1000, 6_000, False),
    _bulk("to"),
    _bulk("from"),
    Cpu("handshakes", "handshakes", "handshakes", "handshakes", 3_000, "100,000 handshakes",
        counted="--count"),
    _requests("ping", "/ping", 50_000),
    _requests("redirect", "redirects", 50_000, plain=True),
    _requests("get", "proxied GET of 1 kB", 15_000),
    Start(),
    # after the last reload, wait as long as the remaining WebSockets may stay open
    Life("reload", "reload", "ten reloads under load", "reload", 12, reloads=10),
    Life("stop", "stop", "a stop with open WebSockets", "drain", 15, every=1000),
]


def chosen(words: list[str], quick: bool) -> list:
    """The rows whose id or question is among the words; without words all, or the quick ones."""
    if words:
        found = [row for row in ROWS if row.id in words or row.question in words]
        unknown = [
            word for word in words if not any(word in (row.id, row.question) for row in ROWS)
        ]
        if unknown:
            known = ", ".join(row.id for row in ROWS)
            raise SystemExit(f"no such row: {', '.join(unknown)}; there are {known}")
        return found
    return [row for row in ROWS if row.quick or not quick]
