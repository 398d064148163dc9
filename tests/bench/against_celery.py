"""B4: pagemill against ordinary Celery designs, on the same engine."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench.celery_designs.apps import VISIBILITY
from tests.bench.celery_runs import BEHIND, KILL_AFTER, PAGES, SMALL, Killed, Run, kill, measure, wait_behind
from tests.bench.celery_sides import Design, Pagemill, Side
from tests.bench.environments import REQUIREMENTS
from tests.bench.modelled import Model
from tests.bench.plot import bars
from tests.bench.report import Scale, Section, Spread, table
from tests.bench.standings import Column, standings
from tests.services import Postgres, Valkey

MODEL = Model(50)
THREADS, FLUSH, LISTS, CHUNK = 96, 128, 2, 3
"""Threads of the first design, pages in a list of the second and lists that it reads at once, documents of a task of
the third: chosen with `tests.bench.celery_tuning`."""
NO_TIME = Model(1_000_000)
"""An engine that takes no time: what is left is the queue."""
LONG = {"pagemill": 40, "chord of pages": 30, "celery-batches": 60, "chunk of documents": 240}
"""Documents with which such a load takes 8 s or more on the machine of docs/benchmarks.md: by side, since the fastest
one reads as many in 8 s as the slowest in 80. In 2 s the same side was found to do 311 and 654 pages/s."""
PARTS = ("submit", "broker", "database", "worker")
KILLED = 4
"""Documents of which the worker is killed."""
SHORT = 20
"""Seconds of a visibility timeout that is much shorter than Celery's hour."""
BACKLOG = 50
"""Documents before which nobody should have to wait."""


PLOTS = {"b4-speed.svg": "pages/s", "b4-cpu.svg": "CPU milliseconds a page"}
"""Titles by file."""
AT = f", engine of {MODEL.pages_per_second:g} pages/s"


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
    long = {name: scale.of(count, 3) for name, count in LONG.items()}
    with bench(designs()) as (sides, parts):
        rounds: dict[str, list[Round]] = {side.name: [] for side in sides}
        for number in range(scale.rounds):
            # There and back: a machine that grows faster or slower meanwhile favours nobody.
            for side in sides[:: -1 if number % 2 else 1]:
                modelled = measure(side, MODEL, parts, documents, small=True)
                rounds[side.name].append(Round(modelled, measure(side, NO_TIME, parts, long[side.name], small=False)))
        killed = {} if scale.quick else _kills(sides)
        behind = wait_behind(sides[0], MODEL, scale.of(BACKLOG, 10))
    backlog = scale.of(BACKLOG, 10) * PAGES
    text = [
        _what(documents),
        _gain(rounds, documents * PAGES, behind, backlog),
        _without_engine(rounds, long),
        _cost(rounds),
        "\n\n".join(f"![{title}{AT}](bench/{file})" for file, title in PLOTS.items()),
        _kill_table(killed),
        _conclusion(columns(rounds, behind, backlog, killed)),
        _differences(),
    ]
    return Section("\n\n".join(part for part in text if part), plots(rounds))


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
take messages in order."""
    )


def in_order(pages: int, idle: float) -> float:
    """Seconds that who comes `BEHIND` seconds after so many pages waits for the last of them. `idle`: of the engine."""
    return max(0.0, pages / (MODEL.pages_per_second * (1 - idle)) - BEHIND)


def _without_engine(rounds: dict[str, list[Round]], documents: dict[str, int]) -> str:
    """`documents`: of these loads, by side."""
    shortest = min(documents[name] * PAGES / r.no_time.rate for name, found in rounds.items() for r in found)
    counts = ", ".join(f"{count} ({name})" for name, count in documents.items())
    return f"""\
Without engine time, to see what the queue itself costs, and CPU milliseconds a page. Each side has as many documents of
{PAGES} pages as take it some time, {counts}; the shortest load took {shortest:.1f} s:"""


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


def plots(rounds: Mapping[str, Sequence[Round]]) -> dict[str, str]:
    """Pages a second, and CPU a page, at the engine's speed, by file."""
    speed = [(name, _spread(found, lambda r: r.modelled.rate)) for name, found in rounds.items()]
    cpu = [(name, _spread(found, lambda r: sum(r.modelled.cpu.values()))) for name, found in rounds.items()]
    title_speed, title_cpu = (title + AT for title in PLOTS.values())
    drawn = (
        bars(title_speed, speed, MODEL.pages_per_second, said="its steady rate:"),
        bars(title_cpu, cpu, round(dict(cpu)["pagemill"].median, 2), said="pagemill:", spec=".2f"),
    )
    return dict(zip(PLOTS, drawn, strict=True))


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


def columns(rounds: dict[str, list[Round]], behind: float, backlog: int, killed: dict[str, Killed]) -> list[Column]:
    """Every column of the tables but those that are another one divided by pagemill's. `behind`, `backlog`: as the
    first table has them."""

    def found(title: str, figure: Callable[[Round], float], spec: str, *, most: bool = False) -> Column:
        return Column(title, {name: _spread(r, figure) for name, r in rounds.items()}, _writer(spec), most)

    rate = f"{MODEL.pages_per_second:g} pages/s"
    idle = found("engine idle", lambda r: r.modelled.idle or 0.0, "z.1%")
    waits = {name: behind if name == "pagemill" else in_order(backlog, idle.found[name].median) for name in rounds}
    return [
        found(f"pages/s, engine of {rate}", lambda r: r.modelled.rate, ".1f", most=True),
        idle,
        found("seconds until the first document", lambda r: r.modelled.first, ".1f"),
        found(f"seconds of {SMALL} pages behind the load", lambda r: r.modelled.small or 0.0, ".1f"),
        Column(f"seconds of {SMALL} pages behind {backlog:,}, the designs' reckoned", _once(waits), _writer(".0f")),
        found("pages/s without engine time", lambda r: r.no_time.rate, ".0f", most=True),
        found("CPU ms a page without engine time", lambda r: sum(r.no_time.cpu.values()), ".2f"),
        found(f"CPU ms a page at {rate}", lambda r: sum(r.modelled.cpu.values()), ".2f"),
        *(found(f"of it {part}", lambda r, p=part: r.modelled.cpu[p], ".2f") for part in PARTS),  # type: ignore[misc]
        *_kill_columns(killed),
    ]


def _kill_columns(killed: dict[str, Killed]) -> list[Column]:
    if not killed:
        return []

    def found(title: str, figure: Callable[[Killed], float], *, most: bool = False) -> Column:
        return Column(title, _once({name: figure(one) for name, one in killed.items()}), _seconds, most)

    return [
        found("documents that end after a SIGKILL", lambda one: one.ended, most=True),
        found("pages that lack after it", lambda one: one.lacking),
        found("pages of work lost by it", lambda one: one.wasted),
        found("seconds until all have ended", lambda one: math.inf if one.seconds is None else one.seconds),
    ]


def _seconds(figure: float) -> str:
    return "never" if figure == math.inf else f"{figure:.0f}"


def _once(figures: Mapping[str, float]) -> dict[str, Spread]:
    return {name: Spread((figure,)) for name, figure in figures.items()}


def _writer(spec: str) -> Callable[[float], str]:
    return lambda figure: format(figure, spec)


def _conclusion(found: Sequence[Column]) -> str:
    return f"""\
Who stands where, column by column, by medians. A side is ahead of another only where the spreads of their rounds do not
overlap; a column that says "once" has one figure a side and no spread.

{standings(found, "pagemill")}

What pagemill does beyond the designs, whatever it costs in the columns above: it opens each PDF and counts its pages,
where the designs are told; it keeps a row for each page, so that each can be looked at, cancelled and tried again by
itself; it flushes the page's file and all folders on its way before that row says that it is read, where the designs
flush a folder for many pages at once; a fence on the row lets what runs twice have an effect once; and it dispatches a
few pages at a time in fair turns, so that nobody waits for all that came before. Each takes statements, flushes or a
wait that a queue without it saves: CPU of worker and database, pages/s without engine time, the first document."""


def _spread(rounds: Sequence[Round], figure: Callable[[Round], float]) -> Spread:
    return Spread(tuple(map(figure, rounds)))


def _ratio(name: str, rounds: dict[str, list[Round]], figure: Callable[[Round], float]) -> str:
    """This side's figure ÷ pagemill's, round by round."""
    if name == "pagemill":
        return "1"
    pairs = zip(rounds[name], rounds["pagemill"], strict=True)
    return f"{Spread(tuple(figure(theirs) / figure(ours) for theirs, ours in pairs)):.2f}"
