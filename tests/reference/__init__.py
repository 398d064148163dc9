"""Pages under docs/ that are written from the code: `python -m tests.reference [--check]`, or `make docs`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.reference import errors, metrics, settings

DOCS = Path(__file__).resolve().parents[2] / "docs"

PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings.render,
    "errors.md": errors.render,
    "metrics.md": metrics.render,
}


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
