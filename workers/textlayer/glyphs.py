"""What is written where on a page. Coordinates are pixels of the page's image, y down; angles are radians clockwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Rect = tuple[float, float, float, float]
"""x0, y0, x1, y1"""

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Style:
    """What the glyphs of one text object share."""

    em: float
    """Size of the font in pixels of the image."""
    angle: float
    """Direction in which the text runs: 0 to the right, pi/2 downwards."""
    font: int
    """Names the font on this page."""
    embedded: bool
    """Whether the font is in the PDF; others are drawn with what the machine has, or not at all."""
    shows: bool
    """False where the page's instructions leave no mark: render mode 3, no opacity, or a picture drawn on top."""
    colour: Colour | None
    """What its letters are filled with; None where that is a pattern or where they are only outlined."""


class Glyph(NamedTuple):
    """One drawn glyph and what it stands for; several characters for a ligature, a space for a space."""

    text: str
    box: Rect
    """Around what is drawn."""
    cell: Rect
    """As wide as the glyph's advance, as high as the font."""
    x: float
    """Where it stands on its baseline."""
    y: float
    style: Style
    guessed: bool = False
    """The PDF does not say what it stands for: its code was taken for a character."""


@dataclass(frozen=True, slots=True)
class TextLayer:
    """The text of a page in the order the PDF draws it."""

    glyphs: tuple[Glyph, ...]
    """Those inside the page; what lies outside of its crop box is no part of it."""
    pictures: tuple[Rect, ...] = ()
    """Where raster images are drawn."""
    size: int = 0
    """Characters the layer has; above MAX_GLYPHS they are counted and not read."""


MAX_GLYPHS = 100_000
"""A page of small print has 10,000, a broadsheet newspaper 40,000."""
