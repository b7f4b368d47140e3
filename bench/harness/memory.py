"""The use of the machine's memory."""

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
    """Bytes that can still be used: free memory and file caches, or MemAvailable if that is less.
    (MemAvailable counts the memory of open sockets as reclaimable.)"""
    now = meminfo()
    files = now["Active(file)"] + now["Inactive(file)"]
    return min(now["MemAvailable"], now["MemFree"] + files)


def drop_kernel_caches() -> None:
    """Frees cached names and inodes of the kernel, such as those of /proc, which would be counted
    as memory in use. Does nothing without the permission."""
    with suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("2")


def slabs() -> dict[str, int]:
    """Bytes of each kind of kernel object; empty without the permission to read them."""
    try:
        lines = Path("/proc/slabinfo").read_text().splitlines()[2:]
    except PermissionError:
        return {}
    found = {}
    for line in lines:
        fields = line.split()
        # slabs and their pages; the numbers follow the second colon
        pages_a_slab, slab_count = int(fields[5]), int(fields[14])
        found[fields[0]] = pages_a_slab * slab_count * PAGE
    return found


def anonymous(pids: list[int]) -> int:
    """Memory of these processes that is not backed by files."""
    return sum(proc.own_anonymous_bytes(pid) for pid in pids)


class Parts:
    """The growth of memory since this object was created, by part."""

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
    """Free memory and file caches in bytes."""
    return info["MemFree"] + info["Active(file)"] + info["Inactive(file)"]
