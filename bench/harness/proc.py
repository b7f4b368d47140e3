"""CPU and memory of processes, from /proc, and the load of the rest of the machine."""

import os
import platform
import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path

# the mark after a commit if files differ from it
DIRTY = "-dirty"


def cpu_seconds(pid: int) -> float:
    """CPU time of a single-threaded process in nanoseconds (`stat` has ticks of 10 ms)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def all_threads_seconds(pid: int) -> float:
    """CPU time of the current threads of a process; ended threads are not included."""
    total = 0.0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            total += int(thread.read_text().split()[0]) / 1e9
    return total


def anonymous_bytes(pid: int) -> int:
    """Memory that is not backed by files: heap, anonymous mappings, stack.

    Pages that are still shared with the master after the fork are included, so a write to such a
    page does not count as growth.
    """
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Anonymous:\s+(\d+) kB", rollup, re.M)[1]) * 1024


def own_anonymous_bytes(pid: int) -> int:
    """The same; a page that several processes share counts once in the sum of the processes."""
    with suppress(FileNotFoundError, ProcessLookupError):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        if found := re.search(r"^Pss_Anon:\s+(\d+) kB", rollup, re.M):
            return int(found[1]) * 1024
    return 0


def session(leader: int) -> list[int]:
    """The processes of the session of `leader`, without those that have ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, _group, number = stat.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(number) == leader and state not in "ZX":
            found.append(int(stat.parent.name))
    return sorted(found)


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # the name may hold spaces and parentheses; the fields start after the last one
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            found.append(int(stat.parent.name))
    return sorted(found)


def busy_seconds() -> float:
    """CPU time of all cores and all processes so far."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def own_seconds(pids: list[int]) -> float:
    """CPU time of these processes and their children so far."""
    total = 0.0
    for pid in pids:
        for each in [pid, *children(pid)]:
            total += cpu_seconds(each)
    return total


class Foreign:
    """The CPU that processes outside the benchmark use from now on."""

    def __init__(self, pids: list[int]):
        self.pids = pids
        self.began = time.monotonic()
        self.busy, self.own = busy_seconds(), self._own()

    def _own(self) -> float:
        return sum(all_threads_seconds(pid) for pid in self.pids)

    def cores(self) -> float:
        """Their CPU since the start, in cores."""
        others = busy_seconds() - self.busy - (self._own() - self.own)
        return max(0.0, others / (time.monotonic() - self.began))


def machine() -> dict:
    """The machine of the measurement."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.M)
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory[1]) / 2**20, 1),
        "kernel": platform.release(),
    }


def commit(folder: Path) -> str:
    """The measured commit, with a mark if files other than results and documents differ from
    it."""
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--", ":/", ":(top,exclude)bench/results",
                  ":(top,exclude)docs", ":(top,exclude)README.md")
    name = git("describe", "--always") or "unknown"
    return f"{name}{DIRTY}" if changed else name
