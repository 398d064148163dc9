"""Does reading slow down with what there is? The same workers on a small database and on one with very many pages.

Both databases are filled by SQL, half of their pages read and half waiting, in one PostgreSQL. Rounds alternate: a
worker starts on one of them, has a few seconds to get going, is counted for so many seconds and ends.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import text

from tests.bench.goals import judged
from tests.bench.report import Spread, table
from tests.bench.scale.bulk import PAGES, SOURCE, fill
from tests.bench.scale.site import POSTGRES
from tests.documents import pdf
from tests.installation import Installation
from tests.services import Postgres, Valkey

RUN_UP, COUNTED = 4.0, 12.0
"""Seconds."""
_DONE = "SELECT sum(succeeded) FROM document WHERE state <> 'succeeded' OR finished_at > :begun"
_NOW = "SELECT now()"


def standing(pages: tuple[int, int], rounds: int, counted: float = COUNTED) -> str:
    """Pages/s with so many pages in the tables, few and many, and their ratio in each round. Half of the few must last
    for all rounds."""
    with ExitStack() as stack:
        valkey, postgres = stack.enter_context(Valkey()), stack.enter_context(Postgres(fsync=True, **POSTGRES))
        mills = [stack.enter_context(_filled(postgres, valkey, size, number)) for number, size in enumerate(pages)]
        for mill in mills:
            _rate(mill, counted=1.0)  # caches
        found = [[_rate(mill, counted) for mill in mills] for _ in range(rounds)]
    few, many = zip(*found, strict=True)
    rows = [[f"{size:,}", f"{Spread(rates):.0f}"] for size, rates in zip(pages, (few, many), strict=True)]
    ratio = Spread(tuple(after / before for before, after in found))
    told = table(["pages in the tables, half of them waiting", "pages/s, one worker"], rows)
    return f"{told}\n\nMany ÷ few, round by round: {ratio:.2f}. {judged(0.95, {'pages/s': ratio}, '.2f')}"


@contextmanager
def _filled(postgres: Postgres, valkey: Valkey, pages: int, number: int) -> Iterator[Installation]:
    with tempfile.TemporaryDirectory() as root:
        url = postgres.create_database(f"bench{number}")
        factor = {"PAGEMILL_TIME_FACTOR": "1", "PAGEMILL_HEARTBEAT_STALE": "6000"}
        with Installation(Path(root), url, valkey.url_of(number), settings=factor) as mill:
            mill.blobs.put(SOURCE, pdf(PAGES))
            fill(mill.db, "both", pages)
            yield mill


def _rate(mill: Installation, counted: float) -> float:
    """Pages a second of a worker that has got going."""
    count = _counter(mill)
    with mill.worker():
        time.sleep(RUN_UP)
        first, begun = count(), time.perf_counter()
        time.sleep(counted)
        rate = (count() - first) / (time.perf_counter() - begun)
    assert rate, "nothing was read"
    return rate


def _counter(mill: Installation) -> Callable[[], int]:
    def ask(query: str, **values: object) -> object:
        with mill.db.read() as session:
            return session.connection().execute(text(query), values).scalar_one()

    begun = ask(_NOW)
    return lambda: int(str(ask(_DONE, begun=begun) or 0))
