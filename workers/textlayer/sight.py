"""What somebody who looks at the page can see of its text layer.

White text on white, text of one pixel, text under a black bar, outside of a clip or in a switched-off layer is in the
PDF and not on the page. It is not what the page says (some is put there to be read by machines only), so it is left out
and counted, whoever asked for the layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from workers.textlayer.glyphs import Colour, Glyph, Rect

if TYPE_CHECKING:
    from PIL import Image

CONTRAST = 24
"""Of 255: letters that differ less from their ground in every channel are not seen (1.2:1 on white; WCAG asks 3:1 for
large text, a water mark has about 1.3:1)."""
SMALLEST = 1.5
"""Points: smaller text is a smear at any resolution that reads pages. Small print has 4, figures 3."""
LONGEST = 16
"""Glyphs judged together: a word, so that a full stop has some ground around it."""

_BEYOND_WESTERN = 0x2000


class Seen(NamedTuple):
    """The glyphs of a layer by what can be seen of them."""

    drawn: list[Glyph]
    """Drawn by the PDF, and there."""
    invisible: list[Glyph]
    """Not drawn by the PDF, but lying on something drawn: the text layer of a scan."""
    hidden: int
    """Characters of those that nobody can see, spaces not counted."""


def seen(glyphs: Sequence[Glyph], pixels: Image.Image, dpi: float) -> Seen:
    """Tell the glyphs apart by the page's image (mode RGB) at that resolution."""
    drawn: list[Glyph] = []
    invisible: list[Glyph] = []
    hidden = 0
    for word in _words(glyphs):
        if not _is_seen(word, pixels, dpi):
            hidden += sum(len(glyph.text) for glyph in word if not glyph.text.isspace())
        else:
            (drawn if word[0].style.shows else invisible).extend(word)
    return Seen(drawn, invisible, hidden)


def _words(glyphs: Sequence[Glyph]) -> Iterable[list[Glyph]]:
    """Runs of one style up to and with the space behind them."""
    word: list[Glyph] = []
    for glyph in glyphs:
        if word and (word[-1].text.isspace() or len(word) >= LONGEST or not _neighbours(word[-1], glyph)):
            yield word
            word = []
        word.append(glyph)
    if word:
        yield word


def _neighbours(before: Glyph, after: Glyph) -> bool:
    reach = 2 * before.style.em
    return before.style is after.style and abs(after.x - before.x) <= reach and abs(after.y - before.y) <= reach


def _is_seen(word: Sequence[Glyph], pixels: Image.Image, dpi: float) -> bool:
    letters = [glyph for glyph in word if not glyph.text.isspace()]
    style = word[0].style
    if not letters:
        return True
    if style.em * 72 / dpi < SMALLEST:
        return False
    box = _around([glyph.box for glyph in letters], pixels)
    if box is None:
        return False
    part = pixels.crop(box)
    extrema = part.getextrema()
    if max(high - low for low, high in extrema) < CONTRAST:  # type: ignore[misc]
        return _lacks_font(letters, part)
    # Where a seen line lies in the same place there is contrast, but not of this text's making.
    return style.colour is None or not style.shows or any(_differ(style.colour, ground) for ground in _grounds(part))


def _lacks_font(letters: Sequence[Glyph], part: Image.Image) -> bool:
    """Whether nothing is there only because this machine has no font for it, which another machine would have.

    pdfium brings fonts for Western text along; Han, Arabic and so on it draws with fonts of the system or not at all.
    """
    style = letters[0].style
    western = all(ord(char) < _BEYOND_WESTERN for glyph in letters for char in glyph.text)
    if style.embedded or western or not style.shows or style.colour is None:
        return False
    return all(_differ(style.colour, ground) for ground in _grounds(part))


def _around(boxes: Sequence[Rect], pixels: Image.Image) -> tuple[int, int, int, int] | None:
    """The pixels around boxes with two more on each side; None outside of the image."""
    x0 = max(0, int(min(box[0] for box in boxes)) - 2)
    y0 = max(0, int(min(box[1] for box in boxes)) - 2)
    x1 = min(pixels.width, int(max(box[2] for box in boxes)) + 3)
    y1 = min(pixels.height, int(max(box[3] for box in boxes)) + 3)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _grounds(part: Image.Image) -> Iterator[Colour]:
    """What the text may stand on: the middle colour of the upper and lower edge, and that of the whole box.

    Rules of a table may run along the edges, and a dash or a square fills its box: not both.
    """
    data = part.tobytes()
    row = 3 * part.width
    yield _middle(data[:row] + data[-row:])
    yield _middle(data)


def _middle(pixels: bytes) -> Colour:
    red, green, blue = (int(median(pixels[channel::3])) for channel in range(3))
    return red, green, blue


def _differ(one: Colour, other: Colour) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) >= CONTRAST
