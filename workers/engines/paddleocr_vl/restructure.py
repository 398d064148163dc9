"""What concerns several pages of a document: tables that go on, levels of titles.

Pages are seen twice, so that a long document is never in memory: `observe` every page in order, then `applied` to each.
Source: PaddleX 3.7.2, `paddleocr_vl/pipeline.py` (`restructure_pages`).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from jobs.options import VlOptions, page_options
from jobs.results import Block, BlockPlace, PageResult
from workers.engines.paddleocr_vl.table_merge import Join, Table, TableChain, page_tables
from workers.engines.paddleocr_vl.title_levels import Title, title_levels

HIGHEST, DEEPEST = 2, 6
"""Heading levels of a `paragraph_title`; 1 is the document's own."""

Place = tuple[int, int]
"""Page number and order of a block."""


def restructuring(options: dict[str, Any]) -> Restructuring | None:
    """By a job's options, as stored; None where they want neither."""
    own = page_options(options).paddleocr_vl or VlOptions()
    if not (own.merge_tables or own.title_levels):
        return None
    return Restructuring(tables=own.merge_tables, titles=own.title_levels)


class Restructuring:
    """Sees a document's pages in order and says what changes. A `workers.engines.base.Whole`."""

    def __init__(self, *, tables: bool, titles: bool) -> None:
        self._tables = TableChain() if tables else None
        self._titles: dict[Place, Title] | None = {} if titles else None

    def observe(self, number: int, page: PageResult | None) -> None:
        """The next page; no table goes on over one that has no result."""
        blocks = sorted(page.blocks, key=lambda block: block.order) if page else []
        if self._tables is not None:
            self._tables.add(number, page_tables([(b.label, _table(number, b)) for b in blocks]))
        if self._titles is not None:
            self._titles |= {
                (number, b.order): Title(b.content, *_size(b)) for b in blocks if b.label == "paragraph_title"
            }

    def applied(self, page: PageResult) -> PageResult:
        """The page as the document has it, once all were observed."""
        blocks = tuple(self._changed((page.number, block.order), block) for block in page.blocks)
        if all(new is old for new, old in zip(blocks, page.blocks, strict=True)):
            return page
        return page.model_copy(update={"blocks": blocks})

    def _changed(self, place: Place, block: Block) -> Block:
        update: dict[str, Any] = {}
        if (join := self._joins.get(place)) is not None:
            update["content"] = join.html
            if join.into is not None:
                update["continues"] = BlockPlace(page=join.into[0], order=join.into[1])
        if (level := self._levels.get(place)) is not None:
            update["level"] = level
        return block.model_copy(update=update) if update else block

    @cached_property
    def _joins(self) -> dict[Place, Join]:
        return {} if self._tables is None else self._tables.joins()

    @cached_property
    def _levels(self) -> dict[Place, int]:
        titles = self._titles or {}
        levels = title_levels(list(titles.values()))
        return {place: min(max(level + 1, HIGHEST), DEEPEST) for place, level in zip(titles, levels, strict=True)}


def _table(number: int, block: Block) -> Table | None:
    return Table(number, block.order, _size(block)[0], block.content) if block.label == "table" else None


def _size(block: Block) -> tuple[int, int]:
    x1, y1, x2, y2 = block.bbox
    return x2 - x1, y2 - y1
