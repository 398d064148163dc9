"""One task per page and a chord per document. Redis keeps only the number of each page that was read: its result lies
in the store, from where the callback assembles.

The worker's threads each wait for one page in an engine that they share, so that it always has enough of them. The
callbacks have a queue of their own, else each would wait behind the pages of all later documents.
"""

from __future__ import annotations

import os

from celery import chord
from celery.signals import worker_init

from tests.bench.celery_designs import documents
from tests.bench.celery_designs.apps import BROKER, make_app
from tests.bench.celery_designs.engine import Engine

QUEUES = "celery,assemble"
app = make_app("pages", result_backend=os.environ[BROKER], task_routes={"assemble": {"queue": "assemble"}})
engine: Engine


@worker_init.connect
def start(**_: object) -> None:
    global engine
    engine = Engine()


@app.task(name="page")
def read_page(document: str, number: int) -> int:
    documents.save_page(document, engine.recognize(number))
    return number


@app.task(name="assemble", ignore_result=True)
def assemble(numbers: list[int], document: str) -> None:
    """`numbers`: of the chord, in the order in which it was made."""
    documents.assemble(document, documents.load_pages(document))


def send(found: list[tuple[str, int]]) -> None:
    """`found`: documents and how many pages each has."""
    for document, pages in found:
        chord(read_page.s(document, number) for number in range(1, pages + 1))(assemble.s(document))
