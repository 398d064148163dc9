"""Lines to rows, rows to paragraphs, paragraphs to text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from jobs.wording import BROKEN, SENTENCE_END, joined, space
from workers.engines.rapidocr.geometry import Box, Line, union

ITEM = re.compile(r"^\s*([•▪●○◦■□–—*·-]\s*\S|\(?\d{1,3}[.)]\s|\(?[a-zA-Z][.)]\s)")


@dataclass(frozen=True, slots=True)
class Row:
    """The lines that stand side by side at one height."""

    lines: tuple[Line, ...]

    @property
    def box(self) -> Box:
        return union(line.box for line in self.lines)

    @property
    def text(self) -> str:
        return join_pieces(line.text.strip() for line in self.lines)


def join_pieces(pieces: Iterable[str]) -> str:
    """Pieces of one line, with a space between them where their script has spaces."""
    text = ""
    for piece in pieces:
        text = text + space(text, piece) + piece
    return text


def rows(lines: Sequence[Line]) -> list[Row]:
    """Lines grouped by height, from top to bottom, each row from left to right."""
    groups: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.box.y0 + line.box.y1, line.box, line.text)):
        if groups and _same_height(groups[-1][0].box, line.box):
            groups[-1].append(line)
        else:
            groups.append([line])
    return [Row(tuple(sorted(group, key=lambda line: (line.box.x0, line.box, line.text)))) for group in groups]


def paragraphs(all_rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one block cut into paragraphs: at indents, after short last lines, at wide gaps, before list items."""
    if not all_rows:
        return []
    margins = _Margins.of(all_rows)
    result = [[all_rows[0]]]
    for above, row in pairwise(all_rows):
        if margins.separate(above, row):
            result.append([row])
        else:
            result[-1].append(row)
    return result


def pitch(all_rows: Sequence[Row]) -> float:
    """Median distance in pixels from one row to the next; 0 for a single one."""
    steps = [b.box.y0 - a.box.y0 for a, b in pairwise(all_rows)]
    return median(steps) if steps else 0.0


def join_rows(all_rows: Sequence[Row], known: frozenset[str] = frozenset()) -> str:
    """One paragraph's text. A break that the writer meant (the next word would have fitted) stays a line break.

    `known`: words seen on the page, in lower case; they decide whether a hyphen at a line's end belongs to the
    word (`trace-based`) or to the break (`informa-tion`).
    """
    if not all_rows:
        return ""
    right = max(row.box.x1 for row in all_rows)
    text = all_rows[0].text
    for above, row in pairwise(all_rows):
        text = joined(text, row.text, known, meant=_meant_break(above, row, right))
    return text


def _meant_break(above: Row, row: Row, right: float) -> bool:
    """Whether the next row's first word, with some air, would have fitted behind the row above."""
    text = row.text
    first = text.split(maxsplit=1)[0] if text.strip() else text
    word = row.box.width * (len(first) + 1) / max(1, len(text))
    return above.box.x1 + word + 2 * above.box.height < right


def _same_height(a: Box, b: Box) -> bool:
    return a.shared_y(b) >= 0.5 * min(a.height, b.height)


@dataclass(frozen=True, slots=True)
class _Margins:
    left: float
    right: float
    height: float
    pitch: float
    """Median distance from one row to the next."""
    flush: bool
    """Most rows start at the left margin; without that, indents mean nothing (centred or ragged text)."""

    @classmethod
    def of(cls, all_rows: Sequence[Row]) -> _Margins:
        boxes = [row.box for row in all_rows]
        height = median(box.height for box in boxes)
        left = sorted(box.x0 for box in boxes)[len(boxes) // 4]
        flush = sum(abs(box.x0 - left) < 0.5 * height for box in boxes) >= 0.6 * len(boxes)
        steps = [b.y0 - a.y0 for a, b in pairwise(boxes)]
        return cls(left, max(box.x1 for box in boxes), height, median(steps) if steps else height, flush)

    def separate(self, above: Row, row: Row) -> bool:
        if row.box.y0 - above.box.y0 > 1.45 * self.pitch and row.box.y0 - above.box.y1 > 0.4 * self.height:
            return True
        meant = _meant_break(above, row, self.right)
        if ITEM.match(row.text) and (meant or SENTENCE_END.search(above.text)):
            return True
        if not self.flush:
            return False
        if self._indented(row) and not self._indented(above):
            return not BROKEN.search(above.text)
        return meant and bool(SENTENCE_END.search(above.text))

    def _indented(self, row: Row) -> bool:
        return 0.7 * self.height < row.box.x0 - self.left < 5 * self.height
