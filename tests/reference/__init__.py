"""Pages under docs/ that are written from the code: `python -m tests.reference [--check]`, or `make docs`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from tests.reference import errors, settings

DOCS = Path(__file__).resolve().parents[2] / "docs"

PAGES: dict[str, Callable[[], str]] = {"settings.md": settings.render, "errors.md": errors.render}
if importlib.util.find_spec("jobs.metrics") is not None:  # written on another branch of issue 7; no condition after it
    from tests.reference import metrics

    PAGES["metrics.md"] = metrics.render


def stale() -> list[str]:
    """Names of the pages that are missing or say something else than the code."""
    return [name for name, render in PAGES.items() if _committed(name) != render()]


def write() -> list[str]:
    """Brings the pages up to date and returns the names of those that were not."""
    names = stale()
    for name in names:
        (DOCS / name).write_text(PAGES[name](), "utf-8")
    return names


def _committed(name: str) -> str | None:
    path = DOCS / name
    return path.read_text("utf-8") if path.exists() else None
