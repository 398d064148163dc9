"""B4: pagemill against ordinary Celery designs, on the same engine."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench.celery_designs.apps import VISIBILITY
from tests.bench.celery_runs import BEHIND, KILL_AFTER, PAGES, SMALL, Killed, Run, kill, measure, wait_behind
from tests.bench.celery_sides import Design, Pagemill, Side
from tests.bench.environments import REQUIREMENTS
from tests.bench.modelled import Model
from tests.bench.report import Scale, Section, Spread, table
from tests.services import Postgres, Valkey

MODEL = Model(50)
THREADS, FLUSH, LISTS, CHUNK = 96, 128, 2, 3
"""Threads of the first design, pages in a list of the second and lists that it reads at once, documents of a task of
the third: chosen with `tests.bench.celery_tuning`."""
NO_TIME = Model(1_000_000)
"""An engine that takes no time: what is left is the queue."""
PARTS = ("submit", "broker", "database", "worker")
KILLED = 4
"""Documents of which the worker is killed."""
SHORT = 20
"""Seconds of a visibility timeout that is much shorter than Celery's hour."""
BACKLOG = 50
"""Documents before which nobody should have to wait."""


def pages(threads: int = THREADS) -> Design:
    return Design("chord of pages", "pages", f"-P threads -c {threads} -Q celery,assemble")


def batches(flush: int = FLUSH, interval: float = 1.0, threads: int = LISTS) -> Design:
    """`threads`: each has a list of its own in the engine."""
    variables = {"BENCH_FLUSH": str(flush), "BENCH_INTERVAL": str(interval), "BENCH_THREADS": str(threads)}
    options = f"-P threads -c {threads}"
    return Design("celery-batches", "batches", options, environment="celery-batches", variables=variables)


def chunks(documents: int = CHUNK) -> Design:
    return Design("chunk of documents", "chunks", "-P solo", variables={"BENCH_CHUNK": str(documents)})


def designs() -> list[Design]:
    return [pages(), batches(), chunks()]


class Round(NamedTuple):
    """One side, one round."""

    modelled: Run
    no_time: Run


def run(scale: Scale) -> Section:
    documents = scale.of(6, 3)
    with bench(designs()) as (sides, parts):
        rounds: dict[str, list[Round]] = {side.name: [] for side in sides}
        for _ in range(scale.rounds):
            for side in sides:
                modelled = measure(side, MODEL, parts, documents, small=True)
                rounds[side.name].append(Round(modelled, measure(side, NO_TIME, parts, documents, small=False)))
        killed = {} if scale.quick else _kills(sides)
        behind = wait_behind(sides[0], MODEL, scale.of(BACKLOG, 10))
    text = [
        _what(documents),
        _gain(rounds, documents * PAGES, behind, scale.of(BACKLOG, 10) * PAGES),
        _cost(rounds),
        standings(rounds),
        _kill_table(killed),
        _differences(),
    ]
    return Section("\n\n".join(part for part in text if part))


@contextmanager
def bench(found: list[Design]) -> Iterator[tuple[list[Side], dict[str, list[int]]]]:
    """pagemill and these designs, ready; and the processes that all of them share, by name."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(Valkey())
        postgres = stack.enter_context(Postgres(fsync=True))
        for number, design in enumerate(found, 1):
            design.open(stack, _folder(root / f"design-{number}"), postgres, valkey.url_of(number))
        pagemill = Pagemill(stack, _folder(root / "pagemill"), postgres, valkey)
        yield [pagemill, *found], {"broker": [valkey.pid], "database": [postgres.pid]}


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _kills(sides: Sequence[Side]) -> dict[str, Killed]:
    """By side; and what the first design does where its messages come back soon."""
    found = {side.name: kill(side, MODEL, KILLED) for side in sides}
    short = {VISIBILITY: str(SHORT)}
    return found | {f"{sides[1].name}, {SHORT} s": kill(sides[1], MODEL, KILLED, patience=2 * SHORT, **short)}


def _what(documents: int) -> str:
    return f"""\
{documents} documents of {PAGES} pages in one submission, not rendered, on the modelled engine of {MODEL}
(pages/s, sequences, slow; `tests/bench/modelled.py`). On every side the same pages, one Valkey without append-only
file, one PostgreSQL, one worker process. The designs (`tests/bench/celery_designs/`) follow Celery's docs: late
acknowledgement, JSON, no events, no more messages ahead than they can take next; a row per document, where pagemill
keeps one per page too. Their numbers were chosen with `python -m tests.bench.celery_tuning`.

What each side flushes, PostgreSQL with fsync: pagemill each file and its folders before it records the page; files that
are written at the same time share the flush of their folder. The designs each file, and its folder once for all files
in it: celery-batches before a list is counted, the others before the document's row says that it has ended; the name of
a document's folder not at all.

- *Chord of pages*: a task a page, {THREADS} threads that wait for the shared engine, a chord per document; Redis keeps
  page numbers, the store the results.
- *celery-batches* ({_pins("celery-batches", "celery")}): a task a page; lists of {FLUSH} go through one call each,
  which ends with its slowest page, {LISTS} at once through the shared engine.
- *Chunk of documents*: a task for {CHUNK} documents, one such call (as vLLM's offline examples do), solo pool."""


def _pins(*names: str) -> str:
    """What the environment of celery-batches pins these at."""
    found = re.findall(r"^([\w-]+)\S*==(\S+)", (REQUIREMENTS / "celery-batches.txt").read_text(), re.MULTILINE)
    return ", ".join(f"{name} {version}" for name, version in found if name in names)


def _gain(rounds: dict[str, list[Round]], pages: int, behind: float, backlog: int) -> str:
    """`behind`: seconds that pagemill's small job took behind a backlog of so many pages."""

    def row(name: str, found: list[Round]) -> list[str]:
        idle = _spread(found, lambda r: 100 * (r.modelled.idle or 0))
        return [
            name,
            f"{_spread(found, lambda r: r.modelled.rate):.1f}",
            _ratio(name, rounds, lambda r: r.modelled.rate),
            f"{idle:z.1f}",
            f"{_spread(found, lambda r: r.modelled.first):.1f}",
            f"{_spread(found, lambda r: r.modelled.small or 0):.1f}",
            f"{behind:.1f}" if name == "pagemill" else f"({in_order(backlog, idle.median / 100):.0f})",
        ]

    head = ["", "pages/s", "÷ pagemill", "engine idle, %", "first document, s"]
    waits = [f"{SMALL} pages {BEHIND:g} s after {pages}, s", f"{BEHIND:g} s after {backlog:,}, s"]
    return (
        table([*head, *waits], [row(*item) for item in rounds.items()])
        + f"""

In brackets: not run; what the engine, idle as before, takes for the rest of the backlog after {BEHIND:g} s, since they
take messages in order. Without engine time, to see what the queue itself costs, and CPU milliseconds a page:"""
    )


def in_order(pages: int, idle: float) -> float:
    """Seconds that who comes `BEHIND` seconds after so many pages waits for the last of them. `idle`: of the engine."""
    return max(0.0, pages / (MODEL.pages_per_second * (1 - idle)) - BEHIND)


def _cost(rounds: dict[str, list[Round]]) -> str:
    def row(name: str, found: list[Round]) -> list[str]:
        shares = [f"{_spread(found, lambda r, p=part: r.modelled.cpu[p]).median:.2f}" for part in PARTS]
        return [
            name,
            f"{_spread(found, lambda r: r.no_time.rate):.0f}",
            _ratio(name, rounds, lambda r: r.no_time.rate),
            f"{_spread(found, lambda r: sum(r.no_time.cpu.values())):.2f}",
            f"{_spread(found, lambda r: sum(r.modelled.cpu.values())):.2f}",
            " + ".join(shares),
        ]

    head = [
        "",
        "pages/s",
        "÷ pagemill",
        "CPU",
        f"CPU at {MODEL.pages_per_second:g} pages/s",
        f"of it {' + '.join(PARTS)}",
    ]
    return table(head, [row(*item) for item in rounds.items()])


def _kill_table(killed: dict[str, Killed]) -> str:
    if not killed:
        return ""
    rows = [
        [
            name,
            f"{found.ended} of {found.documents}",
            found.lacking,
            f"{found.wasted:.0f}",
            "never" if found.seconds is None else f"{found.seconds:.0f}",
        ]
        for name, found in killed.items()
    ]
    head = ["SIGKILL of the worker", "documents ended", "pages lacking", "pages of work lost", "all ended after, s"]
    return f"""\
Once per side, with {KILLED} documents, after {KILL_AFTER} pages; a new worker starts at once. "Never": not until the
visibility timeout, by default an hour, gives the messages back. In the last row it is {SHORT} s and kombu 5.7 looks
every second; then whatever takes longer than that runs twice.

{table(head, rows)}"""


def _differences() -> str:
    return """\
What they are not built to do. All three: first come, first served, so small jobs wait for large ones; a message that
Redis loses is a page lost; no fence, so what is delivered twice is done twice; no row of a page to look at or to try
again, no cancel. In the chord a page that fails for good fails its document; in the other two a call that fails fails
all its pages, and a page can be read only when the slowest one of its call has been."""


def standings(rounds: dict[str, list[Round]]) -> str:
    """The sides in order of what was found, by medians."""

    def order(title: str, figure: Callable[[Round], float], spec: str, *, most: bool = False) -> str:
        medians = {name: _spread(found, figure).median for name, found in rounds.items()}
        names = sorted(medians, key=lambda name: medians[name], reverse=most)
        return f"{title}: {', '.join(f'{name} {medians[name]:{spec}}' for name in names)}."

    return " ".join(
        (
            "In order, by medians.",
            order("Engine idle", lambda r: r.modelled.idle or 0.0, "z.1%"),
            order("Pages/s without engine time", lambda r: r.no_time.rate, ".0f", most=True),
            order("CPU milliseconds a page without engine time", lambda r: sum(r.no_time.cpu.values()), ".2f"),
        )
    )


def _spread(rounds: Sequence[Round], figure: Callable[[Round], float]) -> Spread:
    return Spread(tuple(map(figure, rounds)))


def _ratio(name: str, rounds: dict[str, list[Round]], figure: Callable[[Round], float]) -> str:
    """This side's figure ÷ pagemill's, round by round."""
    if name == "pagemill":
        return "1"
    pairs = zip(rounds[name], rounds["pagemill"], strict=True)
    return f"{Spread(tuple(figure(theirs) / figure(ours) for theirs, ours in pairs)):.2f}"
