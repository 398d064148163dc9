"""The real documents, where this checkout has them beside it."""

from __future__ import annotations

from pathlib import Path

import pytest


def _find() -> Path | None:
    for folder in Path(__file__).resolve().parents:
        candidate = folder / "shared" / "testdata"
        if (candidate / "index.jsonl").is_file():
            return candidate
    return None


TESTDATA: Path | None = _find()
"""The folder of test documents (see its INDEX.md); None where it is absent."""

needs_testdata = pytest.mark.skipif(TESTDATA is None, reason="no shared/testdata above this checkout")


def document(name: str) -> Path:
    """One document by its path in index.jsonl; skips the test where there are none."""
    if TESTDATA is None:
        pytest.skip("no shared/testdata above this checkout")
    path = TESTDATA / name
    assert path.is_file(), f"no such test document: {name}"
    return path
