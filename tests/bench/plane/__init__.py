"""B3: what the control plane costs a page, beside a backlog of any size, and what a status of a large job costs.

Echo through everything, as in tests/bench/control_plane.py: the engine does nothing, so all CPU is the queue's. The
measured jobs are interactive; older batch jobs wait beside them, either for an engine that nobody serves or for the
same one. The same API, worker and services are measured with each of the backlogs in turn, in every round.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.plane import status
from tests.bench.plane.backlog import OWNERS, PAGE_SECONDS, SERVED
from tests.bench.plane.growth import growth
from tests.bench.plane.pace import FAST, SLOW, Pace, pace_table, pace_verdicts
from tests.bench.plane.stand import IN_FLIGHT, NOBODY, PARTS, Cost, Load, Stand, State
from tests.bench.plane.status import Asked
from tests.bench.plot import bars
from tests.bench.report import Scale, Section, Spread, table

GOALS = {100: 2.0, 1: 6.0}
"""CPU milliseconds a page, by pages of a document."""
IDLE = 6
"""Seconds, in which there is a round of rescue."""
COUNTS = {
    "statements": "SQL statements",
    "transactions": "transactions",
    "flushes": "flushes of the log",
    "wal": "bytes written ahead",
    "images": "whole-page images in them",
    "database_bytes": "bytes to and from PostgreSQL",
    "lpush": "messages",
    "brpop": "waits for messages",
    "publish": "events",
    "commands": "Redis commands",
    "bytes": "bytes to and from Redis",
}

Costs = Mapping[tuple[State, Load], Sequence[Cost]]


@dataclass(slots=True)
class Found:
    """What the rounds found."""

    costs: dict[tuple[State, Load], list[Cost]] = field(default_factory=dict)
    idle: dict[State, list[float]] = field(default_factory=dict)
    paced: dict[Pace, list[Cost]] = field(default_factory=lambda: {FAST: [], SLOW: []})
    """Beside the first state."""


def run(scale: Scale) -> Section:
    """Each state in every round."""
    states = [State(100, NOBODY), State(10_000, NOBODY), State(10_000, "echo")]
    states += [] if scale.quick else [State(1_000_000, NOBODY), State(1_000_000, "echo")]
    loads = [Load(scale.of(30, 5), 100), Load(scale.of(600, 50), 1)]
    before = os.getloadavg()[0]
    found = Found()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stand = Stand(root, stack)
        for state in states:
            stand.prepare(state)
        for number in range(scale.rounds):
            # There and back: a machine that grows faster or slower meanwhile favours nobody.
            for state in states[:: -1 if number % 2 else 1]:
                _measure(stand, state, loads, scale.of(IDLE, 2), found, paced=state == states[0])
        counted = {(state, load): count for state in states for load, count in stand.statements(state, loads).items()}
        pages, asked = status.ask(stand, states[-1], scale.of(200, 20), scale.rounds)
    return Section(_text(states, loads, found, counted, pages, asked, before), plots(states, loads, found.costs))


def _measure(stand: Stand, state: State, loads: Sequence[Load], idle: float, found: Found, *, paced: bool) -> None:
    """One state, one round. `idle`: seconds. `paced`: whether an engine that takes its time comes too."""
    with stand.served(state) as serving:
        for load in loads:
            found.costs.setdefault((state, load), []).append(serving.run(load))
        if state.engine == NOBODY:
            found.idle.setdefault(state, []).append(serving.idle(idle))
        if paced:
            found.paced[FAST].append(serving.run(FAST.load))
    if paced:
        with stand.served(state, PAGEMILL_ENGINE_CAPACITY=str(SLOW.capacity)) as serving:
            found.paced[SLOW].append(serving.run(SLOW.load))


def _text(
    states: Sequence[State],
    loads: Sequence[Load],
    found: Found,
    counted: Mapping[tuple[State, Load], Mapping[str, float]],
    pages: int,
    asked: Sequence[Sequence[Asked]],
    before: float,
) -> str:
    large, small = loads
    idle = found.idle[states[0]]
    judged = pace_verdicts(found.paced, idle, GOALS[large.pages])
    return f"""\
Echo through everything (submit over HTTP, store, split, dispatch, claim, record, assemble, close): one API, one worker,
PostgreSQL with fsync, Valkey and a directory on the same two cores. Interactive jobs of {large.documents} documents of
{large.pages} pages, then of {small.documents} of one page, beside older batch jobs of {OWNERS} owners (one, where
there is one document of 100 pages) that wait: for an engine that nobody serves, or for the same one. There {SERVED} of
the owners may have {IN_FLIGHT} page in flight each, which takes {PAGE_SECONDS:g} s and counts with the others, and the
rest none, as who is at a limit, so that dispatch goes through all of them all the time. Every round runs all rows,
every other one backwards; load average {before:.1f} before the first.

CPU milliseconds a page, as fast as they go:

{_cpu_table(states, loads, found.costs)}

{_shown(loads)}

While nothing can be read, all parts take together, in CPU milliseconds a second: {_idle(found.idle)}.

At the rates of engines, beside {_waiting(states[0])}: {FAST.documents} documents of {FAST.load.pages} pages
that take echo from half to one and a half times {FAST.load.seconds:.2f} s, and {SLOW.documents} whose pages take
{SLOW.load.seconds:.2f} s. CPU milliseconds a page; *of it idle*: what the same time costs while nothing can be read:

{pace_table(found.paced, idle)}

{verdicts(states, loads, found.costs, judged)}

{growth(states, loads, found.costs, found.idle, COUNTS)}

For each page, of documents of {large.pages} pages / of one page, by the pages that wait (medians). Statements and
transactions were counted in one run of their own, from PostgreSQL's log; the statements without BEGIN, COMMIT and
ROLLBACK:

{count_table(states, loads, found.costs, counted)}

Asking for a job of {pages:,} pages ({pages // 100:,} documents) and for one of 10 (10 documents) in turn, both waiting,
nothing else running:

{_status_table(asked)}"""


def _idle(idle: Mapping[State, Sequence[float]]) -> str:
    return ", ".join(f"{Spread(tuple(found)):.0f} beside {state.pages:,} pages" for state, found in idle.items())


def _cpu_table(states: Sequence[State], loads: Sequence[Load], costs: Costs) -> str:
    rows = []
    for load in loads:
        first = costs[states[0], load]
        for state in states:
            found = costs[state, load]
            ratio = Spread(tuple(one.cpu_in_all / base.cpu_in_all for one, base in zip(found, first, strict=True)))
            rows.append(
                [
                    f"{load.pages} (goal {GOALS[load.pages]:g})",
                    _waiting(state),
                    f"{_spread(found, lambda cost: cost.pages_per_second):.0f}",
                    *(f"{_spread(found, lambda cost, part=part: cost.cpu[part]).median:.2f}" for part in PARTS),  # type: ignore[misc]
                    f"{_spread(found, lambda cost: cost.cpu_in_all):.2f}",
                    f"{ratio:.2f}",
                ]
            )
    return table(["pages of a document", "pages that wait", "pages/s", *PARTS, "all", "÷ the first row"], rows)


def plots(states: Sequence[State], loads: Sequence[Load], costs: Costs) -> dict[str, str]:
    """The column "all" of each load, by file."""
    found: dict[str, str] = {}
    for load in loads:
        rows = [(_waiting(state), _spread(costs[state, load], lambda cost: cost.cpu_in_all)) for state in states]
        title = f"CPU ms a page of {load.what}, by the pages that wait"
        found[_plot(load)] = bars(title, rows, GOALS[load.pages], spec=".2f")
    return found


def _plot(load: Load) -> str:
    return f"b3-{load.pages}.svg"


def _shown(loads: Sequence[Load]) -> str:
    return "\n\n".join(f"![CPU of {load.what} by the pages that wait](bench/{_plot(load)})" for load in loads)


def _waiting(state: State) -> str:
    return f"{state.pages:,}, {state.beside}"


def verdicts(states: Sequence[State], loads: Sequence[Load], costs: Costs, judged: Sequence[str] = ()) -> str:
    """A line for each goal: what the rows of the table say of it, and the rounds behind them; then what is `judged`
    already."""
    lines = [_verdict(load, [costs[state, load] for state in states]) for load in loads]
    return "\n".join(f"- {line}" for line in [*lines, *judged])


def _verdict(load: Load, rows: Sequence[Sequence[Cost]]) -> str:
    """`rows`: rounds by state."""
    goal = GOALS[load.pages]
    found = [_spread(rounds, lambda cost: cost.cpu_in_all) for rounds in rows]
    medians = [row.median for row in found]
    missed = [median - goal for median in medians if median > goal]
    said = f"missed in {len(missed)} of {len(rows)} by up to {max(missed):.2f}" if missed else f"met in all {len(rows)}"
    return (
        f"{goal:g} ms a page of {load.what} as fast as they go: rows {min(medians):.2f} to {max(medians):.2f}, {said};"
        f" the worst round {max(max(row.values) for row in found):.2f}."
    )


def count_table(
    states: Sequence[State],
    loads: Sequence[Load],
    costs: Costs,
    counted: Mapping[tuple[State, Load], Mapping[str, float]],
) -> str:
    """What was counted for each page: a column for each state, in a cell all loads. `counted`: by names of `COUNTS`;
    what lacks there is the median of the rounds."""

    def number(name: str, state: State, load: Load) -> str:
        if name in counted[state, load]:
            return _short(counted[state, load][name])
        return _short(_spread(costs[state, load], lambda cost: cost.counts.get(name, 0.0)).median)

    rows = [
        [title, *(" / ".join(number(name, state, load) for load in loads) for state in states)]
        for name, title in COUNTS.items()
    ]
    return table(["", *map(_waiting, states)], rows)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}" if number < 1 else f"{number:.1f}"


def _status_table(asked: Sequence[Sequence[Asked]]) -> str:
    rows = []
    for of_path in zip(*asked, strict=True):
        small, large, ratio = (
            Spread(tuple(getattr(one, name) for one in of_path)) for name in ("small", "large", "ratio")
        )
        rows.append([f"`GET /v1/{of_path[0].path}`", f"{small:.2f}", f"{large:.2f}", f"{ratio:.2f}"])
    return table(["", "of 10 pages, ms", "of the large one, ms", "ratio"], rows)


def _spread(costs: Sequence[Cost], figure: Callable[[Cost], float]) -> Spread:
    return Spread(tuple(map(figure, costs)))
