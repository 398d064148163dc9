"""Right-to-left lines, from the order they are seen in to the order they are read in.

A PDF says where each glyph stands; whether it was drawn from the right or from the left depends on the program that
wrote it. So the order is taken from the page: sorted from left to right, then undone as the Unicode Bidirectional
Algorithm (UAX #9, rule L2) would have done it for display, without its explicit formatting, which has left no trace.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import groupby
from typing import Literal

Direction = Literal["L", "R", ""]

_CLASSES: dict[str, Direction] = {"L": "L", "EN": "L", "AN": "L", "R": "R", "AL": "R"}
# Signs that belong to the number beside them (UAX #9, W4 and W5): 3.14, 50 %, 1/2.
_IN_NUMBERS = frozenset({"ES", "CS", "ET"})


def has_rtl(text: str) -> bool:
    """Whether there is any letter of a right-to-left script."""
    return any(unicodedata.bidirectional(char) in ("R", "AL") for char in text)


def reading_order(pieces: Sequence[str]) -> list[int]:
    """Indices of pieces (glyphs' texts and spaces, from left to right as seen) in the order they are read.

    The line runs the way most of its letters run.
    """
    kinds = [_kind(piece) for piece in pieces]
    strong = [kind for piece, kind in zip(pieces, kinds, strict=True) if kind and not piece.isdecimal()]
    base: Direction = "R" if strong.count("R") >= strong.count("L") and "R" in strong else "L"
    settled = _settled(pieces, kinds, base)
    runs = [(kind, [i for i, _ in run]) for kind, run in groupby(enumerate(settled), key=lambda item: item[1])]
    if base == "R":
        runs.reverse()
    return [i for kind, run in runs for i in (reversed(run) if kind == "R" else run)]


def _kind(piece: str) -> Direction:
    for char in piece:
        kind = _CLASSES.get(unicodedata.bidirectional(char), "")
        if kind:
            return kind
    return ""


def _settled(pieces: Sequence[str], kinds: Sequence[Direction], base: Direction) -> list[Direction]:
    """Every piece with a direction: neutral ones take that of both neighbours where they agree, else the line's."""
    settled = list(kinds)
    i = 0
    while i < len(settled):
        end = i
        while end < len(settled) and not settled[end]:
            end += 1
        if end > i:
            before = settled[i - 1] if i else base
            after = settled[end] if end < len(settled) else base
            settled[i:end] = [_between(pieces[i:end], before, after, base)] * (end - i)
        i = end + 1
    return settled


def _between(gap: Sequence[str], before: Direction, after: Direction, base: Direction) -> Direction:
    if before == after:
        return before
    if "L" in (before, after) and all(unicodedata.bidirectional(char) in _IN_NUMBERS for char in "".join(gap)):
        return base if len(gap) > 1 else "L"
    return base
