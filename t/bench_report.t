#!/usr/bin/python3
"""The report of the benchmarks: the README's comparison agrees with the committed results, and
results from a tree with uncommitted changes are refused."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from nginx import ROOT
from tap import equal, run, test

sys.path.insert(0, str(ROOT / "bench"))
from harness import comparison, proc

COMPARE = ROOT / "bench/results/compare.json"
WHO = ["-c", "user.name=test", "-c", "user.email=test@localhost"]


def git(folder, *arguments):
    subprocess.run(["git", "-C", folder, *WHO, *arguments], check=True, capture_output=True)


def repository(folder):
    """A repository with nothing but the benchmarks, without the code that draws plots."""
    shutil.copytree(ROOT / "bench", folder / "bench",
                    ignore=shutil.ignore_patterns("__pycache__", "target"))
    (folder / "bench/harness/plots.py").write_text("")
    (folder / ".gitignore").write_text("__pycache__\n")
    (folder / "README.md").write_text(f"before\n{comparison.BEGIN}\nold\n{comparison.END}\nafter\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "all")


def refused(folder, command):
    """The error message of a command that refuses to run."""
    ended = subprocess.run([sys.executable, folder / "bench" / command[0], *command[1:]],
                           capture_output=True, text=True, check=False, timeout=60)
    equal((ended.returncode, ended.stdout), (1, ""), ended.stderr)
    return ended.stderr


@test
async def the_readme_has_the_committed_results():
    readme = (ROOT / "README.md").read_text()
    current = comparison.put(readme, json.loads(COMPARE.read_text()))
    equal(readme == current, True, "README.md is current, else run: make bench-report")
    other = readme.replace("| this module |", "| this module | 7 |")
    equal(comparison.put(other, json.loads(COMPARE.read_text())), readme)


@test
async def a_readme_without_the_marks_is_refused():
    try:
        comparison.put("# nothing", json.loads(COMPARE.read_text()))
    except ValueError as error:
        equal(str(error).startswith("README.md has no <!-- comparison"), True, str(error))
    else:
        raise AssertionError("it was taken")


@test
async def only_a_commit_is_measured_for_the_report():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository(folder)
        commit = proc.commit(folder)
        (folder / "README.md").write_text("results and documents do not count")
        equal(proc.commit(folder), commit)
        with open(folder / "bench/harness/load.py", "a", encoding="utf-8") as file:
            file.write("# a change\n")
        equal(proc.commit(folder), f"{commit}-dirty")
        for command, file in ("compare", "compare.json"), ("climb", "climb.json"):
            equal(refused(folder, [command]),
                  f"bench: the working tree differs from commit {commit}, and {file} is for the "
                  "report: commit or stash the changes first, or write the results elsewhere with "
                  "--output\n")


@test
async def results_of_no_commit_are_not_reported():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository(folder)
        results = folder / "bench/results/compare.json"
        told = json.loads(results.read_text()) | {"commit": "1234567-dirty"}
        results.write_text(json.dumps(told))
        readme = (folder / "README.md").read_text()
        equal(refused(folder, ["report"]),
              f"bench: {results} was measured at 1234567-dirty, with changes that no commit has: "
              "measure again at a clean commit\n")
        equal((folder / "README.md").read_text(), readme)


run()
