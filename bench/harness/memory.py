"""Where a machine's memory is."""

import os
import re
from contextlib import suppress
from pathlib import Path

from harness import proc

PAGE = os.sysconf("SC_PAGE_SIZE")


def meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    found = re.findall(r"^(\S+):\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.M)
    return {name: int(size) * 1024 for name, size in found}


def left() -> int:
    """Bytes that can still be used. MemAvailable counts memory of open sockets as reclaimable, so
    it is what is free or caches files, unless MemAvailable is less."""
    now = meminfo()
    files = now["Active(file)"] + now["Inactive(file)"]
    return min(now["MemAvailable"], now["MemFree"] + files)


def drop_kernel_caches() -> None:
    """Frees names and inodes that the kernel keeps for later, such as those of /proc, which look as
    if they were in use; without the right to, nothing."""
    with suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("2")


def slabs() -> dict[str, int]:
    """Bytes of each kind of kernel object; empty where only root may know and this is not."""
    try:
        lines = Path("/proc/slabinfo").read_text().splitlines()[2:]
    except PermissionError:
        return {}
    found = {}
    for line in lines:
        fields = line.split()
        # slabs of pages, as the data after the second colon tell
        pages_a_slab, slab_count = int(fields[5]), int(fields[14])
        found[fields[0]] = pages_a_slab * slab_count * PAGE
    return found


def anonymous(pids: list[int]) -> int:
    """Memory of these processes that belongs to no file."""
    return sum(proc.own_anonymous_bytes(pid) for pid in pids)


class Parts:
    """How memory has grown since this was made, by part."""

    def __init__(self):
        self.before, self.slabs_before = meminfo(), slabs()

    def now(self, processes: dict[str, list[int]]) -> dict[str, int]:
        """Bytes of each group of processes, of the kernel, and of the rest."""
        now = meminfo()
        parts = {name: anonymous(pids) for name, pids in processes.items()}
        for name, key in (("slab", "Slab"), ("page tables", "PageTables"),
                          ("kernel stacks", "KernelStack")):
            parts[f"kernel: {name}"] = now[key] - self.before[key]
        used = left_of(self.before) - left_of(now)
        parts["other"] = max(0, used - sum(parts.values()))
        parts["all"] = used
        return parts

    def objects(self, count: int = 8) -> dict[str, int]:
        """The kinds of kernel objects that have grown most, in bytes."""
        grown = {name: size - self.slabs_before.get(name, 0) for name, size in slabs().items()}
        largest = sorted(grown, key=grown.get, reverse=True)[:count]
        return {name: grown[name] for name in largest}


def left_of(info: dict[str, int]) -> int:
    """What was free or cached files."""
    return info["MemFree"] + info["Active(file)"] + info["Inactive(file)"]
