"""The document of the report: prose, tables and pictures from the results."""

import textwrap
from pathlib import Path

from harness import figures
from harness.notes import why

BENCH = Path(__file__).resolve().parent.parent
DOCS = BENCH.parent / "docs"
PLOTS = DOCS / "plots"
HIDDEN = ("again", "busy")


class Report:
    """The lines of the document, and the results that they are made from."""

    def __init__(self, compare: dict, climb: dict | None, instructions: dict | None):
        self.compare, self.climb, self.instructions = compare, climb, instructions
        self.rows = compare["rows"]
        self.titles = {
            name: peer["title"] for name, peer in compare["peers"].items() if name not in HIDDEN
        }
        self.lines: list[str] = []

    def add(self, *paragraphs: str) -> None:
        """Adds paragraphs. Prose is wrapped."""
        for paragraph in paragraphs:
            prose = not paragraph.startswith(("#", "!", "<", "`"))
            self.lines += [wrapped(paragraph) if prose else paragraph, ""]

    def table(self, head: list[str], body: list[list[str]], text: tuple[int, ...] = (0,)) -> None:
        """Adds a table; the columns numbered in `text` hold words."""
        rule = ["---" if index in text else "---:" for index in range(len(head))]
        self.lines += ["| " + " | ".join(row) + " |" for row in (head, rule, *body)] + [""]

    def plot(self, name: str, alt: str) -> Path:
        """Adds a picture; returns the path for its file."""
        self.add(f"![{alt}](plots/{name}.svg)")
        return PLOTS / f"{name}.svg"

    def cell(self, found: dict, name: str) -> str:
        """A median, its ratio to the module and the quartiles of the ratio."""
        peer = found["peers"].get(name)
        if peer is None:
            return "-"
        shown = figures.text(peer["median"])
        if "ratio" in peer:
            low, high = peer["spread"]
            spread = f" ({low:.2f}–{high:.2f})" if len(peer["values"]) > 1 else ""
            shown += f"<br>×{peer['ratio']:.2f}{spread}"
        return f"**{shown}**" if name == best(found) else shown

    def peers_by(self, columns: dict[str, dict]) -> None:
        """Adds a table: a line for each peer, a column for each figure."""
        head = ["", *(f"{title}<br>{found['unit']}" for title, found in columns.items())]
        names = [name for name in self.titles
                 if any(name in found["peers"] for found in columns.values())]
        body = [[self.titles[name], *(self.cell(found, name) for found in columns.values())]
                for name in names]
        bands = [found["band"] for found in columns.values()]
        if any(bands):
            body.append(["*A/A*", *(f"*{b[0]:.2f}–{b[1]:.2f}*" if b else "-" for b in bands)])
        self.table(head, body)

    def ahead(self, ids: list[str], what: str = "cpu") -> None:
        """Adds the peers that are ahead of the module, and the reasons."""
        reasons: dict[str, list[str]] = {}
        for row in (self.rows[id] for id in ids if id in self.rows):
            for figure_name, found in row["figures"].items():
                if what not in (figure_name, "any"):
                    continue
                for name in figures.ahead(found):
                    if name in self.titles:
                        reasons.setdefault(name, []).append(row["title"])
        if not reasons:
            self.add("Ahead of the module here: none, beyond what it differs from itself.")
            return
        self.add("Ahead of the module here:")
        question = self.rows[ids[0]]["question"] if ids[0] in self.rows else ids[0]
        for name, where in reasons.items():
            titles = ", ".join(dict.fromkeys(where)) if len(ids) > 1 else ""
            said = why(question, name) or "Why is not known yet."
            at = f" ({titles})" if titles else ""
            self.lines.append(wrapped(f"- **{self.titles[name]}**{at}. {said}"))
        self.lines.append("")


def wrapped(text: str) -> str:
    """Wraps prose; the lines of a list item are indented to its text."""
    return textwrap.fill(
        text, 100, break_long_words=False, break_on_hyphens=False,
        subsequent_indent="  " if text.startswith("- ") else "",
    )


def versions(run: dict, titles: dict[str, str]) -> str:
    """The versions, each once."""
    return ", ".join(dict.fromkeys(
        version.replace("/", " ") for name, version in run["versions"].items() if name in titles
    ))


def best(found: dict) -> str | None:
    """The peer with the best median."""
    peers = {name: peer["median"] for name, peer in found["peers"].items() if name not in HIDDEN}
    if not peers or not found["better"] or len(set(peers.values())) < 2:
        return None
    return (min if found["better"] == "less" else max)(peers, key=peers.get)
