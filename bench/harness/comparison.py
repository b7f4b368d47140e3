"""The comparison table of README.md, from the same results as docs/performance.md."""

from pathlib import Path

from harness import figures

BEGIN, END = "<!-- comparison: `make bench-report` writes it -->", "<!-- comparison ends -->"
PEERS = ("module", "classic", "expert", "haproxy", "envoy", "traefik", "caddy")
# for each column: its heading, the row of the results, and the figure in that row
COLUMNS = (
    ("idle WebSocket, bytes", "memory", "idle"),
    ("1 GB to clients, CPU s", "bulk-from", "cpu"),
    ("100,000 handshakes, CPU s", "handshakes", "cpu"),
    ("100,000 GETs, CPU s", "get", "cpu"),
    ("start, ms", "start", "/ping"),
    ("ten reloads: cut without a Close", "reload", "cut"),
    ("a stop: cut without a Close", "stop", "cut"),
    ("a stop: open after 15 s", "stop", "open"),
)


def table(compare: dict) -> str:
    """The table, a line for each peer that was measured."""
    lines = [["", *(heading for heading, _, _ in COLUMNS)], ["---", *["---:"] * len(COLUMNS)]]
    for name in PEERS:
        if name in compare["peers"]:
            cells = [cell(compare, row, figure, name) for _, row, figure in COLUMNS]
            lines.append([compare["peers"][name]["title"], *cells])
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


def cell(compare: dict, row: str, figure: str, name: str) -> str:
    """A median, or `-` if it was not measured."""
    found = compare["rows"].get(row, {"figures": {}})["figures"].get(figure, {"peers": {}})
    return figures.text(found["peers"].get(name, {"median": None})["median"])


def put(readme: str, compare: dict) -> str:
    """The text of README.md with this table between the two markers."""
    before, found, rest = readme.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"README.md has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{table(compare)}\n{END}{after}"


def write(file: Path, compare: dict) -> None:
    """Writes the table into the README."""
    file.write_text(put(file.read_text(), compare))
