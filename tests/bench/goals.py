"""Whether figures reach their goal, as a line of a section."""

from __future__ import annotations

from collections.abc import Mapping

from tests.bench.report import Spread


def judged(goal: float, found: Mapping[str, Spread], spec: str, *, at_most: bool = False) -> str:
    """The medians by name against a goal that they are to reach, or with `at_most` not to exceed.

    Met, or missed by how much; and what the worst of the rounds was where that one missed it. `spec` is the format of
    the figures (the goal's own is as short as it can be).
    """
    percent = spec.endswith("%")
    told = f"{100 * goal:g}%" if percent else f"{goal:g}"
    each = "; ".join(f"{name} {_judged(goal, spread, spec, at_most)}" for name, spread in found.items())
    return f"Goal {'at most ' if at_most else ''}{told}: {each}."


def _judged(goal: float, spread: Spread, spec: str, at_most: bool) -> str:
    worst = max(spread.values) if at_most else min(spread.values)
    over = _over(goal, spread.median, at_most)
    said = f"missed by {_short(over, spec)}" if over > 0 else "met"
    if len(spread.values) > 1 and _over(goal, worst, at_most) > 0:
        said += f" ({'but not in the ' if over <= 0 else ''}worst round: {format(worst, spec)})"
    return f"{format(spread.median, spec)}, {said}"


def _over(goal: float, value: float, at_most: bool) -> float:
    return value - goal if at_most else goal - value


def _short(value: float, spec: str) -> str:
    return f"{100 * value:.2g}%" if spec.endswith("%") else f"{value:.2g}"
