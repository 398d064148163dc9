"""The whole service around a modelled engine ÷ the engine alone, fed from one asyncio loop with the same pages."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass

from tests.bench.modelled import Model, ModelledEngine, page_work
from tests.bench.report import Scale, Spread, table
from tests.bench.service.plant import Document, Plant
from tests.documents import pdf
from tests.testdata import TESTDATA

EACH = 100
"""Pages of a document."""
SECONDS = 25
"""Of work for a full engine in a round, rounded to whole documents."""
PRINTED = ("public/debian/install.ru.pdf", "public/debian/install.zh_CN.pdf")
"""Manuals of more than 100 pages each, A4, in two scripts."""
DPI = 144


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table."""

    name: str
    rate: float
    """Pages/s of a full engine."""
    render: bool = False


KINDS = (
    Kind("20 pages/s", 20),
    Kind("20 pages/s, rendered", 20, render=True),
    Kind("50 pages/s", 50),
    Kind("50 pages/s, rendered", 50, render=True),
)


@dataclass(frozen=True, slots=True)
class Round:
    """The same pages on both sides, in seconds."""

    service: float
    """From submit until the job is closed."""
    reading: float
    """From the first page in the engine until the job is closed."""
    bare: float
    """From the first page in to the last one out."""


def run(scale: Scale) -> str:
    """The table."""
    rows = []
    for kind in KINDS:
        documents = _documents(kind, scale.of(SECONDS, 4))
        rounds = _rounds(kind, documents, scale)
        pages = sum(document.pages for document in documents)
        rows.append(
            [
                kind.name, pages, f"{Spread(tuple(pages / r.service for r in rounds)):.1f}",
                f"{Spread(tuple(pages / r.bare for r in rounds)):.1f}",
                f"{Spread(tuple(r.bare / r.service for r in rounds)):.3f}",
                f"{Spread(tuple(r.bare / r.reading for r in rounds)):.3f}",
                f"{Spread(tuple(r.service - r.reading for r in rounds)):.2f}",
            ]
        )  # fmt: skip
        print(rows[-1], flush=True)
    head = [
        "engine", "pages", "service, pages/s", "bare, pages/s", "ratio (goal 0.97)", "from the first page in",
        "seconds until then",
    ]  # fmt: skip
    return table(head, rows)


def _documents(kind: Kind, seconds: int) -> list[Document]:
    count = max(1, round(seconds * kind.rate / EACH))
    if not kind.render:
        return [Document(pdf(EACH), EACH)] * count
    assert TESTDATA is not None, "pages to render are those of ../shared/testdata"
    files = [(TESTDATA / name).read_bytes() for name in PRINTED]
    return [Document(files[number % len(files)], EACH) for number in range(count)]


def _rounds(kind: Kind, documents: list[Document], scale: Scale) -> list[Round]:
    model = Model(kind.rate)
    with ExitStack() as stack:
        plant = Plant(stack, model, render=kind.render)
        plant.add_worker()
        plant.read([Document(documents[0].data, 10)])  # warm
        return [Round(*plant.read(documents), bare(model, documents)) for _ in range(scale.rounds)]


def bare(model: Model, documents: list[Document]) -> float:
    """Seconds for the same pages in the same order, all of them in the engine's own queue from the start."""
    works = [page_work(number) for document in documents for number in range(1, document.pages + 1)]

    async def feed() -> float:
        engine = ModelledEngine(model)
        begun = time.monotonic()
        await asyncio.gather(*map(engine.run, works))
        return time.monotonic() - begun

    return asyncio.run(feed())
