"""How a page's pieces belong together: notes at its foot, heads of one row, titles and what they stand above.

Whatever is decided here is a label, an order or a group; no text is lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from jobs.results import Label
from jobs.wording import SENTENCE_END
from workers.engines.rapidocr import headings
from workers.engines.rapidocr.geometry import Box
from workers.engines.rapidocr.labels import is_page_number
from workers.engines.rapidocr.paragraphs import ITEM
from workers.engines.rapidocr.pieces import FLOATS, RUNNING, Piece, below

# Print of this part of the body's pitch, or a single row of this part of its height, is small print; the third part is
# enough for the pitch of what begins with a note's mark.
SMALL_PITCH = 0.92
SMALL_HEIGHT = 0.88
MARKED = 0.97
# Heights of titles that differ by less are of one level.
LEVEL_STEP = 1.2
DEEPEST = 4
# In line heights: how far below a title its text begins at most.
REACH = 4.0
# Letters of the text that a title stands above: the values of a form are shorter.
LEAST_BELOW = 40
# The part of the page at its top and bottom where a number makes heads of what stands beside it, and where any row of
# several pieces is one.
EDGE = 0.12
OUTER_EDGE = 0.09
LONGEST_HEAD = 80
# In heights: how much lower the nearest end of a leaning row may lie than what stands beside it.
LEANING = 0.3
# Letters of a text that can be the beginning of a paragraph: a byline or a date is none.
SHORTEST_BEGUN = 60

_MARK = re.compile(r"^(?:[*∗†‡§¶]|[¹²³⁴-⁹]|\d{1,2}(?=\s?[A-Z“\"(]))")
_NAMES = re.compile(r",.*,|[∗*†‡@]")


def with_footnotes(pieces: Sequence[Piece], height: float) -> list[Piece]:
    """Small print at the foot of a column, below text of the usual size, is `footnote`s. `height`: the page's."""
    result = list(pieces)
    texts = [p for p in pieces if p.label == "text" and p.rows > 2]
    typical = max(texts, key=lambda p: (sum(len(q.content) for q in texts if _alike(p, q)), p.box), default=None)
    if typical is None:
        return result
    for bottom in pieces:
        stack = _small_stack(bottom, pieces, typical.pitch, height)
        if any(_MARK.match(p.content) or p.rows > 1 for p in stack):
            result = [replace(p, label="footnote") if p in stack else p for p in result]
    return result


def _alike(one: Piece, other: Piece) -> bool:
    return abs(one.pitch - other.pitch) <= 0.04 * one.pitch


def _small_stack(bottom: Piece, pieces: Sequence[Piece], typical: float, height: float) -> list[Piece]:
    """The small print that ends with this piece, from below upwards; empty where other text stands below it."""
    if any(p.label not in RUNNING for p in below(bottom, pieces)):
        return []
    column = [p for p in pieces if p.box.y0 < bottom.box.y0 and p.box.shared_x(bottom.box) > 0]
    body = [p for p in column if p.label == "text" and p.rows > 2]
    stack: list[Piece] = []
    for piece in [bottom, *sorted(column, key=lambda p: (-p.box.y0, p.box))]:
        usual = [p for p in body if p not in stack and p is not piece]
        if piece.label != "text" or piece.box.y0 < 0.5 * height or not usual or not _is_small(piece, usual, typical):
            break
        stack.append(piece)
    return stack if stack and piece.label in ("text", "paragraph_title", "display_formula") else []


def _is_small(piece: Piece, body: Sequence[Piece], typical: float) -> bool:
    """`typical`: the pitch of most of the page's text."""
    usual = max(body, key=lambda p: (len(p.content), p.box))
    if piece.rows > 1:
        part = MARKED if _MARK.match(piece.content) else SMALL_PITCH
        return piece.pitch <= part * min(usual.pitch, typical)
    return piece.row_height <= SMALL_HEIGHT * usual.row_height


def with_running_heads(pieces: Sequence[Piece], unit: float, height: float) -> list[Piece]:
    """The outermost row at the page's edge is no text where it holds a page number, or several pieces far apart."""
    result = list(pieces)
    for top in (True, False):
        row = _outermost(result, height, top=top)
        numbers = [i for i in row if is_page_number(result[i].content)]
        if len(row) < 2 or any(result[i].rows > 1 or len(result[i].content) > LONGEST_HEAD for i in row):
            continue
        edge = EDGE if numbers else OUTER_EDGE
        middles = [_from_edge(result[i].box, height, top=top) for i in row]
        if max(middles) > edge * height or (not numbers and not _is_apart(row, result, unit)):
            continue
        for i in row:
            label: Label = "number" if i in numbers else "header" if top else "footer"
            result[i] = replace(result[i], label=label, level=None, doubtful=False)
    return result


def _outermost(pieces: Sequence[Piece], height: float, *, top: bool) -> list[int]:
    """Indices of the pieces on the row nearest to the page's edge."""
    texts = [i for i, p in enumerate(pieces) if p.label not in FLOATS]
    if not texts:
        return []
    first = min(texts, key=lambda i: (_from_edge(pieces[i].box, height, top=top), pieces[i].box))
    return [i for i in texts if _on_row(pieces[i].box, pieces[first].box)]


def _from_edge(box: Box, height: float, *, top: bool) -> float:
    middle = (box.y0 + box.y1) / 2
    return middle if top else height - middle


def _is_apart(row: Sequence[int], pieces: Sequence[Piece], unit: float) -> bool:
    """Whether nothing else is near, as it would be for the first row of a table or of columns."""
    y0, y1 = min(pieces[i].box.y0 for i in row), max(pieces[i].box.y1 for i in row)
    others = [p.box for i, p in enumerate(pieces) if i not in row]
    return bool(others) and all(max(box.y0 - y1, y0 - box.y1) >= unit for box in others)


def _on_row(box: Box, other: Box) -> bool:
    """Side by side, be it on a row that leans; or the same."""
    if box.shared_x(other):
        return box.shared_y(other) > 0.3 * min(box.height, other.height)
    return max(box.y0, other.y0) - min(box.y1, other.y1) < LEANING * min(box.height, other.height)


def with_sure_titles(pieces: Sequence[Piece], unit: float) -> list[Piece]:
    """Lines that may be titles are, where text follows below them."""
    return [
        replace(p, label="text", level=None, doubtful=False) if _is_no_title(p, pieces, unit) else p for p in pieces
    ]


def _is_no_title(piece: Piece, pieces: Sequence[Piece], unit: float) -> bool:
    if not piece.doubtful:
        return False
    under = [p for p in below(piece, pieces) if p.label not in RUNNING]
    if not under or under[0].box.y0 - piece.box.y1 > REACH * unit:
        return True
    if under[0].label in ("text", "reference_content"):
        return len(under[0].content) < LEAST_BELOW
    return under[0].label not in ("table", "paragraph_title", "algorithm")


def with_levels(pieces: Sequence[Piece]) -> list[Piece]:
    """Titles without a number get a level by their height, the largest 2, or that of numbered ones as high."""
    titles = [p for p in pieces if p.label == "paragraph_title"]
    numbered = {p.level: p.row_height for p in titles if headings.depth(p.content) is not None}
    plain = sorted({p.row_height for p in titles if headings.depth(p.content) is None}, reverse=True)
    level_of: dict[float, int] = {}
    level, first = 2, plain[0] if plain else 0.0
    for height in plain:
        if height * LEVEL_STEP < first:
            level, first = min(DEEPEST, level + 1), height
        level_of[height] = level
    if numbered:
        level_of = {height: _nearest(height, numbered) for height in plain}
    return [
        replace(p, level=level_of.get(p.row_height, p.level))
        if p.label == "paragraph_title" and headings.depth(p.content) is None
        else p
        for p in pieces
    ]


def _nearest(height: float, numbered: dict[int | None, float]) -> int:
    """The level whose titles are as high; a title clearly higher than all numbered ones stands above them."""
    return min(numbered, key=lambda level: (abs(numbered[level] - height), level or 2)) or 2


def without_authors(pieces: Sequence[Piece]) -> list[Piece]:
    """Names right below the document's title are set large and are no titles."""
    title = next((p for p in pieces if p.label == "doc_title"), None)
    if title is None:
        return list(pieces)
    first = next((p for p in below(title, pieces)), None)
    return [
        replace(p, label="text", level=None)
        if p is first and p.label == "paragraph_title" and _NAMES.search(p.content)
        else p
        for p in pieces
    ]


def continued(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces in reading order; those that go on with a paragraph begun in another column or before a figure say so."""
    result = list(pieces)
    last: int | None = None
    floated = False
    for i, piece in enumerate(result):
        if piece.label in FLOATS or piece.label in RUNNING:
            floated = True
            continue
        if last is not None and piece.label == "text" and _goes_on(result[last], piece, floated=floated):
            result[i] = replace(piece, goes_on_from=last)
        last = i if piece.label == "text" else None
        floated = False
    return result


def _goes_on(begun: Piece, piece: Piece, *, floated: bool) -> bool:
    """A small letter after a text that has not ended, in another column or behind something that was in the way."""
    elsewhere = floated or piece.box.y0 < begun.box.y0 or not piece.box.shared_x(begun.box)
    if not elsewhere or not begun.full or SENTENCE_END.search(begun.content) or ITEM.match(piece.content):
        return False
    if not 0.8 < (piece.row_height or 1) / (begun.row_height or 1) < 1.25:
        return False
    return piece.content[:1].islower() and len(begun.content) >= SHORTEST_BEGUN and not begun.content[-1].isdigit()
