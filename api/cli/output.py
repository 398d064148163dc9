"""The results of one document beside each other: `x.pdf.md`, `x.pdf.json`, `x.pdf.figures/`.

`x.pdf.json` is written last and names what was read and how: it is the mark that the document is done. It also says
what is ours. Whatever else lies in OUT belongs to somebody else: it is neither removed nor overwritten.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from api.cli.earlier import figures_of, is_file_name, is_plain_file, provenance
from api.cli.plan import FIGURES
from jobs.errors import OutputForbidden

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
    head = provenance(target.json)
    if head is None or not target.markdown.is_file():
        return False
    if (head.get("state"), head.get("engine"), head.get("options")) != ("succeeded", recipe.engine, recipe.options):
        return False
    was = head.get("source") or {}
    return was.get("bytes") == source.stat().st_size and was.get("sha256") == sha256_of(source)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_foreign(target: Target, figures: Iterable[str] = ()) -> frozenset[str]:
    """Raise OutputForbidden where the results would cover what no earlier result of ours wrote.

    Returns the figures of the earlier result. `figures`: names of those that are to be written.
    """
    old = figures_of(target.json)
    if old is None:
        _refuse(target.json, target.markdown)
    elif not is_plain_file(target.markdown):
        _refuse(target.markdown)
    figures, ours = set(figures), old or frozenset()
    if figures and (target.figures.is_symlink() or not target.figures.is_dir()):
        _refuse(target.figures)
    for path in (target.figures / name for name in sorted(figures)):
        if not (path.name in ours and is_plain_file(path)):
            _refuse(path)
    return ours


def _refuse(*paths: Path) -> None:
    for path in paths:
        if os.path.lexists(path):
            detail = f"{path} is in the way and no earlier result: move it or choose another OUT"
            raise OutputForbidden(detail, where=str(path))


def _remove_figures(target: Target, names: Collection[str]) -> None:
    """Remove the named figures, and their folder when nothing else is in it."""
    if not names or target.figures.is_symlink() or not target.figures.is_dir():
        return
    for path in (target.figures / name for name in names):
        if is_plain_file(path):
            path.unlink()
    with contextlib.suppress(OSError):  # something else is in it
        target.figures.rmdir()


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
        self._moving = self._folder / "moving"
        """While results are moved in: the names of the old and new figures. What was moved is ours, without a json."""

    def __enter__(self) -> Self:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self.clear()
        self._folder.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # the next run tries again
            self.clear()

    def clear(self) -> None:
        """Remove what is staged. A move that ended halfway is undone: what it had brought in goes. Raises OSError."""
        if is_plain_file(self._moving) and not os.path.lexists(self._target.json):
            names = os.fsdecode(self._moving.read_bytes()).split("\0")
            _remove_figures(self._target, [name for name in names if is_file_name(name)])
            if is_plain_file(self._target.markdown):
                self._target.markdown.unlink()
        shutil.rmtree(self._folder, ignore_errors=True)

    def figure(self, name: str) -> Path:
        """Where to write the figure `name`. Raises ValueError for a name that would leave the folder."""
        if not is_file_name(name):
            raise ValueError(f"{name!r} is no file name")
        self._figures.mkdir(exist_ok=True)
        return self._figures / name

    def publish(self) -> None:
        """Move everything in. The old mark goes first and the new one comes last.

        Raises OutputForbidden, with everything as it was, where something foreign is in the way; OSError.
        """
        target = self._target
        names = sorted(path.name for path in self._figures.iterdir()) if self._figures.exists() else []
        old = refuse_foreign(target, names)
        if names:
            self._link_figures()
        self._moving.write_bytes(os.fsencode("\0".join({*old, *names})))
        target.json.unlink(missing_ok=True)
        _remove_figures(target, old)
        if names:
            target.figures.mkdir(exist_ok=True)
        for name in names:
            (self._figures / name).replace(target.figures / name)
        self.markdown.replace(target.markdown)
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
