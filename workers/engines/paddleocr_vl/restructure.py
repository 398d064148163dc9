"""What concerns several pages of a document: tables that go on, levels of titles.

Two passes, so that a long document is never in memory: `observe` every page in order, then `applied` to each again.
Source: PaddleX 3.7.2, `paddleocr_vl/pipeline.py` (`restructure_pages`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.results import Block, BlockPlace, PageResult
from workers.engines.paddleocr_vl.table_merge import Join, PageTables, Table, join_tables, page_tables
from workers.engines.paddleocr_vl.title_levels import Title, title_levels

HIGHEST, DEEPEST = 2, 6
"""Heading levels of a `paragraph_title`; 1 is the document's own."""

Place = tuple[int, int]
"""Page number and order of a block."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What the pages of a document learn from each other."""

    joins: Mapping[Place, Join] = field(default_factory=dict)
    levels: Mapping[Place, int] = field(default_factory=dict)

    def applied(self, page: PageResult) -> PageResult:
        """The page as the document has it; the same object where nothing changes."""
        blocks = tuple(self._changed(page.number, block) for block in page.blocks)
        if all(new is old for new, old in zip(blocks, page.blocks, strict=True)):
            return page
        return page.model_copy(update={"blocks": blocks})

    def _changed(self, number: int, block: Block) -> Block:
        place = (number, block.order)
        update: dict[str, Any] = {}
        if (join := self.joins.get(place)) is not None:
            update["content"] = join.html
            if join.into is not None:
                update["continues"] = BlockPlace(page=join.into[0], order=join.into[1])
        if (level := self.levels.get(place)) is not None:
            update["level"] = level
        return block.model_copy(update=update) if update else block


class Restructuring:
    """Sees a document's pages in order and says what changes."""

    def __init__(self, *, tables: bool, titles: bool) -> None:
        self._tables = tables
        self._titles = titles
        self._pages: list[PageTables] = []
        self._places: list[Place] = []
        self._found: list[Title] = []

    def observe(self, page: PageResult | None) -> None:
        """The next page; None for one that has no result, over which no table goes on."""
        if page is None:
            self._pages.append(PageTables(None, None))
            return
        blocks = sorted(page.blocks, key=lambda block: block.order)
        if self._tables:
            self._pages.append(page_tables(page.number, [(b.label, _table(page.number, b)) for b in blocks]))
        if self._titles:
            for block in blocks:
                if block.label == "paragraph_title":
                    self._places.append((page.number, block.order))
                    self._found.append(Title(block.content, *_size(block)))

    def changes(self) -> Changes:
        """What every page has to be changed by, once all were seen."""
        levels = [min(max(level + 1, HIGHEST), DEEPEST) for level in title_levels(self._found)]
        return Changes(join_tables(self._pages), dict(zip(self._places, levels, strict=True)))


def _table(number: int, block: Block) -> Table | None:
    return Table(number, block.order, _size(block)[0], block.content) if block.label == "table" else None


def _size(block: Block) -> tuple[int, int]:
    x1, y1, x2, y2 = block.bbox
    return x2 - x1, y2 - y1
