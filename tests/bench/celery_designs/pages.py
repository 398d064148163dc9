"""One task per page and a chord per document, which assembles the results that Redis has kept.

The worker's threads each wait for one page in an engine that they share, so that it always has enough of them. The
callbacks have a queue of their own, else each would wait behind the pages of all later documents.
"""

from __future__ import annotations

import os

from celery import chord
from celery.signals import worker_init

from tests.bench.celery_designs import documents
from tests.bench.celery_designs.apps import BROKER, make_app
from tests.bench.celery_designs.engine import Engine, Page

QUEUES = "celery,assemble"
app = make_app("pages", result_backend=os.environ[BROKER], task_routes={"assemble": {"queue": "assemble"}})
engine: Engine


@worker_init.connect
def start(**_: object) -> None:
    global engine
    engine = Engine()


@app.task(name="page")
def read_page(document: str, number: int) -> Page:
    page = engine.recognize(number)
    documents.save_page(document, page)
    return page


@app.task(name="assemble", ignore_result=True)
def assemble(pages: list[Page], document: str) -> None:
    documents.assemble(document, pages)


def send(found: list[tuple[str, int]]) -> None:
    """`found`: documents and how many pages each has."""
    for document, pages in found:
        chord(read_page.s(document, number) for number in range(1, pages + 1))(assemble.s(document))
