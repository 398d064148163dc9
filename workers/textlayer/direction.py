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


def has_rtl(text: str) -> bool:
    """Whether there is any letter of a right-to-left script."""
    return any(unicodedata.bidirectional(char) in ("R", "AL") for char in text)


def reads_rtl(text: str) -> bool:
    """Whether most of the letters are of right-to-left scripts."""
    kinds = [unicodedata.bidirectional(char) for char in text]
    return sum(kind in ("R", "AL") for kind in kinds) > kinds.count("L")


def reading_order(pieces: Sequence[str], *, rtl: bool) -> list[int]:
    """Indices of pieces (glyphs' texts and spaces, from left to right as seen) in the order they are read.

    `rtl`: the line belongs to right-to-left text, in which foreign words and numbers are islands.
    """
    base: Direction = "R" if rtl else "L"
    settled = _settled(_kinds(pieces), base)
    runs = [(kind, [i for i, _ in run]) for kind, run in groupby(enumerate(settled), key=lambda item: item[1])]
    if rtl:
        runs.reverse()
    return [i for kind, run in runs for i in (reversed(run) if kind == "R" else run)]


def _kinds(pieces: Sequence[str]) -> list[Direction]:
    kinds = [_kind(piece) for piece in pieces]
    for i, piece in enumerate(pieces):
        # 50 % and $ 5 are numbers with their signs (UAX #9, rule W5).
        near = (*pieces[max(0, i - 1) : i], *pieces[i + 1 : i + 2])
        if piece and unicodedata.bidirectional(piece[0]) == "ET" and any(other.isdecimal() for other in near):
            kinds[i] = "L"
    return kinds


def _kind(piece: str) -> Direction:
    for char in piece:
        kind = _CLASSES.get(unicodedata.bidirectional(char), "")
        if kind:
            return kind
    return ""


def _settled(kinds: Sequence[Direction], base: Direction) -> list[Direction]:
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
            settled[i:end] = [before if before == after else base] * (end - i)
        i = end + 1
    return settled
