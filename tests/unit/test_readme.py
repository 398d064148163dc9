"""The README's map of files is right; what else it says is checked with the other pages (test_docs.py)."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_the_file_map_names_what_exists():
    lines = README.partition("## File map")[2].splitlines()
    folder = ROOT
    names = 0
    for line in lines:
        top = re.match(r"    ([a-z]+)/ ", line)
        if top:
            folder = ROOT / top[1]
            assert folder.is_dir()
        listed = re.match(r"      (\S+(?: \S+)*?)  ", line)
        for name in listed[1].split() if listed else []:
            assert (folder / name).exists(), f"{folder.name}/{name}"
            names += 1
    assert names > 10


def test_ci_runs_the_test_commands_and_nothing_else():
    commands = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line.startswith("make")]
    assert commands == ["make test", "make test-vllm"]
    assert "    make test " in README
