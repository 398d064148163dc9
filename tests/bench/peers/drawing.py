"""How large pages are drawn: as many pixels for everybody who can be told so. Without dependencies: peers' own too."""

from __future__ import annotations

import math

from tests.bench.peers.replies import CELL, MOST_IMAGE_TOKENS

DPI = 144
MOST_PIXELS = MOST_IMAGE_TOKENS * CELL * CELL
"""Of a page: what the server makes smaller anyway."""
LETTER = 612, 792
"""Points, for who has one scale for every page."""


def scale(width: float, height: float) -> float:
    """Pixels a point for a page of so many points: 144 dpi, or what leaves it MOST_PIXELS when both sides round up."""
    found = min(DPI / 72, (MOST_PIXELS / (width * height)) ** 0.5)
    while math.ceil(width * found) * math.ceil(height * found) > MOST_PIXELS:
        found -= 0.5 / max(width, height)
    return found
