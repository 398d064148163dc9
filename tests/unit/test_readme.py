"""The README says only what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from api.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z-]+)\b", README))))
def test_make_targets_exist(target):
    assert re.search(rf"^(?:[a-z ]* )?{target}\b[a-z ]*:", MAKEFILE, re.M)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^\s+pagemill ([a-z]+)", README, re.M))))
def test_commands_exist(command):
    assert command in get_command(app).commands


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


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
