"""Figures inside tables: the model reads a token such as `[F2]` in their place, and the table shows them there.

Source: PaddleX 3.7.2, `paddleocr_vl/uilts.py` (`tokenize_figure_of_table`, `untokenize_figure_of_table`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from itertools import count, islice

from workers.engines.paddleocr_vl.regions import Box, Region

SMALLEST_PAINTED = 25
"""Pixels of the shorter side from which a figure carries a token; smaller ones just vanish into the table."""
_SEED = 1024
_TAKEN_FOR_LETTERS = frozenset("019")
_TOKEN = re.compile(r"\[F(\d+)\]")
_FIGURES = frozenset({"image", "seal"})


def numbered_figures(regions: Sequence[Region]) -> dict[tuple[str, Box], str]:
    """The token of each figure of a page, by label and box: `[F2]`, … without 0, 1 and 9, in shuffled order.

    `regions`: all, before those that lie over each other are dropped.
    """
    figures = [(region.label, region.box) for region in regions if region.label in _FIGURES]
    numbers = list(islice((n for n in count() if not _TAKEN_FOR_LETTERS & set(str(n))), len(figures)))
    random.Random(_SEED).shuffle(numbers)  # noqa: S311 - the order PaddleX has; nothing secret
    return {figure: f"[F{number}]" for figure, number in zip(figures, numbers, strict=True)}


def shown_in_tables(regions: Sequence[Region], figures: Mapping[tuple[str, Box], str]) -> frozenset[int]:
    """Indices of the figures that lie wholly in a table, large enough for a token or not."""
    tables = [region.box for region in regions if region.label == "table"]
    return frozenset(
        i
        for i, region in enumerate(regions)
        if (region.label, region.box) in figures and any(table.contains(region.box) for table in tables)
    )


def without_tokens(text: str, shown: Mapping[str, str]) -> str:
    """`text` with each token replaced by what stands for it in `shown`; others stay."""
    return _TOKEN.sub(lambda match: shown.get(match[0], match[0]), text)
