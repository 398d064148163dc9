"""Who stands where: sides of a benchmark in each of its columns, as far as the rounds tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.report import Spread, table

SAME = "no difference that these rounds show"
_PLACES = ("first", "second", "third", "fourth", "fifth", "sixth")


def under(one: Spread, other: Spread) -> bool:
    """Whether every round of one is under every round of the other: their spreads do not overlap."""
    return max(one.values) < min(other.values)


@dataclass(frozen=True, slots=True)
class Column:
    """What was found of each side."""

    title: str
    found: Mapping[str, Spread]
    """By side."""
    told: Callable[[float], str]
    """How a figure is written."""
    most: bool = False
    """Whether more is better."""

    def ahead(self, one: str, other: str) -> bool:
        """Whether one is better than the other in every round of both."""
        better, worse = self.found[one], self.found[other]
        return under(worse, better) if self.most else under(better, worse)

    def first(self) -> list[str]:
        """Those that nobody is ahead of, by medians. Of several none is ahead of another."""
        return [side for side in self._by_medians() if not any(self.ahead(other, side) for other in self.found)]

    def ahead_of(self, side: str) -> list[str]:
        return [other for other in self._by_medians() if self.ahead(other, side)]

    def behind(self, side: str) -> list[str]:
        return [other for other in self._by_medians() if self.ahead(side, other)]

    def like(self, side: str) -> list[str]:
        """Others that are neither ahead of it nor behind."""
        apart = {side, *self.ahead_of(side), *self.behind(side)}
        return [other for other in self._by_medians() if other not in apart]

    def place(self, side: str) -> str:
        """`second of 4`; `second to third of 4` where another one is not told apart from it."""
        best = len(self.ahead_of(side))
        worst = best + len(self.like(side))
        places = _PLACES[best] if best == worst else f"{_PLACES[best]} to {_PLACES[worst]}"
        return f"{places} of {len(self.found)}"

    def named(self, sides: Sequence[str]) -> str:
        """Each with its median."""
        return ", ".join(f"{side} {self.told(self.found[side].median)}" for side in sides) or "nobody"

    @property
    def name(self) -> str:
        """The title, and whether there is one figure a side only, which has no spread."""
        once = all(len(spread.values) == 1 for spread in self.found.values())
        return f"{self.title} (once)" if once else self.title

    def _by_medians(self) -> list[str]:
        return sorted(self.found, key=lambda side: self.found[side].median, reverse=self.most)


def standings(columns: Sequence[Column], side: str) -> str:
    """Every column: who is first, where this side stands, and who is ahead of it, like it and behind it."""
    rows = [
        [
            column.name,
            _first(column),
            f"{column.place(side)}, {column.told(column.found[side].median)}",
            column.named(column.ahead_of(side)),
            column.named(column.like(side)),
            column.named(column.behind(side)),
        ]
        for column in columns
    ]
    head = ["column", "first", side, f"ahead of {side}", SAME, f"behind {side}"]
    return f"{table(head, rows)}\n\n{_conclusion(columns, side)}"


def _first(column: Column) -> str:
    sides = column.first()
    return column.named(sides) if len(sides) == 1 else f"{column.named(sides)}: {SAME}"


def _conclusion(columns: Sequence[Column], side: str) -> str:
    alone = [column.name for column in columns if column.first() == [side]]
    among = [column.name for column in columns if side in column.first() and column.name not in alone]
    rest = [column for column in columns if side not in column.first()]
    last = [column.name for column in rest if not column.behind(side) and not column.like(side)]
    between = [column.name for column in rest if column.name not in last]
    parts = {
        "first alone": alone,
        "not told apart from the first": among,
        "behind the first": between,
        "last": last,
    }
    told = [f"{what} in {len(names)} ({'; '.join(names)})" for what, names in parts.items() if names]
    return f"Of these {len(columns)} columns {side} is {', '.join(told)}."
