"""Glyphs to lines of text.

The order in which a PDF draws is mostly the order of reading within a line, and nothing beyond that. So glyphs that
follow each other on one baseline make a run, runs that touch on one baseline make a line, and where a gap is as wide as
a space there is one, whether or not somebody wrote it. Columns, tables and paragraphs are the layout's affair.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from workers.textlayer.direction import has_rtl, reading_order, reads_rtl
from workers.textlayer.encoding import BULLET, REPLACEMENT, SOFT_HYPHEN, composed, plain
from workers.textlayer.fixed import Cell, Columns, fixed_fonts, on_grid
from workers.textlayer.glyphs import Glyph

Point = tuple[float, float]

# All in ems, the size of the font.
# Two glyphs farther apart are two lines side by side: the gutters of columns and tables; word spaces of justified text
# stay below.
APART = 1.0
# How far a glyph may stand above or below its line: an index or exponent is moved by a third.
SHIFT = 0.5
# A gap that is a space. Fonts have spaces from 0.2 (condensed) to 0.33 and kerning opens up to 0.1. Justified lines may
# be shrunk to 0.12; that is believed where no gap of the line is a little smaller, so that words are clearly set off.
SPACE = 0.16
SHRUNK = (0.05, 0.11)
# Between Han characters and kana, which are spread to fill the line.
SPACE_CJK = 0.6
# A space that was written and takes no room was taken back: "T ables" kerned to Tables.
LEAST_SPACE = 0.06
# Letters that are farther apart are words of one letter; spaced-out headings have 0.05 to 0.2.
MOST_SPREAD = 0.25
# The same character so near was drawn twice, to look bold or to cast a shadow; "ll" is 0.2 apart in narrow fonts.
SAME_PLACE = 0.12
# Vertical writing: how far below each other, and how little to the side, two glyphs of one column stand.
STEP = (0.6, 1.8)
ASIDE = 0.3
# What a line is high at least above and below its baseline, so that a row of dots has the height of its text.
ASCENT, DESCENT = 0.72, 0.2
TALLEST = 1.1
_CJK = frozenset({"W", "F"})
_OPEN_LINES = 4


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of the layer. `corners` in pixels, as it is read: upper left, upper right, lower right, lower left."""

    text: str
    corners: tuple[Point, Point, Point, Point]
    angle: float
    """Direction it runs in, radians clockwise; 0 for vertical writing, whose box is high and narrow."""
    em: float
    font: int
    """The font of most of it."""
    columns: Columns | None = None
    """With all its blanks, where it is set in a font whose characters are of one width."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """A glyph in a frame that was turned so that its text runs to the right."""

    glyph: Glyph
    text: str
    u0: float
    u1: float
    top: float
    bottom: float
    base: float
    em: float

    @property
    def blank(self) -> bool:
        return self.text.isspace()

    @property
    def room(self) -> Cell:
        return Cell(self.text, self.glyph.style.font, self.em, self.u0, self.u1)


@dataclass(slots=True)
class _Run:
    angle: float
    items: list[_Placed] = field(default_factory=list)
    vertical: bool = False
    base: float = 0.0
    em: float = 0.0
    u0: float = math.inf
    u1: float = -math.inf

    def add(self, item: _Placed) -> None:
        self.items.append(item)
        if item.blank:
            return
        if item.em > self.em:
            self.base, self.em = item.base, item.em
        self.u0, self.u1 = min(self.u0, item.u0), max(self.u1, item.u1)

    @property
    def last(self) -> _Placed:
        return next((item for item in reversed(self.items) if not item.blank), self.items[-1])


def text_lines(glyphs: Sequence[Glyph]) -> list[TextLine]:
    """The lines of these glyphs, in no order that means anything. Every glyph is in one; doubles are left out."""
    runs = [run for run in _runs(_once(glyphs)) if any(not item.blank for item in run.items)]
    rtl = reads_rtl("".join(item.text for run in runs for item in run.items))
    fixed = fixed_fonts([item.room for run in runs for item in run.items if not item.blank])
    lines = [_line(run, fixed, rtl_page=rtl) for run in _joined(runs)]
    return [line for line in lines if line.text]


def _once(glyphs: Iterable[Glyph]) -> Iterable[Glyph]:
    """Without what is drawn a second time in the same place."""
    places: dict[tuple[str, int, int], Glyph] = {}
    for glyph in glyphs:
        cell = max(SAME_PLACE * glyph.style.em, 1e-6)
        column, row = math.floor(glyph.x / cell), math.floor(glyph.y / cell)
        near = (places.get((glyph.text, column + i, row + j)) for i in (-1, 0, 1) for j in (-1, 0, 1))
        if not glyph.text.isspace() and any(other is not None and _same_place(glyph, other) for other in near):
            continue
        places[glyph.text, column, row] = glyph
        yield glyph


def _same_place(one: Glyph, other: Glyph) -> bool:
    """By origin and by place: of some fonts pdfium tells one origin for all characters of a text."""
    reach = SAME_PLACE * one.style.em
    return (
        abs(one.x - other.x) < reach
        and abs(one.y - other.y) < reach
        and abs(one.cell[0] - other.cell[0]) < reach
        and abs(one.cell[1] - other.cell[1]) < reach
    )


def _placed(glyph: Glyph) -> _Placed:
    angle = glyph.style.angle
    cos, sin = math.cos(angle), math.sin(angle)
    u0, u1 = _span(glyph.cell, cos, sin, glyph)
    x0, y0, x1, y1 = glyph.box
    heights = [y * cos - x * sin for x in (x0, x1) for y in (y0, y1)]
    base = glyph.y * cos - glyph.x * sin
    text = plain(glyph.text) if not glyph.text.isspace() else " "
    return _Placed(glyph, text, u0, u1, min(heights), max(heights), base, glyph.style.em)


def _span(cell: tuple[float, float, float, float], cos: float, sin: float, glyph: Glyph) -> tuple[float, float]:
    """From where to where a glyph goes along its line. The cell is upright: of a leaning one it is the box around."""
    x0, y0, x1, y1 = cell
    if min(abs(cos), abs(sin)) < 0.02:
        ends = [x * cos + y * sin for x in (x0, x1) for y in (y0, y1)]
        return min(ends), max(ends)
    height = glyph.style.em
    if abs(cos) >= abs(sin):
        width = (x1 - x0 - height * abs(sin)) / abs(cos)
    else:
        width = (y1 - y0 - height * abs(cos)) / abs(sin)
    start = glyph.x * cos + glyph.y * sin
    return start, start + max(0.0, width)


def _runs(glyphs: Iterable[Glyph]) -> list[_Run]:
    """Glyphs that were drawn one after the other and stand one after the other."""
    runs: list[_Run] = []
    for glyph in glyphs:
        item = _placed(glyph)
        if not item.text:
            continue
        if not runs or not _continues(runs[-1], item):
            runs.append(_Run(glyph.style.angle))
        elif not item.blank and _below(runs[-1].last, item):
            runs[-1].vertical = True
        runs[-1].add(item)
    return runs


def _continues(run: _Run, item: _Placed) -> bool:
    last = run.last
    if not _parallel(run.angle, item.glyph.style.angle):
        return False
    if item.blank or last.blank:
        return abs(item.base - last.base) <= SHIFT * max(item.em, last.em) or run.vertical
    if run.vertical or (len(run.items) == 1 and _below(last, item)):
        return _below(last, item)
    em = max(run.em, item.em)
    gap = max(item.u0 - last.u1, last.u0 - item.u1)
    return abs(item.base - run.base) <= SHIFT * em and gap <= APART * em


def _parallel(one: float, other: float) -> bool:
    return abs(math.remainder(one - other, math.tau)) < 0.02


def _below(last: _Placed, item: _Placed) -> bool:
    """Whether it is the next one in a column of vertical writing."""
    if not (_is_wide(last.text) and _is_wide(item.text)):
        return False
    em = max(last.em, item.em)
    aside = abs(item.u0 + item.u1 - last.u0 - last.u1) / 2
    return aside <= ASIDE * em and STEP[0] * em <= item.base - last.base <= STEP[1] * em


def _is_wide(text: str) -> bool:
    """Han, kana, hangul and full-width signs: what is written in columns."""
    return bool(text) and unicodedata.east_asian_width(text[0]) in _CJK


def _joined(runs: Sequence[_Run]) -> list[_Run]:
    """Runs that touch on one baseline as one, whatever was drawn between them."""
    done = [run for run in runs if run.vertical]
    by_angle: dict[int, list[_Run]] = {}
    for run in runs:
        if not run.vertical:
            by_angle.setdefault(round(math.remainder(run.angle, math.tau) / 0.02), []).append(run)
    for parallel in by_angle.values():
        parallel.sort(key=lambda run: (run.base, run.u0))
        for band in _bands(parallel):
            done += _chained(band)
    return done


def _bands(runs: Sequence[_Run]) -> Iterable[list[_Run]]:
    """Runs of about one height. A line's exponents may lie in the band above: those stay lines of their own."""
    band: list[_Run] = []
    for run in runs:
        if band and run.base - band[0].base > SHIFT * max(run.em, band[0].em):
            yield band
            band = []
        band.append(run)
    if band:
        yield band


def _chained(band: list[_Run]) -> list[_Run]:
    lines: list[_Run] = []
    for run in sorted(band, key=lambda run: (run.u0, run.base)):
        before = next((line for line in reversed(lines[-_OPEN_LINES:]) if _touch(line, run)), None)
        if before is None:
            lines.append(run)
            continue
        for item in run.items:
            before.add(item)
    return lines


def _touch(line: _Run, run: _Run) -> bool:
    """Whether a run goes on where a line ends. What overlaps it, like a formula's limits, is a line of its own."""
    em, small = max(line.em, run.em), min(line.em, run.em)
    gap = run.u0 - line.u1
    shift = abs(run.base - line.base)
    near = APART if shift <= 0.1 * em and small > 0.8 * em else 2 * SPACE
    return -0.3 * small <= gap <= near * em and shift <= SHIFT * em


def _line(run: _Run, fixed: Mapping[int, float], *, rtl_page: bool) -> TextLine:
    letters = [item for item in run.items if not item.blank]
    fonts: dict[int, int] = {}
    for item in letters:
        fonts[item.glyph.style.font] = fonts.get(item.glyph.style.font, 0) + 1
    text = _vertical_text(letters) if run.vertical else _text(run.items, rtl_page=rtl_page)
    font = max(fonts, key=lambda font: fonts[font])
    columns = None if run.vertical or has_rtl(text) else on_grid((item.room for item in letters), fixed)
    return TextLine(text, _corners(run, letters), run.angle, run.em, font, columns)


def _vertical_text(letters: Sequence[_Placed]) -> str:
    return "".join(item.text for item in letters)


def _text(items: Sequence[_Placed], *, rtl_page: bool) -> str:
    """A line with letters of both directions runs as most of the page does, or else as most of the line does."""
    text = "".join(item.text for item in items)
    if not has_rtl(text):
        return _tidy(_spaced(_accented(items)))
    pieces = _spaced(sorted(_clusters(items), key=lambda item: item.u0 + item.u1))
    return _tidy([pieces[i] for i in reading_order(pieces, rtl=rtl_page or reads_rtl(text))])


def _clusters(items: Sequence[_Placed]) -> list[_Placed]:
    """Letters with the vowel signs and points that stand on them, which have no place of their own in the line."""
    letters = [item for item in items if not _is_mark(item.text)]
    if not letters:
        return list(items)
    marks: dict[int, str] = {}
    for mark in (item for item in items if _is_mark(item.text)):
        middle = (mark.u0 + mark.u1) / 2
        near = min(letters, key=lambda item: (max(item.u0 - middle, middle - item.u1, 0.0), abs(item.u0 - middle)))
        marks[id(near)] = marks.get(id(near), "") + mark.text
    return [_with_text(item, item.text + marks[id(item)]) if id(item) in marks else item for item in letters]


def _is_mark(text: str) -> bool:
    return bool(text) and all(unicodedata.category(char) == "Mn" for char in text)


def _with_text(item: _Placed, text: str) -> _Placed:
    return _Placed(item.glyph, text, item.u0, item.u1, item.top, item.bottom, item.base, item.em)


def _accented(items: Sequence[_Placed]) -> list[_Placed]:
    """Accents drawn as glyphs of their own, before or after their letter, become part of it."""
    result: list[_Placed] = []
    for item in items:
        last = result[-1] if result else None
        if last is not None and _stands_on(last, item) and (joined := composed(last.text, item.text)):
            result[-1] = _with_text(item, joined)
        elif last is not None and _stands_on(item, last) and (joined := composed(item.text, last.text)):
            result[-1] = _with_text(last, joined)
        else:
            result.append(item)
    return result


def _stands_on(accent: _Placed, letter: _Placed) -> bool:
    middle = (accent.u0 + accent.u1) / 2
    return letter.u0 < middle < letter.u1 or letter.u1 < middle < letter.u0


def _spaced(items: Sequence[_Placed]) -> list[str]:
    """The texts of glyphs in this order, with the spaces between them."""
    space = _space(items)
    pieces: list[str] = []
    written = False
    last: _Placed | None = None
    for item in items:
        if item.blank:
            written = True
            continue
        if last is not None and _is_space(last, item, space, written=written):
            pieces.append(" ")
        pieces.append(item.text)
        last, written = item, False
    return pieces


def _is_space(last: _Placed, item: _Placed, space: float, *, written: bool) -> bool:
    gap = _gap(last, item)
    if written and gap >= LEAST_SPACE:
        return True
    both_wide = _is_wide(last.text) and _is_wide(item.text)
    return gap >= (SPACE_CJK if both_wide else space)


def _space(items: Sequence[_Placed]) -> float:
    """By how many ems the words of this line stand apart at least; letters of spaced-out text stand apart as well."""
    gaps = [_gap(a, b) for a, b in pairwise(items) if not (a.blank or b.blank)]
    spread = median(gaps) if len(gaps) > 3 else 0.0
    if 0.02 < spread < MOST_SPREAD:
        return SPACE + spread
    low, high = SHRUNK
    return SPACE if any(low < gap < high for gap in gaps) else high


def _gap(a: _Placed, b: _Placed) -> float:
    """Between two neighbours, in ems; negative where they overlap."""
    em = max(a.em, b.em)
    return max(b.u0 - a.u1, a.u0 - b.u1) / em if em else 0.0


def _tidy(pieces: Sequence[str]) -> str:
    """One line's text: accents joined to their letters, soft hyphens where they are seen, a lone sign as a bullet."""
    text = unicodedata.normalize("NFC", "".join(pieces)).strip()
    # A soft hyphen has a glyph only where it breaks a word, and in fonts that call their hyphen so.
    text = text.replace(SOFT_HYPHEN, "-")
    return BULLET + text[1:] if text.startswith(REPLACEMENT + " ") else text


def _corners(run: _Run, letters: Sequence[_Placed]) -> tuple[Point, Point, Point, Point]:
    if run.vertical:
        top, bottom = min(item.top for item in letters), max(item.bottom for item in letters)
    else:
        ink_top, ink_bottom = min(item.top for item in letters), max(item.bottom for item in letters)
        top = max(min(ink_top, run.base - ASCENT * run.em), run.base - TALLEST * run.em)
        bottom = min(max(ink_bottom, run.base + DESCENT * run.em), run.base + SHIFT * run.em)
    cos, sin = math.cos(run.angle), math.sin(run.angle)

    def back(u: float, v: float) -> Point:
        return u * cos - v * sin, u * sin + v * cos

    return back(run.u0, top), back(run.u1, top), back(run.u1, bottom), back(run.u0, bottom)
