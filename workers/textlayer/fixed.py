"""Fonts whose characters are all of one width, and lines as they stand on the grid of such a font.

Programs, logs and letters of a typewriter are set in them, and what their blanks say is lost where runs of blanks
become one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

# A font is believed to be one from so many different characters on, among them some of each kind: those of digits alone
# are of one width in nearly all fonts.
LEAST_CHARACTERS = 8
NARROW = frozenset("ijlftr1.,:;'!|()[]I")
WIDE = frozenset("mwMWGODQ@%abcdeghknopqsuvxyz")
# Part of the em by which widths that are the same may differ: widths are rounded to a thousandth or taken from boxes.
SAME = 0.02
# In widths: how far one character may stand behind another that it follows. LaTeX sets listings wider than the font is.
LOOSE = (0.9, 1.5)


class Columns(NamedTuple):
    """A line on the grid of its font, with its blanks; it begins with what is seen first."""

    text: str
    pitch: float
    """Width of a character in pixels."""


class Cell(NamedTuple):
    """The room of a glyph: from where to where along its line, in pixels."""

    text: str
    font: int
    em: float
    u0: float
    u1: float


def fixed_fonts(cells: Sequence[Cell]) -> dict[int, float]:
    """How far a character stands behind the one it follows, in ems, by font, of those fonts that are of one width.

    `cells`: the page's glyphs in the order of their lines, without blanks.
    """
    widths: dict[int, dict[str, float]] = defaultdict(dict)
    for cell in cells:
        if cell.em > 0:
            widths[cell.font][cell.text] = (cell.u1 - cell.u0) / cell.em
    fixed = {font: min(of.values()) for font, of in widths.items() if _is_fixed(of)}
    steps: dict[int, list[float]] = {font: [] for font in fixed}
    for last, cell in pairwise(cells):
        if last.font == cell.font in fixed and last.em == cell.em:
            step, width = (cell.u0 - last.u0) / cell.em, fixed[cell.font]
            steps[cell.font] += [step] if LOOSE[0] * width <= step <= LOOSE[1] * width else []
    return {font: median(of) if (of := steps[font]) else width for font, width in fixed.items()}


def _is_fixed(widths: Mapping[str, float]) -> bool:
    characters = widths.keys()
    if len(characters) < LEAST_CHARACTERS or not (characters & NARROW and characters & WIDE):
        return False
    return min(widths.values()) > 0 and max(widths.values()) - min(widths.values()) <= SAME


def on_grid(cells: Iterable[Cell], fonts: Mapping[int, float]) -> Columns | None:
    """A line's glyphs, from left to right, on their grid; None where they are not all of one width."""
    line = sorted(cells, key=lambda cell: cell.u0)
    pitches = [fonts.get(cell.font, 0.0) * cell.em for cell in line]
    if not pitches or min(pitches) <= 0 or max(pitches) > (1 + SAME) * min(pitches):
        return None
    pitch, text = pitches[0], ""
    for cell in line:
        text = text.ljust(round((cell.u0 - line[0].u0) / pitch)) + cell.text
    return Columns(text, pitch)
