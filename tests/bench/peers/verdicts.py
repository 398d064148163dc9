"""pagemill's goals in B6, and whether the rounds met them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.bench.peers.contender import Round
from tests.bench.report import Spread

FLOOR = "bare client"
GOALS = {20.0: 16, 50.0: 35}
"""Pages/s of pagemill by the rate of the model."""
GOAL_CPU = 35
"""Milliseconds a page of pagemill, everything included."""


def is_ours(name: str) -> bool:
    return name.startswith("pagemill")


def verdict(name: str, rate: float, rounds: Iterable[Round], floor: Iterable[Round]) -> str:
    """Each goal with the median of the rounds beside it: met, or missed by how much. Without a floor, two."""
    rounds, floor = list(rounds), list(floor)
    parts = []
    if (goal := GOALS.get(rate)) is not None:
        speed = median(rounds, "pages_per_second")
        parts.append(f"goal {goal} pages/s: {speed:.1f}, {_judged(goal - speed, 'pages/s')}")
    cpu = 1000 * median(rounds, "cpu")
    parts.append(f"goal {GOAL_CPU} ms of CPU a page: {cpu:.1f}, {_judged(cpu - GOAL_CPU, 'ms')}")
    if floor:
        first, theirs = median(rounds, "first"), median(floor, "first")
        parts.append(
            f"goal first text no later than the {FLOOR}: {first:.2f} against {theirs:.2f} s,"
            f" {_judged(first - theirs, 's')}"
        )
    return f"{name}: {'; '.join(parts)}."


def verdicts(rate: float, by_name: Mapping[str, Mapping[int, Round]]) -> str:
    """A line for each row of pagemill."""
    floor = by_name.get(FLOOR, {}).values()
    lines = [verdict(name, rate, rounds.values(), floor) for name, rounds in by_name.items() if is_ours(name)]
    return "\n".join(f"- {line}" for line in lines)


def median(rounds: Iterable[Round], name: str) -> float:
    return Spread(tuple(getattr(measured, name) for measured in rounds)).median


def _judged(over: float, unit: str) -> str:
    if over <= 0:
        return "met"
    return f"missed by {format(over, '.2g' if over < 10 else '.0f')} {unit}"
