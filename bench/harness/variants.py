"""The variants: nginx with the module and two sets of directives."""

import argparse
import json
import sys
import time
from pathlib import Path

from harness import isolate, proc
from harness.nginx import version

BENCH = Path(__file__).resolve().parent.parent
ON = (
    "websocket_tunnel on; websocket_ping 25s; websocket_drain 5s; websocket_max_age 1h; "
    # as in the shipped nginx.conf
    "connection_pool_size 640; elb_ping /ping;"
)
OFF = "websocket_tunnel off;"
HTTP = "websocket_zone elb:256k;"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line: nginx, module, directives and rows."""
    build = BENCH.parent / "build"
    parser.add_argument("--nginx", type=Path, default=build / "sbin/nginx")
    parser.add_argument(
        "--module",
        default=build / "modules/ngx_http_elb_websocket_module.so",
        help="the module to load, or `none` to compare a stock nginx with itself",
    )
    parser.add_argument("--on", help=f"directives of the variant `on` ({ON})")
    parser.add_argument("--off", help=f"directives of the variant `off` ({OFF})")
    parser.add_argument("--http", help=f"directives of `http` for the variant `on` ({HTTP})")
    parser.add_argument("--rows", default="", help="only rows whose name contains this")


def complete(options: argparse.Namespace) -> argparse.Namespace:
    """Fills in the defaults that depend on whether there is a module."""
    options.nginx = options.nginx.resolve()
    options.module = None if options.module == "none" else Path(options.module).resolve()
    if options.on is None:
        options.on = ON if options.module else ""
    if options.off is None:
        options.off = OFF if options.module else ""
    if options.http is None:
        options.http = HTTP if options.module else ""
    return options


def http_for(options: argparse.Namespace, directives: str) -> str:
    """The lines of `http` for these directives."""
    return options.http if directives.startswith(options.on) else ""


def write(options: argparse.Namespace, rows: dict) -> None:
    """Writes the results with the machine, the versions and the options."""
    options.output.parent.mkdir(parents=True, exist_ok=True)
    results = {
        "command": sys.argv,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": proc.machine(),
        "congestion_control": isolate.congestion_control(),
        "commit": proc.commit(BENCH),
        "nginx": version(options.nginx),
        "on": options.on,
        "http": options.http,
        "off": options.off,
        "rows": rows,
    }
    options.output.write_text(json.dumps(results, indent=2) + "\n")
