"""What a page may take in a render process, beside what the process has and keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="nothing is counted there")

BEGIN = """
from workers.render.confine import data_bytes, keep_freed_memory
from workers.render.messages import Start
from workers.render.process import RenderProcess
from jobs.settings import MIB, EngineSettings

keep_freed_memory()
process = RenderProcess(Start(None, EngineSettings(), 50_000_000, 128 * MIB))
"""


def run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_page_may_take_all_its_memory_after_one_that_left_some_free() -> None:
    """What the C heap keeps, up to 128 MiB, is within the limit: one image that is as large takes its place."""
    run("""
pieces = [bytearray(8 * MIB) for _ in range(14)]
del pieces
assert data_bytes() - process._baseline > 100 * MIB
process._limit_memory()
bytearray(120 * MIB)
""")


def test_a_page_drawn_small_holds_what_was_drawn() -> None:
    """A page of 100 MiB of which only a quarter was drawn lent its process the rest."""
    run("""
from PIL import Image
from jobs.results import PageImage
from workers.engines.base import RenderedPage

pixels = Image.new("RGB", (2560, 2560))
process._pages[1] = RenderedPage(1, pixels, PageImage(width=5120, height=5120, dpi=144))
process._limit_memory()
try:
    bytearray(180 * MIB)
except MemoryError:
    pass
else:
    raise AssertionError("more than a page may take")
""")
