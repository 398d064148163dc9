"""Who may be read beside whom after workers or engines died (rule 7 of the protocol). Pure.

A death counts a crash for every page that was there, and one of them may have caused it. Its crashes decide in what
company a page is read from then on:

    0, 1    any      as usual: most deaths have nothing to do with the pages
    2       group    a few suspects together, in a worker that holds nothing else: most innocents leave here
    3, …    none     alone: a death has one suspect

Only deaths alone end a page: no innocent fails because of its neighbours, however many of them kill, and a page that
only kills beside others is read alone and succeeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple, TypeVar

T = TypeVar("T")

GROUPED = 2
ALONE = 3
GROUP_SHARE = 8
"""A group is one part in so many of a worker's capacity."""


class _Crashes(NamedTuple):
    least: int
    most: int


class Company(Enum):
    """Named after who else may be there; the value is how many crashes the page has had."""

    ANY = _Crashes(0, GROUPED - 1)
    GROUP = _Crashes(GROUPED, ALONE - 1)
    NONE = _Crashes(ALONE, 2**31 - 1)


def company(crashes: int) -> Company:
    return next(found for found in Company if found.value.least <= crashes <= found.value.most)


def last_crash(lone_deaths: int) -> int:
    """Crashes at which a page fails that may die alone so many times."""
    return ALONE + lone_deaths


def parties(pages: Iterable[tuple[T, int]], capacity: int) -> Iterator[tuple[Company, list[T]]]:
    """Suspects, each with its crashes, parted into those that are read at once, by a worker of this capacity that
    holds nothing else. Pages that may be read in any company are left out."""
    chosen = [(page, company(crashes)) for page, crashes in pages]
    grouped = [page for page, found in chosen if found is Company.GROUP]
    size = max(1, capacity // GROUP_SHARE)
    for start in range(0, len(grouped), size):
        yield Company.GROUP, grouped[start : start + size]
    for page, found in chosen:
        if found is Company.NONE:
            yield Company.NONE, [page]
