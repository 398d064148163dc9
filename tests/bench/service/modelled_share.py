"""The whole service around a modelled engine ÷ the engine alone, fed from one asyncio loop with the same pages.

In the same order too, in which the worker gave them to its engine: which pages happen to be last decides how long the
tail is, by several percent of a round.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.bench import needs
from tests.bench.modelled import Model, ModelledEngine, page_work
from tests.bench.report import Scale, Spread, table
from tests.bench.service.plant import Document, Plant
from tests.documents import pdf

EACH = 100
"""Pages of a document."""
SECONDS = 20
"""Of work for a full engine in a round."""
VARIANTS = {20.0: (False,), 50.0: (False, True)}
"""Whether pages are rendered, by pages/s of a full engine."""
GOAL = 0.97
PRINTED = ("public/debian/install.ru.pdf", "public/debian/install.zh_CN.pdf")
"""Manuals of more than 100 pages each, A4, in two scripts."""
DPI = 144
"""The modelled worker's own."""


@dataclass(frozen=True, slots=True)
class Round:
    """The same pages on both sides, in seconds."""

    service: float
    """From submit until the job is closed."""
    reading: float
    """From the first page in the engine until the job is closed."""
    bare: float
    """From the first page in to the last one out."""


def measured(scale: Scale) -> tuple[dict[str, Spread], str]:
    """The ratio of each engine by its name; and the table."""
    rows, ratios = [], {}
    for rate, variants in VARIANTS.items():
        pages = EACH * max(1, round(scale.of(SECONDS, 4) * rate / EACH))
        for render, rounds in _rounds(Model(rate), variants, pages // EACH, scale.rounds).items():
            name = f"{rate:g} pages/s{', rendered' if render else ''}"
            ratios[name] = Spread(tuple(r.bare / r.service for r in rounds))
            rows.append(_row(name, pages, rounds))
            print(rows[-1], flush=True)
    head = [
        "engine", "pages", "service, pages/s", "bare, pages/s", f"ratio (goal {GOAL:g})", "from the first page in",
        "seconds until then",
    ]  # fmt: skip
    return ratios, table(head, rows)


def _row(name: str, pages: int, rounds: list[Round]) -> list[object]:
    return [
        name, pages, f"{Spread(tuple(pages / r.service for r in rounds)):.1f}",
        f"{Spread(tuple(pages / r.bare for r in rounds)):.1f}",
        f"{Spread(tuple(r.bare / r.service for r in rounds)):.3f}",
        f"{Spread(tuple(r.bare / r.reading for r in rounds)):.3f}",
        f"{Spread(tuple(r.service - r.reading for r in rounds)):.2f}",
    ]  # fmt: skip


def documents_of(count: int, *, render: bool) -> list[Document]:
    """The first 100 pages of each of so many files."""
    if not render:
        return [Document(pdf(EACH), EACH)] * count
    files = [(needs.documents() / name).read_bytes() for name in PRINTED]
    return [Document(files[number % len(files)], EACH) for number in range(count)]


def _rounds(model: Model, variants: Sequence[bool], count: int, rounds: int) -> dict[bool, list[Round]]:
    """Every variant and the bare engine in turn."""
    found: dict[bool, list[Round]] = {render: [] for render in variants}
    with ExitStack() as stack:
        plants = {render: _plant(stack, model, render=render) for render in variants}
        documents = {render: documents_of(count, render=render) for render in variants}
        for _ in range(rounds):
            through = {render: plants[render].read(documents[render]) for render in variants}
            alone = bare(model, [passed.order for passed in through.values()])
            for (render, passed), seconds in zip(through.items(), alone, strict=True):
                found[render].append(Round(passed.seconds, passed.reading, seconds))
    return found


def _plant(stack: ExitStack, model: Model, *, render: bool) -> Plant:
    """With one worker that has read ten pages."""
    plant = Plant(stack, model, render=render)
    plant.add_worker()
    [document] = documents_of(1, render=render)
    plant.read([Document(document.data, 10)])
    return plant


def bare(model: Model, orders: Sequence[Sequence[int]]) -> list[float]:
    """Seconds for pages of these numbers in this order, all of them in the engine's own queue from the start; an engine
    for each list, side by side: they need next to no CPU."""

    async def feed(order: Sequence[int]) -> float:
        engine = ModelledEngine(model)
        begun = time.monotonic()
        await asyncio.gather(*(engine.run(page_work(number)) for number in order))
        return time.monotonic() - begun

    async def all_of_them() -> list[float]:
        return list(await asyncio.gather(*map(feed, orders)))

    return asyncio.run(all_of_them())
