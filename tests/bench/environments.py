"""Environments of what pagemill is measured against: their pins are not ours, and some licences are not either.

Each is `.venv-bench-<name>`, made when it is first asked for from `requirements/<name>.txt`, and again when that file
changes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from tests.bench.report import NotMeasured

ROOT = Path(__file__).parent.parent.parent
REQUIREMENTS = Path(__file__).parent / "requirements"


def environment(name: str) -> Path:
    """The `python` of the environment. Raises NotMeasured where it cannot be made, with the reason."""
    requirements = REQUIREMENTS / f"{name}.txt"
    wanted = sha256(requirements.read_bytes()).hexdigest()
    place = ROOT / f".venv-bench-{name}"
    python, stamp = place / "bin" / "python", place / ".installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"making {place.name} (once)", flush=True)
        shutil.rmtree(place, ignore_errors=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            _run([sys.executable, "-m", "venv", place])
            _run([*pip, "-r", requirements])
        except subprocess.CalledProcessError as error:
            print(error.stderr, file=sys.stderr, flush=True)
            raise NotMeasured(f"{place.name} could not be made: {why(error)}") from error
        stamp.write_text(wanted)
    return python


def why(error: subprocess.CalledProcessError) -> str:
    """The last line of its errors, without the command: that has paths of this machine in it."""
    lines = (error.stderr or "").strip().splitlines()
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    return errors[-1] if errors else f"a command ended with {error.returncode}"


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
