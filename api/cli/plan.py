"""Which files `pagemill run` and `pagemill submit` read, and where each one's results lie.

OUT mirrors the files below the nearest folder that holds all PATHS: one folder given, its own tree; `2023/scans` and
`2024/scans` given, `2023/scans/…` and `2024/scans/…`. Two files never share a place, whatever they are called.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from api.cli.earlier import figures_of
from jobs.errors import PagemillError
from jobs.media import SNIFF_BYTES, sniff

FIGURES = ".figures"
SUFFIXES = frozenset({".pdf", ".png", ".jpg", ".jpeg", ".jpe", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Names that claim to be a document. Only the magic bytes decide what a file is; a name decides whether a file that is
none was meant to be one (a failure) or just lay in the folder (skipped)."""


@dataclass(frozen=True, slots=True)
class Source:
    path: Path
    name: str
    """Its place below OUT, parts separated by `/`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a file, or some pages of it, did not become text."""

    where: str
    code: str
    detail: str
    limit: float | str | None = None
    pages: str | None = None
    """The page numbers it is about, as `3,7-9`; None for the whole file."""


@dataclass(slots=True)
class Plan:
    sources: list[Source] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Files found in folders that are no documents."""


def is_document(path: Path) -> bool:
    """Whether a file's first bytes are those of a supported type. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(SNIFF_BYTES)
    try:
        sniff(head, path.stat().st_size)
    except PagemillError:
        return False
    return bool(head)


def make_plan(paths: Sequence[Path], out: Path | None = None) -> Plan:
    """Walk the PATHS. Nothing below OUT is read back; hidden files are left out; each real folder is read once."""
    plan = Plan()
    # Not resolve(): a link's own name is the name its user knows.
    roots = [Path(os.path.abspath(path)) for path in dict.fromkeys(paths)]  # noqa: PTH100
    base = _common_folder([root for root in roots if root.exists()])
    seen: set[Path] = set()
    walk = _Walk(out)
    for given, root in zip(dict.fromkeys(paths), roots, strict=True):
        if root.is_dir():
            found: Iterator[Path] = walk.files(root)
        else:
            found = _named(given, root, plan)
        for path in found:
            if path not in seen:
                seen.add(path)
                _sort_in(plan, path, base, named=path == root)
    plan.failures += [Failure(str(path), "forbidden", reason) for path, reason in walk.unreadable]
    _refuse_covered(plan)
    return plan


def _common_folder(roots: Sequence[Path]) -> Path:
    folders = [root if root.is_dir() else root.parent for root in roots]
    return Path(os.path.commonpath(folders)) if folders else Path.cwd()


def _named(given: Path, root: Path, plan: Plan) -> Iterator[Path]:
    """A PATH that is no folder. One that cannot be read is a failure: somebody asked for it."""
    try:
        regular = stat.S_ISREG(root.stat().st_mode)
    except OSError as error:
        code = "not_found" if isinstance(error, FileNotFoundError | NotADirectoryError) else "forbidden"
        plan.failures.append(Failure(str(given), code, error.strerror or str(error)))
        return
    if regular:
        yield root
    else:
        plan.failures.append(Failure(str(given), "unsupported_type", "This is neither a file nor a folder"))


def _sort_in(plan: Plan, path: Path, base: Path, *, named: bool) -> None:
    if named or path.suffix.lower() in SUFFIXES or _sniffed(path):
        plan.sources.append(Source(path, path.relative_to(base).as_posix()))
    else:
        plan.skipped.append(str(path))


def _sniffed(path: Path) -> bool:
    try:
        return path.is_file() and is_document(path)
    except OSError:
        return False


def _refuse_covered(plan: Plan) -> None:
    """A source in a folder `x.pdf.figures` beside `x.pdf` would lie where the figures of `x.pdf` go."""
    names = {source.name for source in plan.sources}
    kept = []
    for source in plan.sources:
        owner = next((o for o in _owners(source.name) if o in names), None)
        if owner is None:
            kept.append(source)
        else:
            detail = f"Its place is taken by the figures of {owner}: rename the folder"
            plan.failures.append(Failure(str(source.path), "invalid_request", detail))
    plan.sources = kept


def _owners(name: str) -> Iterator[str]:
    """The documents whose figures would lie in one of the folders of `name`."""
    if FIGURES in name:
        parts = name.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if folder.endswith(FIGURES):
                yield folder.removesuffix(FIGURES)


class _Walk:
    """Folders, sorted, each real one once. Links to folders are followed last, so that real places win."""

    def __init__(self, out: Path | None) -> None:
        self._seen: set[tuple[int, int]] = set()
        self._out = _identity(out) if out is not None and out.is_dir() else None
        self.unreadable: list[tuple[Path, str]] = []

    def files(self, root: Path) -> Iterator[Path]:
        folders, links = deque([root]), deque[Path]()
        while folders or links:
            folder = folders.popleft() if folders else links.popleft()
            # OUT itself may be a PATH (results beside the sources): then only the figures of results are left out.
            is_root = folder == root
            if not self._enter(folder, is_root=is_root):
                continue
            below: list[Path] = []
            for entry in self._entries(folder, frozenset() if is_root else _earlier_figures(folder)):
                if not _is_folder(entry):
                    yield Path(entry.path)
                elif entry.is_symlink():
                    links.append(Path(entry.path))
                else:
                    below.append(Path(entry.path))
            folders.extendleft(reversed(below))

    def _enter(self, folder: Path, *, is_root: bool) -> bool:
        identity = _identity(folder)
        if identity is None or identity in self._seen or (identity == self._out and not is_root):
            return False
        self._seen.add(identity)
        return True

    def _entries(self, folder: Path, figures: frozenset[str]) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                found = {entry.name: entry for entry in entries if not entry.name.startswith(".")}
        except OSError as error:
            self.unreadable.append((folder, error.strerror or str(error)))
            return []
        return [found[name] for name in sorted(found) if name not in figures or _is_folder(found[name])]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _earlier_figures(folder: Path) -> frozenset[str]:
    """What an earlier run wrote into `x.pdf.figures/`, by `x.pdf.json` beside it. Anything else in it is to be read."""
    if not folder.name.endswith(FIGURES):
        return frozenset()
    return figures_of(folder.with_name(folder.name.removesuffix(FIGURES) + ".json")) or frozenset()


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
