"""The plain loop: processes that render and read pages with the engine's page half, and nothing around it."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import TYPE_CHECKING, Self

from jobs.media import SNIFF_BYTES, sniff
from jobs.options import PageOptions
from jobs.settings import EngineSettings, LimitSettings

if TYPE_CHECKING:
    from workers.engines.rapidocr.page import RapidOcrPageHalf


@dataclass(frozen=True)
class Loop:
    """What it took to read all pages."""

    seconds: float
    """From the first page to the last; the processes are up and their models loaded."""
    cpu: float
    """CPU seconds of all processes in that time."""
    loaded: int
    """Resident bytes of a process once its models are loaded; the largest of all processes, as below."""
    peak: int
    """Resident bytes at the most."""


@dataclass(frozen=True)
class _Share:
    """What one process did."""

    pages: int
    cpu: float
    loaded: int
    peak: int


def read_all(
    pages: Sequence[tuple[Path, int]],
    engine: EngineSettings,
    limits: LimitSettings,
    options: PageOptions,
    *,
    threads: int | None = None,
) -> Loop:
    """Read them once, with processes of their own."""
    with Readers(engine, limits, options, threads=threads) as readers:
        return readers.read(pages)


class Readers:
    """One process per core, or as many as the settings say, of so many threads each. They stay until it is left."""

    def __init__(
        self, engine: EngineSettings, limits: LimitSettings, options: PageOptions, *, threads: int | None = None
    ) -> None:
        context = multiprocessing.get_context("spawn")
        count = engine.render_processes or len(os.sched_getaffinity(0))
        self._counter = context.Value("i", 0)
        pipes = [context.Pipe() for _ in range(count)]
        self._pipes = [parent for parent, _ in pipes]
        self._children = [
            context.Process(target=_loop, args=(end, self._counter, engine, limits, options, threads), daemon=True)
            for _, end in pipes
        ]

    def __enter__(self) -> Self:
        for child in self._children:
            child.start()
        for pipe in self._pipes:
            pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.send([])
        for child in self._children:
            child.join()

    def read(self, pages: Sequence[tuple[Path, int]]) -> Loop:
        """Each takes the next page from a shared counter, so that none is idle while pages are left."""
        self._counter.value = 0
        started = time.perf_counter()
        for pipe in self._pipes:
            pipe.send(pages)
        shares: list[_Share] = [pipe.recv() for pipe in self._pipes]
        seconds = time.perf_counter() - started
        read = sum(share.pages for share in shares)
        assert read == len(pages), f"{read} of {len(pages)} pages read"
        return Loop(
            seconds,
            sum(share.cpu for share in shares),
            max(share.loaded for share in shares),
            max(share.peak for share in shares),
        )


def _loop(
    pipe: Connection,
    counter: Synchronized[int],
    engine: EngineSettings,
    limits: LimitSettings,
    options: PageOptions,
    threads: int | None,
) -> None:
    """Reads one list of pages after the other with the others, until one is empty."""
    from workers.engines.rapidocr.page import RapidOcrPageHalf

    half = RapidOcrPageHalf(engine, threads=threads)
    half.start()
    loaded = _resident("VmRSS")
    pipe.send("ready")
    while pages := pipe.recv():
        pipe.send(_read(half, counter, pages, limits, options, loaded))


def _read(
    half: RapidOcrPageHalf,
    counter: Synchronized[int],
    pages: Sequence[tuple[Path, int]],
    limits: LimitSettings,
    options: PageOptions,
    loaded: int,
) -> _Share:
    from workers.engines.base import RenderedPage
    from workers.engines.rapidocr.engine import DPI
    from workers.render.documents import open_document

    read, before = 0, time.process_time()
    while (index := _next(counter)) < len(pages):
        path, number = pages[index]
        media_type = sniff(path.read_bytes()[:SNIFF_BYTES], path.stat().st_size)
        document = open_document(path, media_type, max_pixels=limits.max_page_pixels)
        rendering = document.render(number, DPI, limits.max_page_pixels)
        info = rendering.info

        def text_layer(document=document, number=number, info=info):  # type: ignore[no-untyped-def]
            return document.text_layer(number, info.width, info.height)

        page = RenderedPage(number, rendering.pixels, info, rendering.warnings, 0.0, text_layer)
        half.recognize(page, options)
        document.close()
        read += 1
    return _Share(read, time.process_time() - before, loaded, _resident("VmHWM"))


def _next(counter: Synchronized[int]) -> int:
    with counter.get_lock():
        counter.value += 1
        return counter.value - 1


def _resident(field: str) -> int:
    """Bytes, of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
