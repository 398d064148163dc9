"""The plain loop: processes that render and read pages with the engine's page half, and nothing around it."""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

from jobs.media import SNIFF_BYTES, sniff
from jobs.options import PageOptions
from jobs.settings import EngineSettings, LimitSettings


def read_all(pages: list[tuple[Path, int]], engine: EngineSettings, limits: LimitSettings) -> float:
    """Seconds to read all pages with one process per core, models loaded before the clock starts.

    Processes take the next page from a shared counter, so that none is idle while pages are left.
    """
    context = multiprocessing.get_context("spawn")
    count = engine.render_processes or len(os.sched_getaffinity(0))
    counter = context.Value("i", 0)
    pipes = [context.Pipe() for _ in range(count)]
    children = [context.Process(target=_loop, args=(end, counter, pages, engine, limits)) for _, end in pipes]
    for child in children:
        child.start()
    for parent, _ in pipes:
        parent.recv()
    started = time.perf_counter()
    for parent, _ in pipes:
        parent.send("go")
    read = sum(parent.recv() for parent, _ in pipes)
    seconds = time.perf_counter() - started
    for child in children:
        child.join()
    assert read == len(pages), f"{read} of {len(pages)} pages read"
    return seconds


def _loop(
    pipe: Connection, counter: object, pages: list[tuple[Path, int]], engine: EngineSettings, limits: LimitSettings
) -> None:
    from workers.engines.base import RenderedPage
    from workers.engines.rapidocr.engine import DPI
    from workers.engines.rapidocr.page import RapidOcrPageHalf
    from workers.render.documents import open_document

    half = RapidOcrPageHalf(engine)
    half.start()
    pipe.send("ready")
    pipe.recv()
    read = 0
    while True:
        with counter.get_lock():  # type: ignore[attr-defined]
            index = counter.value  # type: ignore[attr-defined]
            counter.value += 1  # type: ignore[attr-defined]
        if index >= len(pages):
            break
        path, number = pages[index]
        media_type = sniff(path.read_bytes()[:SNIFF_BYTES], path.stat().st_size)
        document = open_document(path, media_type, max_pixels=limits.max_page_pixels)
        rendering = document.render(number, DPI, limits.max_page_pixels)
        half.recognize(RenderedPage(number, rendering.pixels, rendering.info, rendering.warnings, 0.0), PageOptions())
        document.close()
        read += 1
    pipe.send(read)
