"""RapidOCR: how many processes of how many threads, and what memory they take.

The same pages for every row, rows in turn, so that a machine whose speed drifts treats all alike.
"""

from __future__ import annotations

import os
from statistics import median

from jobs.options import PageOptions
from jobs.settings import EngineSettings, LimitSettings
from tests.bench.cpu_engine import subset
from tests.bench.plain_loop import Loop, read_all

ROUNDS = 2
EVERY = 4
"""Of the 60 pages of `cpu_engine.subset`, one in so many."""
MIB = 2**20


def run() -> str:
    """A row for each number of processes and threads: pages/s, CPU seconds a page, memory of a process."""
    pages = subset()[::EVERY]
    found: dict[tuple[int, int], list[Loop]] = {row: [] for row in _rows()}
    for _ in range(ROUNDS):
        for (processes, threads), loops in found.items():
            settings = EngineSettings(render_processes=processes)
            options = PageOptions(text="ocr")
            loops.append(read_all(pages, settings, LimitSettings(), options, threads=threads))
            print(_row((processes, threads), loops[-1:], len(pages)), flush=True)
    lines = [
        f"{len(pages)} pages, {ROUNDS} rounds",
        "processes  threads  pages/s (least to most)   CPU s/page   MiB a process: models, peak",
    ]
    lines += [_row(row, loops, len(pages)) for row, loops in found.items()]
    return "\n".join(lines)


def _rows() -> list[tuple[int, int]]:
    """(processes, threads of each): one alone, one with every core, one for each core, and too many of both."""
    cores = len(os.sched_getaffinity(0))
    return list(dict.fromkeys([(1, 1), (1, cores), (cores, 1), (cores, 2), (cores + 1, 1)]))


def _row(row: tuple[int, int], loops: list[Loop], pages: int) -> str:
    speeds = [pages / loop.seconds for loop in loops]
    cpu = median(loop.cpu for loop in loops) / pages
    loaded, peak = max(loop.loaded for loop in loops) / MIB, max(loop.peak for loop in loops) / MIB
    spread = f"{median(speeds):.3f} ({min(speeds):.3f} to {max(speeds):.3f})"
    return f"{row[0]:9} {row[1]:8}  {spread:24} {cpu:12.2f}   {loaded:13.0f}, {peak:.0f}"
