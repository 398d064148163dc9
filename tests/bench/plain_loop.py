"""The plain loop: processes that render and read pages with the engine's page half, and nothing around it."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from jobs.media import SNIFF_BYTES, sniff
from jobs.options import PageOptions
from jobs.settings import EngineSettings, LimitSettings


@dataclass(frozen=True)
class Loop:
    """What it took to read all pages."""

    seconds: float
    """From the first page to the last; models were loaded before."""
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
    pages: list[tuple[Path, int]],
    engine: EngineSettings,
    limits: LimitSettings,
    options: PageOptions,
    *,
    threads: int | None = None,
) -> Loop:
    """Read them with one process per core, or as many as the settings say, of so many threads each.

    Processes take the next page from a shared counter, so that none is idle while pages are left.
    """
    context = multiprocessing.get_context("spawn")
    count = engine.render_processes or len(os.sched_getaffinity(0))
    counter = context.Value("i", 0)
    pipes = [context.Pipe() for _ in range(count)]
    children = [
        context.Process(target=_loop, args=(end, counter, pages, engine, limits, options, threads)) for _, end in pipes
    ]
    for child in children:
        child.start()
    for parent, _ in pipes:
        parent.recv()
    started = time.perf_counter()
    for parent, _ in pipes:
        parent.send("go")
    shares: list[_Share] = [parent.recv() for parent, _ in pipes]
    seconds = time.perf_counter() - started
    for child in children:
        child.join()
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
    pages: list[tuple[Path, int]],
    engine: EngineSettings,
    limits: LimitSettings,
    options: PageOptions,
    threads: int | None,
) -> None:
    from workers.engines.base import RenderedPage
    from workers.engines.rapidocr.engine import DPI
    from workers.engines.rapidocr.page import RapidOcrPageHalf
    from workers.render.documents import open_document

    half = RapidOcrPageHalf(engine, threads=threads)
    half.start()
    loaded = _resident("VmRSS")
    pipe.send("ready")
    pipe.recv()
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
    pipe.send(_Share(read, time.process_time() - before, loaded, _resident("VmHWM")))


def _next(counter: Synchronized[int]) -> int:
    with counter.get_lock():
        counter.value += 1
        return counter.value - 1


def _resident(field: str) -> int:
    """Bytes, of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
