"""B2: how much of an engine idles while pages wait in the database, and why."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import fmean

from tests.bench.goals import judged
from tests.bench.modelled import Model
from tests.bench.plot import Panel, Series, bars, svg
from tests.bench.report import Scale, Section, Spread, table
from tests.bench.service import stretch
from tests.bench.service.plant import LOOK_EVERY, Document, Plant
from tests.bench.service.stretch import Account, Idle
from tests.documents import pdf

RATES, WORKERS = (10.0, 50.0), (1, 2, 4)
SECONDS = 16
"""While pages wait, about: after it the workers hold the rest."""
EACH = 100
HELD = 96
"""Pages that a worker takes beyond those that have ended: what its engine runs, and half as many again."""
GOAL = 0.02


@dataclass(frozen=True, slots=True)
class Round:
    """From the first page in an engine until no page waits for a worker any more."""

    idle: list[Idle]
    """Of every worker."""
    account: list[dict[str, float]]
    """What every worker says, as shares of the time."""
    inside: list[float]
    """Pages in each engine on average, as its worker says."""
    seconds: float
    before: float
    """Seconds from submit to the first page in."""
    running: Series
    """Requests in the first engine from submit on."""

    @property
    def share(self) -> float:
        return fmean(idle.share for idle in self.idle)


Cells = dict[tuple[float, int], list[Round]]


def run(scale: Scale) -> Section:
    cells: Cells = {}
    for rate in RATES:
        with ExitStack() as stack:
            plant = Plant(stack, Model(rate))
            for workers in WORKERS:
                while plant.workers < workers:
                    plant.add_worker()
                plant.read([Document(pdf(10), 10)] * workers)  # warm
                cells[rate, workers] = [_round(plant, scale.of(SECONDS, 3)) for _ in range(scale.rounds)]
                print(_row(rate, workers, cells[rate, workers]), flush=True)
    return Section(_text(cells), _plots(cells))


def _round(plant: Plant, seconds: int) -> Round:
    pages = plant.workers * (plant.model.pages_per_second * seconds + HELD)
    documents = [Document(pdf(EACH), EACH)] * max(1, round(pages / EACH))
    plant.rest()
    begun = time.monotonic()
    job = plant.submit(documents)
    while (first := plant.first_in(begun)) is None:
        time.sleep(LOOK_EVERY)
    before = plant.accounts()
    while plant.waiting(job):
        time.sleep(LOOK_EVERY)
    after, end = plant.accounts(), time.monotonic()
    time.sleep(2 * LOOK_EVERY)  # for the meters' next lines
    readings = plant.readings()
    plant.cancel(job)
    return Round(
        [stretch.idle(plant.model, of_one, first, end) for of_one in readings],
        [Account.since(*both) for both in zip(after, before, strict=True)],
        [Account.inside_since(*both) for both in zip(after, before, strict=True)],
        end - first,
        first - begun,
        [(reading.at - begun, reading.running) for reading in readings[0] if begun <= reading.at <= end],
    )


def _row(rate: float, workers: int, rounds: list[Round]) -> list[object]:
    every = [idle for one in rounds for idle in one.idle]
    return [
        f"{rate:g}", workers, f"{Spread(tuple(one.share for one in rounds)):.1%}",
        f"{max(idle.share for idle in every):.1%}", f"{fmean(idle.ramp for idle in every):.1%}",
        f"{Spread(tuple(fmean(idle.empty for idle in one.idle) for one in rounds)):.1%}",
        f"{fmean(idle.mean for idle in every):.1f}", f"{fmean(n for one in rounds for n in one.inside):.1f}",
        _why(rounds), f"{fmean(one.seconds for one in rounds):.0f}",
        f"{Spread(tuple(one.before for one in rounds)):.2f}",
    ]  # fmt: skip


def _why(rounds: list[Round]) -> str:
    """The workers' own account of the time, on average."""
    accounts = [account for one in rounds for account in one.account]
    states = sorted({state for account in accounts for state in account})
    shares = {state: fmean(account.get(state, 0.0) for account in accounts) for state in states}
    return ", ".join(f"{state} {share:.1%}" for state, share in shares.items() if share >= 0.0005)


def _text(cells: Cells) -> str:
    model = Model()
    head = [
        "pages/s each", "workers", f"idle by work (goal {GOAL:.0%})", "worst worker", "until first full",
        "nothing ran", "running", "inside", "own account", "seconds", "before",
    ]  # fmt: skip
    found = table(head, [_row(rate, workers, rounds) for (rate, workers), rounds in cells.items()])
    shares = {
        f"{workers} x {rate:g} pages/s": Spread(tuple(one.share for one in rounds))
        for (rate, workers), rounds in cells.items()
    }
    return f"""\
Modelled engines of 10 and 50 pages/s (`tests/bench/modelled.py`: {model.sequences} sequences; a step of a full batch
takes {model.slow:g} times as long as one of a single request), one for each worker; pages that need no rendering,
documents of {EACH} pages; PostgreSQL with fsync, Valkey, a directory, all on the same machine. Counted from the first
page in any engine until no page waits in the database any more.

{found}

{judged(GOAL, shares, ".1%", at_most=True)}

*Idle by work*: of what full batches would have done, the part not done, whether the engine was empty or its batch too
small; mean of the workers, median of the rounds (least to most), and the worst worker of any round. *Until first
full*: the part of it before the first full batch. *Own account*: `pagemill_engine_seconds_total` of the workers'
`/metrics` over the same time; it calls an engine busy while anything is in it, so what a small batch costs is told
by *running*. *Inside*: pages in the engine by the same account, those included that wait in the
engine's own queue. *Before*: seconds from submit to the first page in an engine, not counted.

![Requests that run, from submit until no page waits, one worker](bench/b2-running.svg)

![Idle by work](bench/b2-idle.svg)"""


def _plots(cells: Cells) -> dict[str, str]:
    panels = [
        Panel(f"requests running, {rate:g} pages/s, one worker", cells[rate, WORKERS[0]][-1].running) for rate in RATES
    ]
    shares = [
        (f"{rate:g} pages/s x {workers}", Spread(tuple(100 * one.share for one in rounds)))
        for (rate, workers), rounds in cells.items()
    ]
    return {
        "b2-running.svg": svg(panels),
        "b2-idle.svg": bars("idle by work, % of what full engines would do", shares, 100 * GOAL),
    }
