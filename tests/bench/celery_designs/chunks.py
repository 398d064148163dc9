"""A task takes a chunk of whole documents through one `LLM.generate`, as vLLM's offline examples do.

One task at a time holds the engine (solo), and writes what it read before the next one begins.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from celery.signals import worker_init

from tests.bench.celery_designs import documents
from tests.bench.celery_designs.apps import make_app
from tests.bench.celery_designs.engine import Engine

CHUNK = "BENCH_CHUNK"
"""Documents of a task."""
app = make_app("chunks", task_ignore_result=True)
engine: Engine
writers = ThreadPoolExecutor(8)


@worker_init.connect
def start(**_: object) -> None:
    global engine
    engine = Engine()


@app.task(name="chunk")
def read_chunk(found: list[tuple[str, int]]) -> None:
    """Documents and their numbers of pages."""
    pages = [(document, number) for document, count in found for number in range(1, count + 1)]
    results = engine.generate([number for _, number in pages])
    list(writers.map(documents.save_page, [document for document, _ in pages], results))
    rest = iter(results)
    for document, count in found:
        documents.assemble(document, list(islice(rest, count)))


def send(found: list[tuple[str, int]]) -> None:
    size = int(os.environ[CHUNK])
    for start in range(0, len(found), size):
        read_chunk.delay(found[start : start + size])
