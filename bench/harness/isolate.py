"""A network namespace of the benchmark's own.

The namespace of the machine may track connections, and may use a congestion control that paces with
a timer for each packet (BBR): on the loopback interface of a virtual machine this costs more than
the proxy.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

INSIDE = "WSLOAD_BENCH_OUTSIDE"
"""The variable with the namespace in which the script was started: the script must leave that."""

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
    """The congestion control of this namespace. It determines the cost of TCP."""
    return (SYSCTL / "tcp_congestion_control").read_text().strip()


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", 0)
        _, flags = struct.unpack("16sh22x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))
