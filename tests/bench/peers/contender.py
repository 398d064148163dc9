"""Who reads the pages, and what a run of one found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.bench.environments import ROOT
from tests.bench.modelled import Model
from tests.bench.peers.pages import Pages
from tests.bench.peers.replies import Kind
from tests.bench.peers.server import Meters, StubServer

NANNY = Path(__file__).parent / "nanny.py"
IN_FLIGHT = 96
"""Requests that a client is told to have at the server, where it can be told.

Half as many again as the server runs, so that the next ones are there.
"""
LIMIT = 300
"""Seconds that anybody may take for the pages."""


@dataclass(frozen=True, slots=True)
class Took:
    """What one contender took for all pages. Times are monotonic."""

    began: float
    ended: float
    cpu: float
    """Seconds of everything on the client's side."""
    first: float
    """When the first text could be read."""
    texts: int
    """Files or documents of text in the end."""
    cpu_by_part: Mapping[str, float] | None = None


class Contender(Protocol):
    """One side of the comparison."""

    name: str
    given: str
    """What it is, sends and was told: half a sentence of Markdown."""
    asks: Kind
    """The kind of its one request a page."""

    def run(self, server: StubServer, pages: Pages) -> Took:
        """Reads the pages once. Raises RuntimeError with the end of its output where it fails."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program that starts, reads a folder and ends: its start counts."""

    name: str
    command: Callable[[str, Path, Path], Sequence[str | Path]]
    """Of the server's URL, the folder of documents and the one for what it writes."""
    given: str
    asks: Kind = "markdown"
    environment: Callable[[str], Mapping[str, str]] = lambda _url: {}

    def run(self, server: StubServer, pages: Pages) -> Took:
        with tempfile.TemporaryDirectory(prefix="pagemill-bench-") as name:
            place = Path(name)
            out, home = place / "out", place / "home"
            out.mkdir()
            home.mkdir()
            base = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(place), "IN_FLIGHT": str(IN_FLIGHT)}
            found = self._nursed(place, [*self.command(server.url, pages.folder, out)], base, server.url)
            written = sorted(path.stat().st_mtime for path in out.rglob("*.md"))
            if not written:
                raise RuntimeError(f"{self.name} wrote nothing:\n{_tail(place / 'log')}")
            first = written[0] - time.time() + time.monotonic()
            return Took(found["began"], found["began"] + found["seconds"], found["cpu"], first, len(written))

    def _nursed(self, place: Path, command: list[str | Path], base: dict[str, str], url: str) -> dict[str, float]:
        with (place / "log").open("wb") as log:
            nursed = subprocess.run(
                [sys.executable, NANNY, place / "result.json", str(LIMIT), *command],
                env=base | dict(self.environment(url)), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                check=False,
            )  # fmt: skip
        if nursed.returncode:
            raise RuntimeError(f"{self.name} could not be started:\n{_tail(place / 'log')}")
        found: dict[str, float] = json.loads((place / "result.json").read_text())
        if found["status"] != 0:
            raise RuntimeError(f"{self.name} ended with {found['status']}:\n{_tail(place / 'log')}")
        return found


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


@dataclass(frozen=True, slots=True)
class Round:
    """One contender, one rate, one time."""

    pages_per_second: float
    cpu: float
    """Seconds a page, the client's side."""
    server_cpu: float
    """Seconds a page, the modelled server's."""
    idle: float
    """Share of the engine that was left over, from begin to end: what was asked before, to warm up, is not counted."""
    idle_with_backlog: float
    """The same between the first and the last request's arrival."""
    first: float
    """Seconds to the first text."""
    asked: float
    """Seconds to the first request at the server: what starting, and drawing the first page, took."""
    flight: tuple[tuple[float, int], ...]
    """Requests in the engine, by seconds since the start."""
    most: int
    """Requests that were at the server at once."""
    took: Took


def measure(contender: Contender, model: Model, pages: Pages) -> Round:
    """With a server of its own, so that its meters count nobody else.

    Raises RuntimeError where not every page was read, or not every document has a text.
    """
    with StubServer(model) as server:
        took = contender.run(server, pages)
        meters = server.meters()
        server_cpu = server.cpu()
    check_all_read(contender, pages, took, meters)
    seconds = took.ended - took.began
    flight = [(round(at - took.began, 2), running) for at, running in meters.flight if took.began <= at <= took.ended]
    return Round(
        pages_per_second=pages.count / seconds,
        cpu=took.cpu / pages.count,
        server_cpu=server_cpu / pages.count,
        idle=meters.idle(model, seconds),
        idle_with_backlog=meters.idle_between(model),
        first=took.first - took.began,
        asked=meters.first.at - took.began,
        flight=tuple(flight),
        most=meters.most,
        took=took,
    )


def check_all_read(contender: Contender, pages: Pages, took: Took, meters: Meters) -> None:
    """Raises RuntimeError where the server answered fewer requests for pages than there are, or texts are missing.

    Everybody here asks once for each page (MinerU for its layout, and then for blocks, which do not count).
    """
    read = meters.answered.get(contender.asks, 0)
    if read < pages.count:
        raise RuntimeError(f"{contender.name} had {read} of {pages.count} pages read: {meters.answered}")
    if took.texts < pages.documents:
        raise RuntimeError(f"{contender.name} left {took.texts} texts of {pages.documents} documents")
