"""Results as files that people can read too."""

import json
import re
from pathlib import Path


def write(file: Path, results: dict) -> None:
    """Writes JSON with a list of numbers on one line, and numbers to six digits."""
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
