"""Environments of what pagemill is measured against: their pins are not ours, and some licences are not either.

Each is `.venv-bench-<name>`, made when it is first asked for from `requirements/<name>.txt`, and again when that file
changes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
REQUIREMENTS = Path(__file__).parent / "requirements"


def environment(name: str) -> Path:
    """The `python` of the environment. Raises CalledProcessError where pip fails, with what it said in `stderr`."""
    requirements = REQUIREMENTS / f"{name}.txt"
    wanted = sha256(requirements.read_bytes()).hexdigest()
    place = ROOT / f".venv-bench-{name}"
    python, stamp = place / "bin" / "python", place / ".installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"making {place.name} (once)", flush=True)
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            subprocess.run([*pip, "-r", requirements], check=True, stderr=subprocess.PIPE, text=True)
        except subprocess.CalledProcessError as error:
            print(error.stderr, file=sys.stderr, flush=True)
            raise
        stamp.write_text(wanted)
    return python
