"""`python -m tests.image api cpu`: what the Dockerfile does for a target, without Docker. Heavy; in no tier.

Runs the lines of every stage that the target stands on, in order, in one fresh folder in place of `/`, with the Python
that runs this. Left out: lines that need to be root of an image (`useradd`, `apt-get`). Then asks what came of it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("/opt/pagemill", "/build", "/wheel", "/scratch", "/models", "/root/.cache")
"""Where the Dockerfile works."""
QUESTIONS = {
    "api": [["pagemill", "--version"], ["celery", "flower", "--help"]],
    "cpu": [
        ["pagemill", "--version"],
        ["python", "-c", "from workers.engines.rapidocr.models import check_libraries; check_libraries()"],
    ],
}


@dataclass
class Stage:
    name: str
    base: str
    """Another stage, or an image."""
    lines: list[tuple[str, str]] = field(default_factory=list)
    """Instruction and value."""

    @property
    def needs(self) -> list[str]:
        """What it stands on and takes from."""
        given = [re.findall(r"\bfrom=([\w-]+)", value) for _, value in self.lines]
        return [self.base, *(name for names in given for name in names)]


def stages(path: Path = ROOT / "Dockerfile") -> dict[str, Stage]:
    """By name."""
    found: dict[str, Stage] = {}
    with path.open("rb") as file:
        structure = DockerfileParser(fileobj=file).structure
    for item in structure:
        instruction, value = item["instruction"], item["value"]
        if instruction == "FROM":
            base, _, name = value.partition(" AS ")
            stage = found[name] = Stage(name, base)
        elif instruction not in ("ARG", "COMMENT"):
            stage.lines.append((instruction, value))
    return found


def order(target: str, known: dict[str, Stage]) -> list[Stage]:
    """All stages that the target needs, each after its own."""
    chain: list[Stage] = []

    def visit(name: str) -> None:
        if name in known and known[name] not in chain:
            for needed in known[name].needs:
                visit(needed)
            chain.append(known[name])

    visit(target)
    return chain


class Replay:
    """The lines of stages in one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directory = root
        for folder in FOLDERS:
            if folder != "/opt/pagemill":
                self.place(folder).mkdir(parents=True)
        programs = root / "programs"
        programs.mkdir()
        # The image's Python; a link would make the virtual environment look for its library beside the link.
        (programs / "python").write_text(f'#!/bin/sh\nexec {Path(sys.executable).resolve()} "$@"\n')
        (programs / "python").chmod(0o755)
        self.env = {"PATH": f"{programs}:{os.defpath}", "HOME": str(root / "root"), "LANG": "C.UTF-8"}
        self.env |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}

    def place(self, text: str) -> Path:
        return self.root / text.removeprefix("/")

    def mapped(self, text: str) -> str:
        for folder in FOLDERS:
            text = re.sub(rf"(?<![\w/.-]){folder}\b", str(self.place(folder)), text)
        return text

    def do(self, instruction: str, value: str) -> None:
        match instruction:
            case "RUN":
                self._run(re.sub(r"--mount=\S+\s*", "", value))
            case "COPY" if "--from=" not in value:
                *sources, target = value.split()
                for source in sources:
                    self._copy(ROOT / source, self.directory / target)
            case "WORKDIR":
                self.directory = self.place(value)
            case "ENV":
                for name, text in re.findall(r"(\w+)=(\S+)", value):
                    self.env[name] = self.mapped(text.replace("$PATH", self.env["PATH"]))

    def _run(self, command: str) -> None:
        if re.search(r"\b(useradd|apt-get)\b", command):
            print(f"  left out: {command}")
            return
        started = time.monotonic()
        print(f"  {command}", flush=True)
        subprocess.run(["/bin/sh", "-ec", self.mapped(command)], cwd=self.directory, env=self.env, check=True)
        print(f"    {time.monotonic() - started:.0f} s", flush=True)

    def _copy(self, source: Path, target: Path) -> None:
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def replay(target: str) -> None:
    """Raises CalledProcessError where a line or a question fails."""
    with tempfile.TemporaryDirectory(prefix=f"pagemill-image-{target}-") as folder:
        replay = Replay(Path(folder))
        for stage in order(target, stages()):
            print(f"{target}: {stage.name}", flush=True)
            for instruction, value in stage.lines:
                replay.do(instruction, value)
        for question in QUESTIONS[target]:
            print(f"  asked: {' '.join(question)}", flush=True)
            subprocess.run(question, cwd=replay.place("/scratch"), env=replay.env, check=True)
        subprocess.run(["du", "-sh", replay.place("/opt/pagemill")], check=True)


if __name__ == "__main__":
    for name in sys.argv[1:] or list(QUESTIONS):
        replay(name)
