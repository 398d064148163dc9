"""The results of one document beside each other: `x.pdf.md`, `x.pdf.json`, `x.pdf.figures/`.

`x.pdf.json` is written last and names what was read and how: it is the mark that the document is done.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import orjson

from api.cli.plan import FIGURES

_HEAD_BYTES = 1 << 16
_PAGES = re.compile(rb'"pages"\s*:\s*\[')
_LINK = re.compile(r'(\]\(<?|(?:src|href)=["\'])figures/')


@dataclass(frozen=True, slots=True)
class Target:
    """Where the results of one document go."""

    base: Path
    """`OUT/…/x.pdf`, a name that itself is never written."""

    @property
    def markdown(self) -> Path:
        return self._with(".md")

    @property
    def json(self) -> Path:
        return self._with(".json")

    @property
    def figures(self) -> Path:
        return self._with(FIGURES)

    def _with(self, ending: str) -> Path:
        return self.base.parent / (self.base.name + ending)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a document is read: what must be equal for an earlier result to still count."""

    engine: str
    options: dict[str, Any]


def is_done(target: Target, source: Path, recipe: Recipe) -> bool:
    """Whether a complete result of these bytes, read this way, lies there already. Raises OSError for the source."""
    head = _provenance(target.json)
    if head is None or not target.markdown.is_file():
        return False
    if (head.get("state"), head.get("engine"), head.get("options")) != ("succeeded", recipe.engine, recipe.options):
        return False
    was = head.get("source") or {}
    return was.get("bytes") == source.stat().st_size and was.get("sha256") == sha256_of(source)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _provenance(path: Path) -> dict[str, Any] | None:
    """document.json without its pages, which come last and may be hundreds of megabytes."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            found = _PAGES.search(head)
            text = head[: found.start()].rstrip().rstrip(b",") + b"}" if found else head + file.read()
        value = orjson.loads(text)
    except (OSError, orjson.JSONDecodeError):
        return None
    return value if isinstance(value, dict) else None


class Staging:
    """Results on their way: gathered in a hidden folder beside their place, then moved in at once.

    with Staging(target) as staging:
        ... write staging.markdown, staging.json and staging.figure(name) ...
        staging.publish()
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        # The same name every time: what a killed run left behind is cleared by the next one. Short, so that it exists
        # wherever the longest of the results can.
        mark = hashlib.sha256(os.fsencode(target.base.name)).hexdigest()[:12]
        self._folder = target.base.parent / f".pagemill-{mark}"
        self.markdown = self._folder / "md"
        self.json = self._folder / "json"
        self._figures = self._folder / "figures"

    def __enter__(self) -> Self:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def figure(self, name: str) -> Path:
        """Where to write the figure `name`. Raises ValueError for a name that would leave the folder."""
        if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise ValueError(f"{name!r} is no file name")
        self._figures.mkdir(exist_ok=True)
        return self._figures / name

    def publish(self) -> None:
        """Move everything in. The old mark goes first and the new one comes last."""
        target = self._target
        if self.json.exists():
            target.json.unlink(missing_ok=True)
        if self.markdown.exists():
            shutil.rmtree(target.figures, ignore_errors=True)
            if self._figures.exists():
                self._link_figures()
                self._figures.replace(target.figures)
            self.markdown.replace(target.markdown)
        if self.json.exists():
            self.json.replace(target.json)

    def _link_figures(self) -> None:
        """`figures/NAME` in the Markdown becomes the folder the figures lie in, as a URL."""
        folder = quote(os.fsencode(self._target.figures.name))
        names = {path.name for path in self._figures.iterdir()}
        relinked = self._folder / "relinked"
        with (
            self.markdown.open(encoding="utf-8", newline="") as lines,
            relinked.open("w", encoding="utf-8", newline="") as out,
        ):
            for line in lines:
                out.write(relink(line, folder, names))
        relinked.replace(self.markdown)


def relink(line: str, folder: str, names: set[str]) -> str:
    """One line of Markdown with its links to known figures pointing into `folder`."""

    def moved(match: re.Match[str]) -> str:
        name = re.match(r"[^)>\"'\s]+", line[match.end() :])
        known = name is not None and name.group() in names
        return f"{match.group(1)}{folder}/" if known else match.group()

    return _LINK.sub(moved, line)
