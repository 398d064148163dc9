"""Reading order by recursive XY-cut.

A page is cut into columns where a gap runs through it from top to bottom, otherwise into slices from top to bottom, and
so on inside. Two rules make that read as people do:

* neighbouring slices are put together again while they have columns in common, so that a gap between paragraphs that
  happens to lie at the same height in both columns does not make the reader jump to and fro;
* a gap only separates columns when there really is text on both sides at the same height, so that an indented
  paragraph does not become a column of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from workers.engines.rapidocr.geometry import Box

# In line heights. Detected boxes are looser than the ink by up to half a line at each end: columns that nearly touch
# overlap a little, and so may slices.
GUTTER = -0.3
OVERLAP = 0.3
# How much of the shorter side must stand beside the other for a gap to separate columns.
BESIDE = 0.3
# Boxes that no cut separates are shrunk by these many line heights on every side, one after the other.
SHRINK = (0.0, 0.4, 0.8)


def reading_order(boxes: Sequence[Box], unit: float) -> list[int]:
    """Indices of `boxes` in reading order, each once. `unit` is the page's typical line height in pixels."""
    # Ties are broken by the place in this list, so that the answer does not depend on the order boxes were given in.
    given = sorted(range(len(boxes)), key=lambda i: boxes[i])
    order = _order([boxes[i] for i in given], list(range(len(given))), max(unit, 1.0))
    return [given[i] for i in order]


def _order(boxes: Sequence[Box], indices: list[int], unit: float) -> list[int]:
    if len(indices) < 2:
        return indices
    for shrink in SHRINK:
        groups = _groups({i: _shrunk(boxes[i], shrink * unit) for i in indices}, unit)
        if len(groups) > 1:
            return [i for group in groups for i in _order(boxes, group, unit)]
    return sorted(indices, key=lambda i: (boxes[i].y0, boxes[i].x0, i))


def _groups(boxes: dict[int, Box], unit: float) -> list[list[int]]:
    columns = _columns(boxes, list(boxes), unit)
    if len(columns) > 1:
        return columns
    slices = _cut(boxes, list(boxes), axis=1, gap=-OVERLAP * unit)
    groups = slices[:1]
    for piece in slices[1:]:
        if len(_columns(boxes, groups[-1] + piece, unit)) > 1:
            groups[-1] = groups[-1] + piece
        else:
            groups.append(piece)
    return groups


def _columns(boxes: dict[int, Box], indices: list[int], unit: float) -> list[list[int]]:
    """Groups from left to right between which a gutter runs, each beside its left neighbour."""
    cuts = _cut(boxes, indices, axis=0, gap=GUTTER * unit)
    columns = cuts[:1]
    for group in cuts[1:]:
        if _beside([boxes[i] for i in columns[-1]], [boxes[i] for i in group]):
            columns.append(group)
        else:
            columns[-1] = columns[-1] + group
    return columns


def _cut(boxes: dict[int, Box], indices: list[int], *, axis: int, gap: float) -> list[list[int]]:
    """Groups along an axis (0: x, 1: y) with at least `gap` pixels between them."""
    groups: list[list[int]] = []
    end = 0.0
    for i in sorted(indices, key=lambda i: (boxes[i][axis], i)):
        start, stop = boxes[i][axis], boxes[i][axis + 2]
        if groups and start < end + gap:
            groups[-1].append(i)
            end = max(end, stop)
        else:
            groups.append([i])
            end = stop
    return groups


def _beside(left: list[Box], right: list[Box]) -> bool:
    left_spans, right_spans = _spans(left), _spans(right)
    shared = sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in left_spans for b in right_spans)
    shorter = min(sum(b - a for a, b in left_spans), sum(b - a for a, b in right_spans))
    return shared > 0 and shared >= BESIDE * shorter


def _spans(boxes: list[Box]) -> list[tuple[float, float]]:
    """The heights that boxes cover, as disjoint intervals."""
    spans: list[tuple[float, float]] = []
    for box in sorted(boxes, key=lambda b: b.y0):
        if spans and box.y0 <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], box.y1))
        else:
            spans.append((box.y0, box.y1))
    return spans


def _shrunk(box: Box, by: float) -> Box:
    dx, dy = min(by, box.width * 0.4), min(by, box.height * 0.4)
    return Box(box.x0 + dx, box.y0 + dy, box.x1 - dx, box.y1 - dy)


def split_columns(boxes: Sequence[Box], unit: float) -> list[list[int]]:
    """Indices of one region's lines by column, where it holds several columns of text; else all in one list.

    A column has at least three lines and a fifth of the region's width, so that the page numbers of a table of
    contents and the labels of a form stay beside their lines.
    """
    everything = dict(enumerate(boxes))
    columns = _columns(everything, list(everything), max(unit, 1.0))
    width = max((b.x1 for b in boxes), default=0.0) - min((b.x0 for b in boxes), default=0.0)
    for column in columns:
        wide = max(boxes[i].x1 for i in column) - min(boxes[i].x0 for i in column)
        if len(column) < 3 or wide < 0.2 * width:
            return [list(everything)]
    return columns
