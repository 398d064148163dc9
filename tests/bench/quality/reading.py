"""All readers over all pages, a process per core; what is in the cache is not read again."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from jobs.errors import PagemillError
from jobs.scoring.reading import Reading
from jobs.scoring.score import Score, score, text_score
from tests.bench.quality.cache import Cache
from tests.bench.quality.readers import Page, Reader, readers
from tests.bench.quality.regrouping import regrouped
from tests.bench.quality.samples import Sample

PATIENCE = 1800.0
"""Seconds to wait for one page of all readers."""


@dataclass(frozen=True)
class Measured:
    """One page as one reader read it."""

    sample: Sample
    reader: str
    score: Score
    regrouped: Score
    """The text alone, its lines in the truth's order."""
    error: str = ""
    layer_alone: bool = False


def measure(samples: Sequence[Sample], processes: int) -> list[Measured]:
    """Read and score every page with every reader. A reader's failure on a page counts as nothing read."""
    context = multiprocessing.get_context("spawn")
    counter = context.Value("i", 0)
    pipes = [context.Pipe(duplex=False) for _ in range(processes)]
    children = [context.Process(target=_work, args=(end, counter, list(samples))) for _, end in pipes]
    for child in children:
        child.start()
    for _, end in pipes:
        end.close()  # so that the end of a child is the end of its pipe
    measured: list[Measured] = []
    open_ends = {receiver for receiver, _ in pipes}
    while open_ends:
        ready = multiprocessing.connection.wait(open_ends, PATIENCE)
        assert ready, f"no page was read in {PATIENCE:.0f} s"
        for end in ready:
            message = _received(end)
            if message is None:
                open_ends.remove(end)
                continue
            measured += message
            done = len({(m.sample.file, m.sample.number) for m in measured})
            sys.stderr.write(f"\r{done} of {len(samples)} pages")
            sys.stderr.flush()
    for child in children:
        child.join()
    sys.stderr.write("\n")
    return measured


def _received(end: object) -> list[Measured] | None:
    """One page by all readers; None at the end."""
    assert isinstance(end, Connection)
    try:
        return end.recv()  # type: ignore[no-any-return]
    except EOFError:
        raise RuntimeError("a reading process ended before its pages were read; what it said stands above") from None


def _work(pipe: Connection, counter: object, samples: list[Sample]) -> None:
    cache = Cache()
    hands = [_Hand(reader, cache) for reader in readers()]
    while True:
        with counter.get_lock():  # type: ignore[attr-defined]
            index = counter.value  # type: ignore[attr-defined]
            counter.value += 1  # type: ignore[attr-defined]
        if index >= len(samples):
            break
        sample = samples[index]
        page = Page(sample)
        wanted = [hand for hand in hands if sample.born_digital or not hand.reader.born_digital_only]
        pipe.send([hand.measure(page) for hand in wanted])
        page.close()
    pipe.send(None)


class _Hand:
    """A reader whose models are loaded when the first page is not in the cache."""

    def __init__(self, reader: Reader, cache: Cache) -> None:
        self.reader = reader
        self._cache = cache
        self._version = reader.version() if reader.version else None
        self._read: Callable[[Page], bytes] | None = None

    def measure(self, page: Page) -> Measured:
        sample = page.sample
        read, error, layer_alone = Reading(""), "", False
        try:
            value = self._value(page)
            read, layer_alone = self.reader.parse(value), self.reader.layer_alone(value)
        except (PagemillError, subprocess.CalledProcessError) as refused:
            error = str(refused)
        truth = sample.truth.text
        sorted_ = text_score(truth, regrouped(truth, read.text))
        return Measured(sample, self.reader.name, score(sample.truth, read), sorted_, error, layer_alone)

    def _value(self, page: Page) -> bytes:
        if self._version is None:
            return self._fresh(page)
        key = (self.reader.name, self._version, page.digest, page.sample.language)
        value = self._cache.get(*key)
        if value is None:
            value = self._fresh(page)
            self._cache.put(value, *key)
        return value

    def _fresh(self, page: Page) -> bytes:
        if self._read is None:
            self._read = self.reader.open(self._cache)
        return self._read(page)
