"""A PDF page read from its own text: whether that can be trusted, and its lines in the place of recognised ones.

`auto` wants to be sure of four things, cheapest first: there is text that can be seen; its codes mean something; what
it says is what is drawn (a few lines are read and compared, one for each font, because encodings break font by font);
and nothing written on the page is missing from it (where ink outside of it or a picture gives reason to look, the
detector says where text is). docs/decisions/0004-text-layer.md argues each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jobs.errors import PageRenderFailed, TextLayerMissing
from jobs.options import TextSource
from jobs.results import LayerDoubt, PageText, Warning_
from workers.engines.base import RenderedPage
from workers.engines.rapidocr.coverage import missing, suspicious
from workers.engines.rapidocr.geometry import Box, Region
from workers.engines.rapidocr.orientation import Turn
from workers.engines.rapidocr.recognition import ReadLine
from workers.engines.rapidocr.upright import UprightLayer, as_read, box_of, set_upright
from workers.engines.rapidocr.witness import disagreement, readable_part, scan_disagreement
from workers.textlayer.encoding import MOST_BROKEN, REPLACEMENT, broken_part
from workers.textlayer.glyphs import MAX_GLYPHS, Rect, TextLayer
from workers.textlayer.lines import TextLine, text_lines
from workers.textlayer.sight import seen

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Pixels = NDArray[np.uint8]

Step = Callable[[str], AbstractContextManager[None]]

# A line with more broken characters than this is read by OCR instead.
BROKEN_LINE = 0.3
# Characters below which hidden text is not worth a warning: stray marks of layout programs.
MUCH_HIDDEN = 10
# The part of the text on a page that the layer may lack; that little is read by OCR and added.
MOST_MISSING = 0.3
# A layer is used in spite of a doubt where less of its text than this is in the recogniser's alphabet, and no more of
# it is broken than that.
MOSTLY_READABLE = 0.5
WORST_BROKEN = 0.2
# Lines that are looked at to say that a page without a layer shows text, and the score of one that is text; it has more
# than one letter, as which a square or a circle may be read.
LOOK_AT = 5
SURELY_TEXT = 0.7


@dataclass(frozen=True, slots=True)
class Eyes:
    """What the models see on an image (BGR)."""

    regions: Callable[[Pixels], list[Region]]
    quads: Callable[[Pixels, Sequence[Region]], NDArray[np.float32]]
    """Where text is, (n, 4, 2)."""
    read: Callable[[Pixels, NDArray[np.float32]], list[ReadLine]]
    alphabet: frozenset[str]
    """The characters that are read."""


class LayerPage(NamedTuple):
    """A page read from its layer, set upright by `turn`."""

    turn: Turn
    pixels: Image.Image
    image: Pixels
    """The same in BGR."""
    regions: list[Region]
    lines: list[ReadLine]
    aside: list[tuple[Box, str]]
    """Text that runs askew over the page: water marks, labels of axes."""
    text: PageText


class _Found(NamedTuple):
    """What can be seen of a layer."""

    lines: list[TextLine]
    scan: bool
    """Most of it is the invisible text of a scan."""
    broken: float
    hidden: int
    pictures: Sequence[Rect]


def read_layer(rendered: RenderedPage, mode: TextSource, eyes: Eyes, step: Step) -> LayerPage | PageText:
    """The page from its layer; or that it is to be read by OCR, and why.

    Raises TextLayerMissing where the layer was asked for, there is none, and the page shows text.
    """
    if mode == "ocr":
        return PageText(source="ocr")
    with step("text_layer"):
        found = _look(rendered)
    if mode == "layer":
        return _as_asked(found, rendered, eyes, step)
    return _if_trusted(found, rendered, eyes, step)


def _look(rendered: RenderedPage) -> _Found | LayerDoubt:
    try:
        layer = rendered.text_layer()
    except PageRenderFailed as error:
        return LayerDoubt(code="unreadable", detail=error.detail)
    if layer is None:
        return LayerDoubt(code="absent", detail="images have no text layer")
    if layer.size > MAX_GLYPHS:
        return LayerDoubt(code="too_large", detail=f"it has {layer.size} characters, more than {MAX_GLYPHS}")
    return _visible(layer, rendered)


def _visible(layer: TextLayer, rendered: RenderedPage) -> _Found | LayerDoubt:
    drawn, invisible, hidden = seen(layer.glyphs, rendered.pixels, rendered.info.dpi)
    scan = len(invisible) > len(drawn)
    glyphs = [*drawn, *invisible] if scan else drawn
    letters = [glyph for glyph in glyphs if not glyph.text.isspace()]
    if not letters:
        what = f"none of its {hidden} characters can be seen" if hidden else "the page has no text of its own"
        return LayerDoubt(code="hidden" if hidden else "absent", detail=what)
    return _Found(
        lines=text_lines(glyphs),
        scan=scan,
        broken=broken_part(letters),
        hidden=hidden,
        pictures=layer.pictures,
    )


# --- asked for: no questions


def _as_asked(found: _Found | LayerDoubt, rendered: RenderedPage, eyes: Eyes, step: Step) -> LayerPage:
    if isinstance(found, LayerDoubt):
        return _without_layer(found, rendered, eyes, step)
    layer = set_upright(found.lines, rendered.pixels)
    with step("layout"):
        regions = eyes.regions(layer.image)
    scan = LayerDoubt(code="scan_layer", detail="it is invisible: what another program read in a scan")
    text = PageText(source="layer", doubt=_broken(found) or (scan if found.scan else None), hidden=found.hidden)
    return _page(layer, regions, [*map(as_read, layer.lines)], text)


def _without_layer(doubt: LayerDoubt, rendered: RenderedPage, eyes: Eyes, step: Step) -> LayerPage:
    """Nothing is wrong with a page that shows no text either: an empty one, a plate."""
    layer = set_upright((), rendered.pixels)
    with step("layout"):
        regions = eyes.regions(layer.image)
    with step("detect"):
        quads = eyes.quads(layer.image, ())
    largest = sorted(quads, key=lambda quad: -float(np.prod(np.ptp(quad, axis=0))))[:LOOK_AT]
    read = eyes.read(layer.image, np.stack(largest)) if largest else []
    if any(line.score >= SURELY_TEXT and sum(map(str.isalnum, line.text)) > 1 for line in read):
        detail = f"{doubt.detail}, and it shows {len(quads)} line(s): ask for text=auto or text=ocr"
        raise TextLayerMissing(detail, actual=doubt.code)
    return _page(layer, regions, [], PageText(source="layer", doubt=doubt))


def _page(layer: UprightLayer, regions: list[Region], lines: list[ReadLine], text: PageText) -> LayerPage:
    aside = [(box_of(line), line.text) for line in layer.aside]
    return LayerPage(layer.turn, layer.pixels, layer.image, regions, lines, aside, text)


def told(layer: LayerPage | PageText) -> tuple[PageText, tuple[Warning_, ...], list[tuple[Box, str]]]:
    """What the page's result says of its layer: which way was taken, warnings, and what runs askew over the page."""
    if isinstance(layer, PageText):
        return layer, (), []
    text = layer.text
    warnings: list[Warning_] = []
    if text.hidden >= MUCH_HIDDEN:
        detail = f"{text.hidden} characters of the text layer cannot be seen on the page and are left out"
        warnings.append(Warning_(code="hidden_text", detail=detail))
    if text.doubt is not None and text.doubt.code in ("broken_encoding", "scan_layer"):
        warnings.append(Warning_(code="text_layer_doubtful", detail=text.doubt.detail))
    return text, tuple(warnings), layer.aside


def _broken(found: _Found) -> LayerDoubt | None:
    if found.broken <= MOST_BROKEN:
        return None
    detail = f"{found.broken:.0%} of its characters mean nothing: its fonts do not say what their glyphs stand for"
    return LayerDoubt(code="broken_encoding", detail=detail)


# --- auto: where it can be trusted


def _if_trusted(found: _Found | LayerDoubt, rendered: RenderedPage, eyes: Eyes, step: Step) -> LayerPage | PageText:
    if isinstance(found, LayerDoubt):
        return PageText(source="ocr", doubt=found)
    doubt = _broken(found)
    if doubt and not _ocr_is_worse(found, eyes):
        return PageText(source="ocr", doubt=doubt, hidden=found.hidden)
    layer = set_upright(found.lines, rendered.pixels)
    with step("compare"):
        doubt = doubt or _compared(found, layer, eyes)
    if doubt and not _ocr_is_worse(found, eyes):
        return PageText(source="ocr", doubt=doubt, hidden=found.hidden)
    with step("layout"):
        regions = eyes.regions(layer.image)
    sound = [line for line in layer.lines if line.text.count(REPLACEMENT) <= BROKEN_LINE * len(line.text)]
    with step("cover"):
        added = _added(found, layer, sound, regions, eyes)
    if isinstance(added, LayerDoubt):
        return PageText(source="ocr", doubt=added, hidden=found.hidden)
    text = PageText(source="layer", doubt=doubt, ocr_lines=len(added), hidden=found.hidden)
    return _page(layer, regions, [*map(as_read, sound), *added], text)


def _ocr_is_worse(found: _Found, eyes: Eyes) -> bool:
    """A doubtful layer in a script that the recogniser does not know is better than its guesses."""
    text = "".join(line.text for line in found.lines)
    return readable_part(text, eyes.alphabet) < MOSTLY_READABLE and found.broken <= WORST_BROKEN


def _compared(found: _Found, layer: UprightLayer, eyes: Eyes) -> LayerDoubt | None:
    def read(lines: Sequence[TextLine]) -> list[tuple[str, float]]:
        quads = np.stack([as_read(line).quad for line in lines])
        return [(line.text, line.score) for line in eyes.read(layer.image, quads)]

    if found.scan:
        why = scan_disagreement(layer.lines, read, eyes.alphabet)
        return LayerDoubt(code="scan_layer", detail=f"it is the invisible text of a scan: {why}") if why else None
    why = disagreement(layer.lines, read, eyes.alphabet)
    return LayerDoubt(code="mismatch", detail=why) if why else None


def _added(
    found: _Found, layer: UprightLayer, sound: Sequence[TextLine], regions: Sequence[Region], eyes: Eyes
) -> list[ReadLine] | LayerDoubt:
    """Lines that the layer lacks, read by OCR; or that there are too many of them."""
    boxes = [box_of(line) for line in (*sound, *layer.aside)]
    pictures = [Box(*picture) for picture in found.pictures]
    if len(sound) == len(layer.lines) and not suspicious(layer.image, boxes, regions, pictures):
        return []
    lacking = missing(eyes.quads(layer.image, regions), boxes, regions, layer.pixels.size)
    if lacking.part > MOST_MISSING:
        return LayerDoubt(code="incomplete", detail=f"it lacks {lacking.part:.0%} of the text that is seen on the page")
    if not len(lacking.quads):
        return []
    return [line for line in eyes.read(layer.image, lacking.quads) if line.score >= SURELY_TEXT and line.text.strip()]
