"""The real documents beside this checkout as specimens."""

from __future__ import annotations

import json
from pathlib import Path

from tests.hostile.ordeal import Specimen
from tests.testdata import TESTDATA

_NO_DOCUMENTS = frozenset({".json", ".jsonl", ".md", ".txt"})


def passwords() -> dict[str, str]:
    """Of hostile documents, by their path in the index."""
    found: dict[str, str] = json.loads((_root() / "hostile" / "PASSWORDS.json").read_text())
    return found


def hostile(*, passworded: bool = True) -> list[Specimen]:
    """Every hostile document; `passworded`: with its password where one is known."""
    known = passwords() if passworded else {}
    return [Specimen(name, path, known.get(name)) for name, path in _files("hostile")]


def public(most_bytes: int | None = None) -> list[Specimen]:
    """Every public document of at most so many bytes."""
    return [
        Specimen(name, path)
        for name, path in _files("public")
        if most_bytes is None or path.stat().st_size <= most_bytes
    ]


def _files(folder: str) -> list[tuple[str, Path]]:
    rows = [json.loads(line) for line in (_root() / "index.jsonl").read_text().splitlines()]
    names = sorted(row["file"] for row in rows if row["file"].startswith(folder + "/"))
    return [(name, _root() / name) for name in names if Path(name).suffix not in _NO_DOCUMENTS]


def _root() -> Path:
    assert TESTDATA is not None, "no shared/testdata above this checkout"
    return TESTDATA
