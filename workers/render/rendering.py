"""What opening and rendering a document means, whatever its format."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from PIL import Image

from jobs.results import PageImage, Warning_
from workers.textlayer.glyphs import TextLayer

Drawn = Callable[[int, int], tuple[int, int]]
"""Width and height of a page in pixels -> those at which it may be drawn, where nobody needs them all; never more."""


def fully(width: int, height: int) -> tuple[int, int]:
    """All of its pixels."""
    return width, height


class Rendering(NamedTuple):
    """A page's pixels (mode RGB), what they are, and what a reader of the result should know."""

    pixels: Image.Image
    info: PageImage
    warnings: tuple[Warning_, ...]


class Document(Protocol):
    """An open document. Page numbers are 1-based."""

    page_count: int
    encrypted: bool
    """Whether a password was needed to open it."""

    def render(self, number: int, dpi: int, max_pixels: int, drawn: Drawn = fully) -> Rendering:
        """The page at `dpi` (images: at their own size), scaled down to `max_pixels` where it would be larger.

        With `drawn`, what can be drawn in any size (PDF) has so many pixels instead, and `info` tells of all of them.
        Nothing is allocated before the size is known to be allowed. Raises PageTooLarge, PageRenderFailed.
        """

    def text_layer(self, number: int, width: int, height: int) -> TextLayer | None:
        """The page's own text on its image of that many pixels; None where the format has none.

        Raises PageRenderFailed.
        """

    def close(self) -> None: ...
