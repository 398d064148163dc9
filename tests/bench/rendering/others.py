"""pdftoppm and PyMuPDF on the same files, one core each."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.environments import environment
from tests.bench.rendering.samples import Sample, page_count

DRAW = Path(__file__).parent / "draw.py"
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Drawn:
    """What it took."""

    pages: int
    seconds: float
    cpu: float
    """CPU seconds."""


def pdftoppm_version() -> str:
    told = subprocess.run(["pdftoppm", "-v"], check=True, capture_output=True, text=True).stderr
    found = re.search(r"version (\S+)", told)
    return found[1] if found else "unknown"


def pdftoppm(samples: Sequence[Sample], dpi: int) -> Drawn:
    """One process for each file, its pages as PPM through a pipe. As a user would, with what starting it takes."""
    begun, before = time.perf_counter(), os.times()
    for sample in samples:
        _ppm_of(sample, dpi)
    after = os.times()
    cpu = sum(after[:4]) - sum(before[:4])  # ours too: the pipe has to be read
    return Drawn(page_count(tuple(samples)), time.perf_counter() - begun, cpu)


def _ppm_of(sample: Sample, dpi: int) -> None:
    # The crop box is what pdfium and MuPDF show.
    command = ["pdftoppm", "-r", str(dpi), "-cropbox", "-l", str(sample.pages), str(sample.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pipesize=_PIECE) as process:
        assert process.stdout is not None
        into = bytearray(_PIECE)
        while process.stdout.raw.readinto(into):  # type: ignore[attr-defined]  # of a pipe, BufferedReader
            pass
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def pymupdf(samples: Sequence[Sample], dpi: int) -> Drawn:
    """`draw.py` in an environment of its own."""
    files = [str(word) for sample in samples for word in (sample.path, sample.pages)]
    command = [environment("pymupdf"), DRAW, str(dpi), *files]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Drawn(**json.loads(told.splitlines()[-1]))
