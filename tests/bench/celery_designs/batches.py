"""One task per page, which celery-batches hands over in lists: each list is one call of the engine.

celery-batches 0.11 knows no chords (`SimpleRequest.chord` is None), so the row of the document counts its pages, and
who counts the last one assembles. Results live in the store alone. Several threads each take a list through the engine
that they share, so that it has another list's pages while one list ends, is stored and is assembled.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from celery.signals import worker_init
from celery_batches import Batches, SimpleRequest

from tests.bench.celery_designs import documents
from tests.bench.celery_designs.apps import make_app, prefetch
from tests.bench.celery_designs.engine import Engine

FLUSH, INTERVAL, THREADS = "BENCH_FLUSH", "BENCH_INTERVAL", "BENCH_THREADS"
flush = int(os.environ[FLUSH])
app = make_app("batches", task_ignore_result=True)
app.conf.worker_prefetch_multiplier = prefetch(flush, int(os.environ[THREADS]))
engine: Engine
writers = ThreadPoolExecutor(8)


@worker_init.connect
def start(**_: object) -> None:
    global engine
    engine = Engine()


@app.task(base=Batches, name="page", flush_every=flush, flush_interval=float(os.environ[INTERVAL]))
def read_pages(requests: list[SimpleRequest]) -> None:
    """`args` of each: document, page number."""
    pages = engine.generate([request.args[1] for request in requests])
    owners = [request.args[0] for request in requests]
    list(writers.map(documents.save_page, owners, pages))
    for document, ended in Counter(owners).items():
        if documents.count(document, ended):
            documents.assemble(document, documents.load_pages(document))


def send(found: list[tuple[str, int]]) -> None:
    for document, pages in found:
        for number in range(1, pages + 1):
            read_pages.delay(document, number)
