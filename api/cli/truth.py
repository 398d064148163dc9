"""Which truth belongs to which result: the files of `pagemill eval`.

Results lie as `pagemill run` and `fetch` write them: `sub/x.pdf.json` beside `sub/x.pdf.md`. The truth mirrors the
folders: `sub/x.pdf.txt` is about `sub/x.pdf`, `sub/x.txt` about every document `sub/x.…`. `.page-3` before the ending
makes it the truth of page 3; form feeds in a text file end its pages, as pdftotext writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from api.cli.earlier import figures_of
from api.cli.plan import SUFFIXES, Failure
from jobs.errors import InvalidRequest, NotFound
from jobs.scoring.reading import Reading, from_html, from_markdown, from_text

READERS = {
    ".txt": from_text,
    ".md": from_markdown,
    ".markdown": from_markdown,
    ".html": from_html,
    ".htm": from_html,
}
_PAGE = re.compile(r"\.page-0*([1-9]\d{0,8})$")


@dataclass(frozen=True, slots=True)
class Truth:
    """One file of truth. `about` names documents below the folder, `page` is 1-based, None for all of them."""

    path: Path
    about: str
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One document that was read: its place below the results folder, and what lies there."""

    name: str
    path: Path
    """`x.pdf.json`, or `x.pdf.md` where there is no JSON."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A result with the files of truth that are about it."""

    result: Result
    truths: tuple[Truth, ...]

    @property
    def group(self) -> str:
        """Its folder below the results; `.` for none."""
        return Path(self.result.name).parent.as_posix()


@dataclass(slots=True)
class Matching:
    pairs: list[Pair] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    """Names of results without truth."""
    failures: list[Failure] = field(default_factory=list)


def match(truth: Path, results: Path) -> Matching:
    """Bring truth and results together. Raises NotFound, InvalidRequest for folders that are none or hold nothing."""
    _folder(truth)
    found = _results(results, apart=not _same(truth, results))
    truths = _truths(truth, {result.path for result in found.values()} | {_markdown(r) for r in found.values()})
    matching = Matching()
    by_name: dict[str, list[Truth]] = {}
    for one in truths:
        names = [one.about] if one.about in found else [n for n in found if n.rpartition(".")[0] == one.about]
        for name in names:
            by_name.setdefault(name, []).append(one)
        if not names:
            detail = f"there is no result for it: {one.about}.json or {one.about}.….json in {results}"
            matching.failures.append(Failure(str(one.path), "not_found", detail))
    for name, own in sorted(by_name.items()):
        pair = Pair(found[name], _most_precise(own, name))
        doubled = _doubled(pair.truths)
        if doubled:
            detail = f"{doubled[0].path} says the same about {name}: keep one of them"
            matching.failures.append(Failure(str(doubled[1].path), "invalid_request", detail))
        else:
            matching.pairs.append(pair)
    matching.failures += _passed_over(by_name)
    matching.unused = sorted(set(found) - set(by_name))
    return matching


def _passed_over(by_name: dict[str, list[Truth]]) -> list[Failure]:
    """Truth of a stem whose documents all have truth of their own: nobody would see that it was not looked at."""
    chosen = {truth for name, own in by_name.items() for truth in _most_precise(own, name)}
    found = {truth: name for name, own in by_name.items() for truth in own if truth not in chosen}
    return [
        Failure(str(truth.path), "invalid_request", f"not looked at: other truth names {name} itself")
        for truth, name in found.items()
    ]


def _most_precise(truths: list[Truth], name: str) -> tuple[Truth, ...]:
    """Truth that names the document itself wins over truth that names all of its stem."""
    exact = [truth for truth in truths if truth.about == name]
    return tuple(sorted(exact or truths, key=lambda truth: (truth.page or 0, truth.path)))


def _doubled(truths: tuple[Truth, ...]) -> tuple[Truth, Truth] | None:
    """Two that are about the same page, or one about all pages beside another."""
    for first, second in pairwise(truths):
        if first.page is None or first.page == second.page:
            return first, second
    return None


def _results(folder: Path, *, apart: bool) -> dict[str, Result]:
    """Results by name. Markdown without its JSON counts where no truth can be meant by it.

    A JSON beside Markdown is the result even if it cannot be read: that is then said, instead of scoring the rest.
    """
    found: dict[str, Result] = {}
    files = list(_files(folder))
    for path in files:
        if path.suffix == ".json" and figures_of(path) is not None:
            name = path.relative_to(folder).as_posix().removesuffix(".json")
            found[name] = Result(name, path)
    for path in files:
        name = path.relative_to(folder).as_posix().removesuffix(".md")
        if apart and path.suffix == ".md" and name not in found and Path(name).suffix.lower() in SUFFIXES:
            damaged = path.with_name(Path(name).name + ".json")
            found[name] = Result(name, damaged if damaged.is_file() else path)
    if not found:
        raise NotFound("no results of pagemill lie here: x.pdf.json or x.pdf.md", where=str(folder))
    return found


def _markdown(result: Result) -> Path:
    return result.path.with_name(Path(result.name).name + ".md")


def _truths(folder: Path, results: set[Path]) -> list[Truth]:
    found = []
    for path in _files(folder):
        if path.suffix.lower() in READERS and path not in results:
            about = path.relative_to(folder).as_posix()[: -len(path.suffix)]
            page = _PAGE.search(about)
            if page:
                found.append(Truth(path, about[: page.start()], int(page.group(1))))
            else:
                found.append(Truth(path, about))
    if not found:
        raise NotFound(f"no ground truth lies here: {', '.join(READERS)}", where=str(folder))
    return found


def _folder(path: Path) -> Path:
    if not path.exists():
        raise NotFound("there is no such folder", where=str(path))
    if not path.is_dir():
        raise InvalidRequest("this is no folder", where=str(path))
    return path


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(_folder(folder).rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            yield path


def _same(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and a.samefile(b)


def read_truth(truth: Truth) -> dict[int | None, Reading]:
    """Its text by page; under None where it is not cut into pages. Raises OSError, UnicodeDecodeError."""
    text = truth.path.read_bytes().decode("utf-8-sig")
    reader = READERS[truth.path.suffix.lower()]
    pages = text.removesuffix("\n").removesuffix("\f").split("\f") if reader is from_text else [text]
    if len(pages) == 1 or truth.page is not None:
        return {truth.page: reader(text.replace("\f", "\n"))}
    return {number: reader(page) for number, page in enumerate(pages, 1)}
