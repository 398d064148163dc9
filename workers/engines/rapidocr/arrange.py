"""Lines and regions to blocks in reading order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from jobs.results import FURNITURE, Label
from jobs.wording import HYPHENS, words_seen
from workers.engines.rapidocr import flow, headings, labels
from workers.engines.rapidocr.geometry import Box, Line, Region, line_height, mean_score, union
from workers.engines.rapidocr.grids import Grid, filled
from workers.engines.rapidocr.listings import listing_text, listings
from workers.engines.rapidocr.order import reading_order, split_columns
from workers.engines.rapidocr.paragraphs import Row, join_rows, paragraphs, pitch, rows
from workers.engines.rapidocr.pieces import RUNNING, TITLES, Piece, row_height
from workers.engines.rapidocr.tables import table_html

# A line belongs to a region that holds at least this part of it.
HELD = 0.5
# A figure is none when text covers this part of it, or when it covers this part of the page and holds that many lines:
# the layout model takes many a scanned page for one figure, and its text must not be lost.
FIGURE_TEXT = 0.3
FIGURE_PAGE = 0.5
FIGURE_LINES = 10
# Regions that cover each other by this part are one, of two kinds; that it is a title counts so much more, because the
# model is seldom sure of titles that are not set in bold.
TWIN = 0.8
TITLE_BONUS = 0.2
# In line heights: how far below a title its text begins at most, and how deep its neighbours may reach into its height.
ABOVE = 2.0
LEAST_BESIDE = 0.3

_WHOLE: frozenset[Label] = frozenset({"paragraph_title", "figure_title", "header", "footer"})
_LATEX = str.maketrans({
    "\\": r"\textbackslash ", "{": r"\{", "}": r"\}", "$": r"\$", "%": r"\%", "#": r"\#", "&": r"\&", "_": r"\_",
    "^": r"\textasciicircum ", "~": r"\textasciitilde ",
})  # fmt: skip


def arrange(
    lines: Sequence[Line],
    regions: Sequence[Region],
    grids: Mapping[Region, Grid] = MappingProxyType({}),
    *,
    number: int,
    width: float,
    height: float,
) -> list[Piece]:
    """The page's blocks in reading order.

    `grids`: cells of those of the regions that are tables; `number`: the page's (only page 1 has a document title);
    `width`, `height`: of its image in pixels. Every line is in exactly one piece; regions without text vanish, but for
    figures.
    """
    lines = sorted(lines, key=lambda line: (line.box, line.text))
    unit = line_height(lines)
    settled = settle(regions, lines, unit)
    vertical = [line for line in lines if labels.is_vertical(line.box, line.text)]
    code = [group for group in listings(lines, settled) if not any(line in vertical for line in group)]
    elsewhere = {id(line) for line in vertical} | {id(line) for group in code for line in group}
    held, loose = assign([line for line in lines if id(line) not in elsewhere], settled)
    print_ = _Print(unit, words_seen(line.text for line in lines), headings.title_fonts(lines), grids)
    pieces = [Piece(labels.vertical_label(v.box, width), v.box, v.text, v.score) for v in vertical]
    pieces += [_listing(group) for group in code]
    for index, region in enumerate(settled):
        pieces += _pieces(region, held[index], print_)
    for group in loose_groups(loose, unit):
        pieces += _loose_pieces(group, lines, print_, height)
    pieces = flow.with_running_heads(_with_some_text(pieces), unit, height)
    pieces = flow.with_sure_titles(flow.without_beginnings(pieces, print_.known), unit)
    pieces = _with_document_title(pieces, unit, height) if number == 1 else pieces
    pieces = flow.with_levels(flow.without_authors(pieces))
    pieces = _ordered(flow.with_footnotes(_with_some_text(pieces), height), unit, height)
    return _grown(flow.continued(pieces), lines)


@dataclass(frozen=True, slots=True)
class _Print:
    """What is typical of the page's text."""

    unit: float
    """Line height in pixels."""
    known: frozenset[str]
    """Words, see `words_seen`."""
    fonts: frozenset[int]
    """Those of titles, see `title_fonts`."""
    grids: Mapping[Region, Grid]


def _grown(pieces: Sequence[Piece], lines: Sequence[Line]) -> list[Piece]:
    """Boxes around all of their leaning lines."""
    inked = [line for line in lines if line.ink is not None]
    grown = []
    for piece in pieces:
        own = [line.outline for line in inked if line.box.inside(piece.box) > 0.99]
        grown.append(replace(piece, box=union([piece.box, *own])))
    return grown


def _with_some_text(pieces: list[Piece]) -> list[Piece]:
    """Heads, feet and numbers are left out of what is read, so where a page has no other text they are its text."""
    if any(p.label not in FURNITURE and p.label != "image" and p.content.strip() for p in pieces):
        return pieces
    return [replace(p, label="text") if p.label in FURNITURE else p for p in pieces]


def _ordered(pieces: Sequence[Piece], unit: float, height: float) -> list[Piece]:
    """Running heads first, feet last, columns between them undisturbed."""
    head: list[Piece] = []
    body: list[Piece] = []
    foot: list[Piece] = []
    for piece in sorted(pieces, key=lambda p: (p.box, p.label, p.content)):
        middle = (piece.box.y0 + piece.box.y1) / 2
        part = body if piece.label not in RUNNING else head if middle < 0.5 * height else foot
        part.append(piece)
    ordered = [[part[i] for i in reading_order(_extents(part, unit), unit)] for part in (head, body, foot)]
    return [*ordered[0], *ordered[1], *ordered[2]]


def _extents(pieces: Sequence[Piece], unit: float) -> list[Box]:
    """The pieces' boxes; a title's is as wide as what it stands above, unless something stands beside it there.

    A short title over both columns would else count as the left one's last piece.
    """
    boxes = [piece.box for piece in pieces]
    titles = [i for i, piece in enumerate(pieces) if piece.label in TITLES]
    for i in sorted(titles, key=lambda i: (-boxes[i].y0, boxes[i])):
        below = [b for b in boxes if b.y0 >= (boxes[i].y0 + boxes[i].y1) / 2 and b.shared_x(boxes[i])]
        nearest = min(below, key=lambda b: (b.y0, b), default=boxes[i])
        wide = boxes[i]._replace(x0=min(boxes[i].x0, nearest.x0), x1=max(boxes[i].x1, nearest.x1))
        beside = any(b.shared_x(wide) and b.shared_y(wide) > LEAST_BESIDE * unit for b in boxes if b != boxes[i])
        if nearest.y0 - wide.y1 <= ABOVE * unit and not beside:
            boxes[i] = wide
    return boxes


def settle(regions: Sequence[Region], lines: Sequence[Line], unit: float) -> list[Region]:
    """Regions without those inside a table or figure that is surer, and without figures that are text."""
    page_area = union([*(r.box for r in regions), *(line.box for line in lines)]).area if regions else 0.0
    kept: list[Region] = []
    for region in sorted(
        regions, key=lambda r: (-r.score - TITLE_BONUS * (r.label == "paragraph_title"), r.box, r.label)
    ):
        if region.label == "image" and _is_text(region.box, lines, page_area):
            continue
        if any(k.label in ("table", "image") and region.box.inside(k.box) > 0.8 for k in kept):
            continue
        if any(_are_twins(region, k) for k in kept):
            continue
        if region.box.width > 1 and region.box.height > 0.3 * unit:
            kept.append(region)
    return kept


def _are_twins(one: Region, other: Region) -> bool:
    """Two answers of the model for the same place, one of them a title."""
    labels_ = {one.label, other.label}
    if "paragraph_title" not in labels_ or not labels_ <= {"paragraph_title", "text", "figure_title"}:
        return False
    return min(one.box.inside(other.box), other.box.inside(one.box)) > TWIN


def assign(lines: Sequence[Line], regions: Sequence[Region]) -> tuple[dict[int, list[Line]], list[Line]]:
    """Lines by the index of their region, and those that have none. Tables win, then the smallest region."""
    held: dict[int, list[Line]] = defaultdict(list)
    loose: list[Line] = []
    for line in lines:
        candidates = [i for i, region in enumerate(regions) if line.box.inside(region.box) >= HELD]
        if candidates:
            held[min(candidates, key=lambda i: (regions[i].label != "table", regions[i].box.area, i))].append(line)
        else:
            loose.append(line)
    return held, loose


def loose_groups(lines: Sequence[Line], unit: float) -> list[list[Line]]:
    """Lines that no region holds, grouped by nearness: one below the other, or close side by side."""
    ordered = sorted(lines, key=lambda line: (line.box.y0, line.box, line.text))
    neighbours = [
        (i, j)
        for i, line in enumerate(ordered)
        for j in _until(ordered, i, line.box.y1 + 2 * unit)
        if _near(line.box, ordered[j].box)
    ]
    gutters = _gutters([(ordered[i].box, ordered[j].box) for i, j in neighbours], unit)
    group_of = list(range(len(ordered)))

    def root(i: int) -> int:
        while group_of[i] != i:
            group_of[i] = group_of[group_of[i]]
            i = group_of[i]
        return i

    for i, j in neighbours:
        if not _parted(ordered[i].box, ordered[j].box, gutters, unit):
            group_of[root(j)] = root(i)
    groups: dict[int, list[Line]] = defaultdict(list)
    for i, line in enumerate(ordered):
        groups[root(i)].append(line)
    return list(groups.values())


def _until(ordered: Sequence[Line], start: int, bottom: float) -> Iterable[int]:
    for j in range(start + 1, len(ordered)):
        if ordered[j].box.y0 > bottom:
            return
        yield j


def _gutters(pairs: Iterable[tuple[Box, Box]], unit: float) -> list[float]:
    """Where, on the x axis, three rows or more are interrupted at the same place: columns that nearly touch."""
    gaps = sorted(_gap_between(a, b) for a, b in pairs if _side_by_side(a, b) and min(a.width, b.width) > 4 * unit)
    return [gap for gap in gaps if sum(abs(gap - other) < 0.5 * unit for other in gaps) >= 3]


def _parted(a: Box, b: Box, gutters: Sequence[float], unit: float) -> bool:
    return _side_by_side(a, b) and any(abs(_gap_between(a, b) - gutter) < 0.5 * unit for gutter in gutters)


def _gap_between(a: Box, b: Box) -> float:
    return (max(a.x0, b.x0) + min(a.x1, b.x1)) / 2


def _side_by_side(a: Box, b: Box) -> bool:
    return a.shared_y(b) >= 0.5 * min(a.height, b.height)


def _near(a: Box, b: Box) -> bool:
    low, high = sorted((a.height, b.height))
    if high > 1.6 * low:
        return False
    if _side_by_side(a, b):
        return max(a.x0, b.x0) - min(a.x1, b.x1) < low
    return a.shared_x(b) >= 0.3 * min(a.width, b.width) and max(a.y0, b.y0) - min(a.y1, b.y1) < 0.8 * low


def _is_text(figure: Box, lines: Sequence[Line], page_area: float) -> bool:
    inside = [line for line in lines if line.box.inside(figure) >= HELD]
    if figure.area >= FIGURE_PAGE * page_area and len(inside) >= FIGURE_LINES:
        return True
    return sum(line.box.area for line in inside) > FIGURE_TEXT * figure.area


def _pieces(region: Region, lines: Sequence[Line], page: _Print) -> list[Piece]:
    if region.label == "image":
        return [Piece("image", region.box, _plain(lines), region.score)]
    if not lines:
        return []
    label = labels.corrected(region.label, _plain(lines, " "))
    if label == "table" and all(len(row.lines) == 1 for row in rows(lines)):
        label = "text"  # one column: the model takes notes below a table for one
    box = union(line.box for line in lines)
    if label == "table":
        grid = page.grids.get(region)
        html = (filled(grid, lines) if grid else None) or table_html(lines)
        return [Piece("table", union([box, region.box]), html, mean_score(lines))]
    if label == "display_formula":
        latex = f"\\text{{{_plain(lines, ' ').translate(_LATEX)}}}"
        return [Piece("display_formula", box, latex, mean_score(lines))]
    if label in _WHOLE and not _long_title(label, lines, page.unit):
        return [_whole(label, lines, page.known)]
    return _text_pieces("text" if label == "paragraph_title" else label, lines, page)


def _long_title(label: Label, lines: Sequence[Line], unit: float) -> bool:
    letters = sum(len(line.text) for line in lines)
    return label == "paragraph_title" and letters > labels.LONGEST_TITLE and line_height(lines) < 1.3 * unit


def _text_pieces(label: Label, lines: Sequence[Line], page: _Print) -> list[Piece]:
    """One piece a paragraph; columns that the region joined by mistake come one after the other."""
    pieces = []
    for column in split_columns([line.box for line in lines], page.unit):
        for is_title, run in headings.cut_headings(rows([lines[i] for i in column]), page.fonts, page.unit):
            if is_title:
                title = _whole("paragraph_title", [line for row in run for line in row.lines], page.known)
                pieces.append(replace(title, doubtful=True))
            else:
                pieces += [_paragraph(label, paragraph, page.known) for paragraph in paragraphs(run)]
    return pieces


def _listing(lines: Sequence[Line]) -> Piece:
    box, number = union(line.box for line in lines), len(rows(lines))
    height = row_height(lines)
    return Piece("algorithm", box, listing_text(lines), mean_score(lines), row_height=height, rows=number)


def _paragraph(label: Label, paragraph: Sequence[Row], known: frozenset[str]) -> Piece:
    members = [line for row in paragraph for line in row.lines]
    box, content = union(line.box for line in members), join_rows(paragraph, known)
    full = paragraph[-1].box.x1 > box.x1 - 1.5 * paragraph[-1].box.height
    return Piece(
        label,
        box,
        content,
        mean_score(members),
        row_height=row_height(members),
        rows=len(paragraph),
        pitch=pitch(paragraph),
        full=full and (len(paragraph) > 1 or content.endswith(HYPHENS)),
    )


def _whole(label: Label, lines: Sequence[Line], known: frozenset[str]) -> Piece:
    all_rows = rows(lines)
    content = join_rows(all_rows, known).replace("\n", " ")
    level = labels.title_level(content) if label == "paragraph_title" else None
    height = max(row.box.height for row in all_rows)
    return Piece(label, union(line.box for line in lines), content, mean_score(lines), level, height, len(all_rows))


def _loose_pieces(group: Sequence[Line], lines: Sequence[Line], page: _Print, height: float) -> list[Piece]:
    all_rows = rows(group)
    unit = page.unit
    if len(all_rows) == 1:
        box = all_rows[0].box
        outermost = all(line.box.y0 >= box.y0 - unit for line in lines) or all(
            line.box.y1 <= box.y1 + unit for line in lines
        )
        margin = labels.margin_label(all_rows[0].text, box, height, _gap(box, lines), unit, outermost=outermost)
        if margin:
            return [Piece(margin, box, all_rows[0].text, mean_score(group), row_height=box.height, rows=1)]
    number = len(all_rows) == 1 and labels.is_page_number(all_rows[0].text)
    if len(all_rows) <= 3 and min(row.box.height for row in all_rows) >= 1.5 * unit and not number:
        return [_whole("paragraph_title", group, page.known)]
    return _text_pieces("text", group, page)


def _gap(box: Box, lines: Iterable[Line]) -> float:
    """Pixels to the nearest text above or below; 0 where there is none at all."""
    gaps = [max(line.box.y0 - box.y1, box.y0 - line.box.y1) for line in lines if not line.box.shared_y(box)]
    return min((gap for gap in gaps if gap >= 0), default=0.0)


def _with_document_title(pieces: list[Piece], unit: float, height: float) -> list[Piece]:
    """The first page's largest title, where it is in the upper half and larger than the text."""
    titles = [
        i
        for i, p in enumerate(pieces)
        if p.label == "paragraph_title" and p.box.y0 < 0.5 * height and headings.depth(p.content) is None
    ]
    if not titles:
        return pieces
    largest = max(pieces[i].row_height for i in titles)
    best = min((i for i in titles if pieces[i].row_height > 0.9 * largest), key=lambda i: pieces[i].box.y0)
    if pieces[best].row_height < 1.25 * unit:
        return pieces
    return [replace(p, label="doc_title", level=1) if i == best else p for i, p in enumerate(pieces)]


def _plain(lines: Sequence[Line], separator: str = "\n") -> str:
    return separator.join(row.text for row in rows(lines))
