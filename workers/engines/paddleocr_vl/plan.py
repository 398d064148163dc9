"""Regions of a page -> what is to be read, and what becomes of it. Pure geometry: no pixels are needed.

A `PagePlan` is small and picklable: the engine makes it, the render process cuts the crops it names, the model answers
them in any order, and `blocks.assemble_page` puts plan and answers together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import cast

from jobs.options import VlOptions, VlTask
from workers.engines.paddleocr_vl.overlaps import without_overlaps
from workers.engines.paddleocr_vl.regions import Box, Polygon, Region
from workers.engines.paddleocr_vl.resize import TASK_BOUNDS, PixelBounds
from workers.engines.paddleocr_vl.stacking import Placed, Stack, stacked
from workers.engines.paddleocr_vl.tokens import SMALLEST_PAINTED, numbered_figures, shown_in_tables

IMAGE_LABELS: frozenset[str] = frozenset({"image", "header_image", "footer_image"})


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the page and where its top left corner lies in the crop."""

    box: Box
    x: int = 0
    y: int = 0
    polygon: Polygon | None = None
    """Pixels outside it become white."""


@dataclass(frozen=True, slots=True)
class Token:
    """A figure inside a table, to be painted over with its name. The box is relative to the crop."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class CropRequest:
    """One image that the model is to read."""

    task: VlTask
    bounds: PixelBounds
    size: tuple[int, int]
    """Width and height of the crop before margins are cut and sizes set right."""
    pieces: tuple[Piece, ...]
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedBlock:
    """One region that is read or shown, in the order in which blocks are given out."""

    region: Region
    source: int
    """Index of its region after those that lie over each other were dropped."""
    request: int | None = None
    """Index of the crop that holds its text; None for figures and for blocks that are read with their group's first."""
    group: int | None = None
    """`source` of the first block that it is read with, its own where it is read alone; None where it is never read
    with others (PaddleX `group_id`)."""
    figure: str | None = None
    """Name of the file that its picture gets."""
    inside_table: bool = False
    """It is shown inside a table and is no block of its own."""
    shown: Mapping[str, int] = field(default_factory=dict)
    """Of a table: tokens and the indices, in the plan, of the figures that they stand for."""


@dataclass(frozen=True, slots=True)
class PagePlan:
    """All of one page."""

    number: int
    width: int
    height: int
    blocks: tuple[PlannedBlock, ...]
    requests: tuple[CropRequest, ...]


def plan_page(
    regions: Sequence[Region], *, number: int, width: int, height: int, options: VlOptions, figures: bool = True
) -> PagePlan:
    """What to read of a page of `width` x `height` pixels whose layout is `regions` (in reading order).

    `figures`: whether pictures of figures are kept. A page without regions has an empty plan.
    """
    read = without_overlaps(regions)
    routes = Routes.of(options)
    if options.merge_blocks:
        placed = stacked(read, routes.unread | {"table"})
    else:
        placed = [Placed(i, None) for i in range(len(read))]
    names = numbered_figures(regions)
    hidden = shown_in_tables(read, names)
    blocks = [_block(turn, read, routes, hidden) for turn in placed]
    if figures:
        blocks = _named(blocks, routes, number)
    return _with_requests(_Page(number, width, height), blocks, placed, read, routes, _painted(read, names))


def plan_whole_page(*, number: int, width: int, height: int, options: VlOptions) -> PagePlan:
    """One block, one crop: the page itself, read by `options.whole_page_task` (layout `none`)."""
    task = options.whole_page_task or "ocr"
    region = Region(task, Box(0, 0, width, height))
    request = CropRequest(task, _bounds(task, options), (width, height), (Piece(region.box),))
    return PagePlan(number, width, height, (PlannedBlock(region, 0, request=0, group=0),), (request,))


@dataclass(frozen=True, slots=True)
class Routes:
    """Which labels are read by which task, and which are figures."""

    options: VlOptions
    unread: frozenset[str]
    """Only shown."""
    figures: frozenset[str]
    """Shown, whether read or not."""

    @classmethod
    def of(cls, options: VlOptions) -> Routes:
        chart = frozenset() if options.charts else frozenset({"chart"})
        seal = frozenset() if options.seals else frozenset({"seal"})
        images = frozenset() if options.image_text else IMAGE_LABELS
        return cls(options, images | chart | seal, IMAGE_LABELS | {"seal"} | chart)

    def task(self, label: str) -> VlTask | None:
        """The task that reads a region with this label; None where it is not read."""
        if label in self.unread:
            return None
        if label in ("table", "chart", "seal"):
            return cast("VlTask", label)
        return "formula" if "formula" in label and label != "formula_number" else "ocr"


def _bounds(task: VlTask, options: VlOptions) -> PixelBounds:
    own = options.pixels.get(task)
    return PixelBounds(own.min, own.max) if own else TASK_BOUNDS[task]


@dataclass(frozen=True, slots=True)
class _Page:
    number: int
    width: int
    height: int


def _block(turn: Placed, regions: Sequence[Region], routes: Routes, hidden: Collection[int]) -> PlannedBlock:
    region = regions[turn.region]
    group = None if turn.stack is None else turn.stack.members[0]
    inside = turn.region in hidden and region.label in routes.figures
    return PlannedBlock(region, turn.region, group=group, inside_table=inside)


def _named(blocks: Sequence[PlannedBlock], routes: Routes, number: int) -> list[PlannedBlock]:
    """Names hold the page's number, so that they are unique in the document."""
    counter = count(1)
    return [
        replace(block, figure=f"page-{number:04d}-figure-{next(counter)}.jpg")
        if block.region.label in routes.figures
        else block
        for block in blocks
    ]


def _painted(regions: Sequence[Region], names: Mapping[tuple[str, Box], str]) -> dict[str, int]:
    """Figures that are large enough to carry their token, and that are there to be shown in its place."""
    painted = {}
    for i, region in enumerate(regions):
        name = names.get((region.label, region.box))
        if name is not None and min(region.box.width, region.box.height) >= SMALLEST_PAINTED:
            painted[name] = i
    return painted


def _with_requests(
    page: _Page,
    blocks: Sequence[PlannedBlock],
    placed: Sequence[Placed],
    regions: Sequence[Region],
    routes: Routes,
    painted: Mapping[str, int],
) -> PagePlan:
    index_of = {block.source: i for i, block in enumerate(blocks)}
    planned: list[PlannedBlock] = []
    requests: list[CropRequest] = []
    for block, turn in zip(blocks, placed, strict=True):
        task = routes.task(block.region.label)
        if task is None or (turn.stack is not None and turn.stack.members[0] != turn.region):
            planned.append(block)
            continue
        tokens: tuple[Token, ...] = ()
        shown: dict[str, int] = {}
        if task == "table":
            inside = {name: i for name, i in painted.items() if block.region.box.contains(regions[i].box)}
            tokens = tuple(Token(name, _relative(regions[i].box, block.region.box)) for name, i in inside.items())
            shown = {name: index_of[i] for name, i in inside.items()}
        planned.append(replace(block, request=len(requests), shown=shown))
        size, pieces = _pieces(turn, regions, routes.options)
        requests.append(CropRequest(task, _bounds(task, routes.options), size, pieces, tokens))
    return PagePlan(page.number, page.width, page.height, tuple(planned), tuple(requests))


def _pieces(turn: Placed, regions: Sequence[Region], options: VlOptions) -> tuple[tuple[int, int], tuple[Piece, ...]]:
    stack = turn.stack or Stack((turn.region,))
    pieces = []
    for member, (x, y) in zip(stack.members, stack.corners(regions), strict=True):
        region = regions[member]
        pieces.append(Piece(region.box, x, y, region.polygon if options.polygons else None))
    return stack.size(regions), tuple(pieces)


def _relative(box: Box, outer: Box) -> Box:
    return Box(box.x1 - outer.x1, box.y1 - outer.y1, box.x2 - outer.x1, box.y2 - outer.y1)
