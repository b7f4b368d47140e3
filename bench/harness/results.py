"""The results as JSON files that people can read too."""

import json
import re
from pathlib import Path

from harness.proc import DIRTY

# the files that `make bench-report` reads
REPORTED = ("compare.json", "climb.json")


def before_measuring(file: Path, commit: str) -> None:
    """Exits if results of uncommitted changes would be written to a file of the report."""
    if file.name in REPORTED and commit.endswith(DIRTY):
        raise SystemExit(
            f"bench: the working tree differs from commit {commit.removesuffix(DIRTY)}, and "
            f"{file.name} is for the report: commit or stash the changes first, or write the "
            "results elsewhere with --output")


def before_reporting(file: Path, results: dict) -> None:
    """Exits if results do not belong to a commit."""
    if results["commit"].endswith(DIRTY):
        raise SystemExit(
            f"bench: {file} was measured at {results['commit']}, with changes that no commit has: "
            "measure again at a clean commit")


def write(file: Path, results: dict) -> None:
    """Writes JSON: each list of numbers on one line, numbers with six digits."""
    text = json.dumps(_rounded(results), indent=1, ensure_ascii=False)
    flat = re.sub(
        r"\[\s+([-\d.,e\s+]+?)\s+\]",
        lambda match: "[" + re.sub(r"\s+", " ", match[1]) + "]", text,
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(flat + "\n")


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    return value
