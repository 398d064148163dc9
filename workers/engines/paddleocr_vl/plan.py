"""Regions of a page -> what is to be read, and what becomes of it. Pure geometry: no pixels are needed.

A `PagePlan` is small and picklable: the engine makes it, the render process cuts the crops it names, the model answers
them in any order, and `blocks.assemble_page` puts plan and answers together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.options import VlOptions, VlTask
from workers.engines.paddleocr_vl.regions import Box, Polygon, Region
from workers.engines.paddleocr_vl.resize import PixelBounds


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
    """One block of the page, in the order in which it is given out."""

    region: Region
    source: int
    """Index of its region after those that lie over each other were dropped."""
    request: int | None = None
    """Index of the crop that holds its text; None for figures and for blocks that are read with their group's first."""
    group: int | None = None
    """`source` of the first block that it is read with; its own where it is read alone; None where it never could be
    read with others (PaddleX `group_id`)."""
    figure: str | None = None
    """Name of the file that its picture gets."""
    token: str | None = None
    """Name under which it stands in a table; it is then no block of its own."""
    inside_table: bool = False


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
    raise NotImplementedError


def plan_whole_page(*, number: int, width: int, height: int, options: VlOptions) -> PagePlan:
    """One block, one crop: the page itself, read by `options.whole_page_task` (layout `none`)."""
    raise NotImplementedError
