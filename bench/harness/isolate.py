"""A network namespace of the benchmark's own.

The machine's may track connections, and may use a congestion control that paces with a timer for
each packet (BBR): on the loopback interface of a virtual machine that costs more than the proxy.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

INSIDE = "WSLOAD_BENCH_OUTSIDE"
"""The namespace that the script was started in, so that it never takes that one for its own."""

SYSCTL = Path("/proc/sys/net/ipv4")
SETTINGS = {"tcp_congestion_control": "reno", "ip_local_port_range": "10000 65000"}
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def enter() -> None:
    """Starts the running script again inside a new namespace, unless it is in one already."""
    here = os.readlink("/proc/self/ns/net")
    outside = os.environ.get(INSIDE, here)
    if outside == here:
        if subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
            print("no right to make a network namespace: measuring in the machine's own",
                  file=sys.stderr)
            return
        os.environ[INSIDE] = here
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    _raise_loopback()
    for name, value in SETTINGS.items():
        (SYSCTL / name).write_text(value)


def congestion_control() -> str:
    """What TCP is slowed by here."""
    return (SYSCTL / "tcp_congestion_control").read_text().strip()


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", 0)
        _, flags = struct.unpack("16sh22x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))
