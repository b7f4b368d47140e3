"""The plots of the report, as SVG files. The same figures give the same files."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402  after the backend is set
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: E402

MODULE, OTHERS, SECOND = "#0b7a4b", "#8aa0b4", "#c9d3dc"
LEVELS = {"p50": ("o", "#0b7a4b"), "p99": ("D", "#c98a00"), "p99.9": ("s", "#b03030")}
plt.rcParams |= {
    "svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False,
    "axes.spines.right": False, "axes.titlesize": 9, "axes.titleweight": "bold",
    "figure.facecolor": "white", "font.family": "sans-serif",
}


def save(figure: plt.Figure, file: Path) -> None:
    """Writes the file without a date, so that only the figures change it."""
    figure.tight_layout()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)


def _bars(axes: plt.Axes, found: dict, titles: dict[str, str]) -> None:
    names = [name for name in titles if name in found["peers"]][::-1]
    values = [found["peers"][name]["median"] for name in names]
    colours = [MODULE if name == "module" else OTHERS for name in names]
    axes.barh([titles[name] for name in names], values, color=colours)
    axes.set_xlim(right=1.25 * (max(values, default=1) or 1))
    for index, value in enumerate(values):
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        axes.text(value, index, f" {shown}", va="center", fontsize=8)
    axes.tick_params(axis="y", length=0)


def bars(file: Path, panels: list[tuple[str, dict]], titles: dict[str, str],
         columns: int = 2) -> None:
    """Panels with a bar for each peer; a panel is a title and a figure of the results."""
    rows = -(-len(panels) // columns)
    height = 0.6 + 0.24 * len(titles)
    width = 4.8 if columns < 3 else 4.1
    figure, grid = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False
    )
    for axes, panel in zip(grid.flat, [*panels, *[None] * (rows * columns - len(panels))]):
        if panel is None:
            axes.set_axis_off()
            continue
        title, found = panel
        _bars(axes, found, titles)
        axes.set_title(f"{title}, {found['unit']}", loc="left")
    save(figure, file)


def latency(file: Path, panels: list[tuple[str, dict]], titles: dict[str, str]) -> None:
    """Panels with a dot for each percentile of each peer, on a logarithmic scale."""
    columns = 3
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(3.7 * columns, (0.8 + 0.22 * len(titles)) * rows), squeeze=False
    )
    for axes, panel in zip(grid.flat, [*panels, *[None] * (rows * columns - len(panels))]):
        if panel is None:
            axes.set_axis_off()
            continue
        title, found = panel
        names = [name for name in titles if name in found["p50"]["peers"]][::-1]
        for level, (marker, colour) in LEVELS.items():
            values = [found[level]["peers"][name]["median"] for name in names]
            axes.plot(values, range(len(names)), marker, color=colour, label=level, markersize=4)
        axes.set_yticks(range(len(names)), [titles[name] for name in names], fontsize=8)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="x", labelsize=7)
        axes.grid(axis="x", color="#e5e5e5")
        axes.set_title(f"{title}, µs", loc="left")
    grid.flat[0].legend(fontsize=7, loc="lower right")
    save(figure, file)


def ends(file: Path, found: dict, titles: dict[str, str]) -> None:
    """The ends of the sockets: with a Close, or without one."""
    names = [name for name in titles if name in found["closed"]["peers"]][::-1]
    figure, axes = plt.subplots(figsize=(7.5, 0.8 + 0.28 * len(names)))
    start = [0.0] * len(names)
    for what, colour in (("closed", MODULE), ("cut", LEVELS["p99.9"][1])):
        values = [found[what]["peers"][name]["median"] for name in names]
        label = {"closed": "ended with a Close", "cut": "ended without one"}[what]
        axes.barh([titles[name] for name in names], values, left=start, color=colour, label=label)
        start = [one + other for one, other in zip(start, values)]
    axes.set_xlabel("sockets")
    axes.legend(fontsize=8)
    save(figure, file)


def climb(file: Path, steps: list[dict], memory: dict[str, int], sockets: int) -> None:
    """The memory left as the number of sockets grows, and the use of the memory."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.2))
    counts = [step["sockets"] / 1e3 for step in steps]
    left.plot(counts, [step["left"] / 1e9 for step in steps], color=MODULE)
    left.set_ylim(bottom=0)
    left.set_xlabel("thousand open WebSockets")
    left.set_ylabel("GB of memory left")
    beside = left.twinx()
    beside.plot(counts, [step["echo_us"]["p50"] / 1e3 for step in steps], ".", color=OTHERS)
    beside.set_ylim(bottom=0)
    beside.set_ylabel("echo beside them, p50 in ms")
    parts = {name: size for name, size in memory.items() if name != "all" and size > 0}
    names = sorted(parts, key=parts.get)
    right.barh(names, [parts[name] / sockets for name in names], color=OTHERS)
    right.set_title("bytes a socket, by part", loc="left")
    right.tick_params(axis="y", length=0)
    save(figure, file)
