"""What must not grow with the pages that wait, and whether it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.plane.stand import Cost, Load, State
from tests.bench.report import Spread, table
from tests.bench.standings import under

LIKELY = 1.1
"""A figure whose median grew by more, though rounds overlap, is not called one that does not grow."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, round by round, beside the fewest and beside the most pages that wait for one engine."""

    title: str
    few: Spread
    many: Spread
    spec: str = ".2f"

    @property
    def ratio(self) -> Spread:
        pairs = zip(self.few.values, self.many.values, strict=True)
        return Spread(tuple(many / few if few else float("nan") for few, many in pairs))

    @property
    def grew(self) -> bool:
        """In every round beside many it was more than in any beside few; one round shows nothing."""
        return len(self.few.values) > 1 and under(self.few, self.many)

    @property
    def verdict(self) -> str:
        if len(self.few.values) < 2:
            return "one round: not judged"
        if self.grew:
            return "grew: missed"
        if self.ratio.median > LIKELY:
            return "more, but not in every round: not shown"
        return "no growth that these rounds show: met"


def between(states: Sequence[State]) -> list[tuple[State, State]]:
    """Of each engine the states with the fewest and with the most pages that wait, where there are two; where there are
    more, those with the second fewest and the most as well: one dear row must not hide that others grow."""
    by_engine: dict[str, list[State]] = {}
    for state in sorted(states, key=lambda state: state.pages):
        by_engine.setdefault(state.engine, []).append(state)
    return [(few, found[-1]) for found in by_engine.values() for few in found[:-1][:2]]


def growth(
    states: Sequence[State],
    loads: Sequence[Load],
    costs: Mapping[tuple[State, Load], Sequence[Cost]],
    idle: Mapping[State, Sequence[float]],
    titles: Mapping[str, str],
) -> str:
    """A verdict of each figure that must not grow, then which of what was counted besides grew as well. `titles`: of
    counts of `Cost`, by name."""
    rows, others, judged = [], [], 0
    for few, many in between(states):
        beside = f"{few.pages:,} to {many.pages:,}, {few.beside}"
        rows += [[one.title, beside, *_cells(one)] for one in _main(few, many, loads, costs, idle)]
        counted = _counted(few, many, loads, costs, titles)
        judged += len(counted)
        others += [f"{one.title}, {beside}, {one.ratio.median:.2f} times" for one in counted if one.grew]
    head = ["must not grow", "with the pages that wait", "from", "to", "÷, round by round", "verdict"]
    if not any(len(found) > 1 for found in costs.values()):
        return table(head, rows)
    rest = f"Of the other {judged} figures that were counted in every round grew: {'; '.join(others) or 'none'}."
    return f"{table(head, rows)}\n\n{rest}"


def _cells(figure: Figure) -> list[str]:
    ends = (format(end, figure.spec) for end in (figure.few, figure.many))
    return [*ends, f"{figure.ratio:.2f}", figure.verdict]


def _main(
    few: State,
    many: State,
    loads: Sequence[Load],
    costs: Mapping[tuple[State, Load], Sequence[Cost]],
    idle: Mapping[State, Sequence[float]],
) -> list[Figure]:
    found = []
    for load in loads:
        cpu = [Spread(tuple(cost.cpu_in_all for cost in costs[state, load])) for state in (few, many)]
        found.append(Figure(f"CPU ms a page, {load.what}", *cpu))
        found.append(_count(f"bytes written ahead a page, {load.what}", "wal", few, many, load, costs, ",.0f"))
    if few in idle and many in idle:
        ends = (Spread(tuple(idle[state])) for state in (few, many))
        found.append(Figure("CPU ms a second while nothing can be read", *ends, spec=".0f"))
    return found


def _counted(
    few: State,
    many: State,
    loads: Sequence[Load],
    costs: Mapping[tuple[State, Load], Sequence[Cost]],
    titles: Mapping[str, str],
) -> list[Figure]:
    """All but the bytes written ahead, of what was counted in every round."""
    return [
        _count(f"{title}, {load.what}", name, few, many, load, costs)
        for load in loads
        for name, title in titles.items()
        if name != "wal" and any(name in cost.counts for cost in costs[many, load])
    ]


def _count(
    title: str,
    name: str,
    few: State,
    many: State,
    load: Load,
    costs: Mapping[tuple[State, Load], Sequence[Cost]],
    spec: str = ".2f",
) -> Figure:
    ends = (Spread(tuple(cost.counts.get(name, 0.0) for cost in costs[state, load])) for state in (few, many))
    return Figure(title, *ends, spec=spec)
