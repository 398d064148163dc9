"""The Dockerfile as far as it can be checked without Docker. What its lines do: `python -m tests.image`."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

from tests.image import ROOT, order, stages

TARGETS = ("api", "cpu", "gpu")


def test_hadolint_has_nothing_to_say():
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_targets_are_those_of_the_compose_file():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()
    assert {service["build"]["target"] for service in services if "build" in service} == set(TARGETS)
    assert set(TARGETS) <= set(stages())


def test_an_image_is_pinned_and_ends_as_nobody_with_a_command():
    assert re.search(r"^ARG PYTHON=3\.12\.\d+-slim-\w+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for target in TARGETS:
        lines = stages()[target].lines
        assert [value for instruction, value in lines if instruction == "USER"] == ["10001:10001"]
        assert lines[-1][0] == "CMD"
        # Tools that build stay in the stages before: only the finished environment is taken.
        copied = [value for instruction, value in lines if instruction == "COPY"]
        assert copied == [f"--from=built-{target} /opt/pagemill /opt/pagemill"]
        assert order(target, stages())[0].name == "base"


def test_what_is_copied_is_in_the_context():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for stage in stages().values()
        for instruction, value in stage.lines
        if instruction == "COPY" and not value.startswith("--from")
        for source in value.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in allowed)


def test_the_gpu_image_installs_what_pyproject_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    pins = dict(
        line.split("==") for line in (ROOT / "constraints-gpu.txt").read_text().splitlines() if not line.startswith("#")
    )
    versions = {_name(name): version for name, version in pins.items()}
    for text in [*project["dependencies"], *extras["paddleocr-vl"], *extras["vllm"]]:
        asked = Requirement(text)
        assert asked.specifier.contains(versions[_name(asked.name)]), text


def _name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()
