"""A block before it has its place, and what all steps of arranging ask of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from jobs.results import Label
from workers.engines.rapidocr.geometry import Box, Line

TITLES: frozenset[Label] = frozenset({"doc_title", "paragraph_title"})
RUNNING: frozenset[Label] = frozenset({"header", "footer", "number"})
FLOATS: frozenset[Label] = frozenset({"image", "table", "figure_title", "footnote", "aside_text", "vertical_text"})


@dataclass(frozen=True, slots=True)
class Piece:
    """What `jobs.results.Block` says, with a box of floats."""

    label: Label
    box: Box
    content: str
    score: float | None
    level: int | None = None
    row_height: float = 0.0
    """Of its text, in pixels; 0 for tables and figures."""
    rows: int = 0
    pitch: float = 0.0
    """Median step from one of its rows to the next, in pixels: tells small print more surely than heights do."""
    full: bool = False
    """Its last row goes to the right margin, so that the text may go on elsewhere."""
    doubtful: bool = False
    """A title only if text follows below it."""
    goes_on_from: int | None = None
    """Place in the order of the piece whose paragraph goes on here."""


def row_height(lines: Sequence[Line]) -> float:
    """The typical height of these lines, long ones before short ones; 0 for none."""
    if not lines:
        return 0.0
    longest = sorted(lines, key=lambda line: (-len(line.text), line.box))[: max(1, (len(lines) + 1) // 2)]
    return median(line.box.height for line in longest)


def below(piece: Piece, pieces: Iterable[Piece]) -> list[Piece]:
    """The pieces of its column that stand below it, the nearest first."""
    under = [p for p in pieces if p is not piece and p.box.y0 >= _middle(piece.box) and p.box.shared_x(piece.box) > 0]
    return sorted(under, key=lambda p: (p.box.y0, p.box))


def _middle(box: Box) -> float:
    return (box.y0 + box.y1) / 2
