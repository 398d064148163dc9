"""A PDF page's own text, by pdfium's text API. Runs in render processes only.

pdfium gives characters in the order they are drawn, with the characters of right-to-left runs turned round; where they
stand on the page is all that is used of their order (workers/textlayer/lines.py).
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import pypdfium2.raw as pdfium_c

from workers.textlayer.direction import has_rtl
from workers.textlayer.glyphs import MAX_GLYPHS, Colour, Glyph, Rect, Style, TextLayer

MAX_OBJECTS = 50_000
"""Objects of a page that are looked through for pictures; maps and plots have more, of paths."""
MAX_DEPTH = 8
"""Forms inside forms that are looked into."""

# FPDFTextObj_GetTextRenderMode (public/fpdf_edit.h; PDF 32000-1, table 106): 3 shows nothing, 7 only clips.
_NO_MARK = frozenset({3, 7})
_FILLED_ONLY = 0
_HYPHEN = "-"
_FINE = 64  # FPDF_PageToDevice gives whole numbers, so pages are measured this much larger


class Matrix(NamedTuple):
    """x' = a x + c y + e, y' = b x + d y + f"""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    def point(self, x: float, y: float) -> tuple[float, float]:
        return self.a * x + self.c * y + self.e, self.b * x + self.d * y + self.f

    def rect(self, x0: float, y0: float, x1: float, y1: float) -> Rect:
        """The box around a rectangle's corners."""
        if self.b == self.c == 0.0:  # as on nearly every page, and each character has two boxes
            left, right = self.a * x0 + self.e, self.a * x1 + self.e
            top, bottom = self.d * y0 + self.f, self.d * y1 + self.f
            return min(left, right), min(top, bottom), max(left, right), max(top, bottom)
        points = [self.point(x, y) for x in (x0, x1) for y in (y0, y1)]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        return min(xs), min(ys), max(xs), max(ys)

    def after(self, first: Matrix) -> Matrix:
        """`first`, then this."""
        a, b = self.a * first.a + self.c * first.b, self.b * first.a + self.d * first.b
        c, d = self.a * first.c + self.c * first.d, self.b * first.c + self.d * first.d
        return Matrix(a, b, c, d, *self.point(first.e, first.f))


class _Drawn(NamedTuple):
    """What else is on the page: when each text is drawn, and which pictures are drawn when and where."""

    turns: dict[int, int]
    """Address of a text object -> its turn"""
    pictures: list[tuple[int, Rect, bool]]
    """turn, place, whether it covers what is below"""


def read_text_layer(page: Any, to_image: Matrix, width: int, height: int) -> TextLayer:
    """The text of an open page, on its image of that many pixels, to which the matrix leads (see `image_matrix`).

    A layer of more than MAX_GLYPHS characters is counted and not read. What pdfium takes for one page is bounded like
    rendering it: by the deadline and the memory of the call this runs in.
    """
    text = pdfium_c.FPDFText_LoadPage(page)
    if not text:
        return TextLayer(())
    try:
        size = max(0, int(pdfium_c.FPDFText_CountChars(text)))
        drawn = _drawn(page, to_image)
        pictures = tuple(place for _, place, _ in drawn.pictures)
        if size > MAX_GLYPHS:
            return TextLayer((), pictures, size)
        glyphs = _ligatures(_Reader(text, to_image, drawn).glyphs(size))
        return TextLayer(tuple(glyph for glyph in glyphs if _is_inside(glyph, width, height)), pictures, size)
    finally:
        pdfium_c.FPDFText_ClosePage(text)


def _is_inside(glyph: Glyph, width: int, height: int) -> bool:
    x0, y0, x1, y1 = glyph.box
    return 0 <= (x0 + x1) / 2 <= width and 0 <= (y0 + y1) / 2 <= height


def image_matrix(page: Any, width: int, height: int) -> Matrix:
    """From the page's points to pixels of its image: crop box and /Rotate, as rendering takes them."""
    side_x = float(pdfium_c.FPDF_GetPageWidthF(page)) or 1.0
    side_y = float(pdfium_c.FPDF_GetPageHeightF(page)) or 1.0
    x, y = ctypes.c_int(), ctypes.c_int()

    def point(at_x: float, at_y: float) -> tuple[float, float]:
        pdfium_c.FPDF_PageToDevice(page, 0, 0, width * _FINE, height * _FINE, 0, at_x, at_y, x, y)
        return x.value / _FINE, y.value / _FINE

    e, f = point(0.0, 0.0)
    right, up = point(side_x, 0.0), point(0.0, side_y)
    return Matrix((right[0] - e) / side_x, (right[1] - f) / side_x, (up[0] - e) / side_y, (up[1] - f) / side_y, e, f)


class _Reader:
    """One pass over the characters of a text page."""

    def __init__(self, text: Any, to_image: Matrix, drawn: _Drawn) -> None:
        self._text = text
        self._to_image = to_image
        self._drawn = drawn
        self._styles: dict[int, Style] = {}
        self._doubles = [ctypes.c_double() for _ in range(4)]
        self._rect = pdfium_c.FS_RECTF()

    def glyphs(self, size: int) -> Iterator[Glyph]:
        for index in range(size):
            glyph = self._glyph(index)
            if glyph is not None:
                yield glyph

    def _glyph(self, index: int) -> Glyph | None:
        """None for what pdfium made up itself: spaces and line ends, which it guesses from gaps as we do."""
        text = self._text
        found = pdfium_c.FPDFText_GetTextObject(text, index)
        code = int(pdfium_c.FPDFText_GetUnicode(text, index))
        if not found or code == 0 or pdfium_c.FPDFText_IsGenerated(text, index) == 1:
            return None
        # A hyphen before a line's end, which pdfium gives as U+0002.
        char = _HYPHEN if pdfium_c.FPDFText_IsHyphen(text, index) == 1 else _char(code)
        left, right, bottom, top = self._doubles
        pdfium_c.FPDFText_GetCharBox(text, index, left, right, bottom, top)
        box = self._to_image.rect(left.value, bottom.value, right.value, top.value)
        pdfium_c.FPDFText_GetCharOrigin(text, index, left, right)
        x, y = self._to_image.point(left.value, right.value)
        rect = self._rect
        pdfium_c.FPDFText_GetLooseCharBox(text, index, rect)
        cell = self._to_image.rect(rect.left, rect.bottom, rect.right, rect.top)
        guessed = pdfium_c.FPDFText_HasUnicodeMapError(text, index) == 1
        return Glyph(char, box, cell, x, y, self._style(found, index, box), guessed)

    def _style(self, found: Any, index: int, box: Rect) -> Style:
        address = _address(found)
        style = self._styles.get(address)
        if style is None:
            style = self._styles[address] = self._new_style(found, index, address, box)
        return style

    def _new_style(self, found: Any, index: int, address: int, box: Rect) -> Style:
        """A text object's, from its first character: pdfium keeps size, matrix, font and colour with the object."""
        raw = pdfium_c.FS_MATRIX()
        pdfium_c.FPDFText_GetMatrix(self._text, index, raw)
        matrix = self._to_image.after(Matrix(raw.a, raw.b, raw.c, raw.d, raw.e, raw.f))
        em = float(pdfium_c.FPDFText_GetFontSize(self._text, index)) * math.hypot(matrix.c, matrix.d)
        mode = int(pdfium_c.FPDFTextObj_GetTextRenderMode(found))
        colour, alpha = _fill(found)
        shows = (
            mode not in _NO_MARK and not (mode == _FILLED_ONLY and alpha == 0) and not self._is_covered(address, box)
        )
        font = pdfium_c.FPDFTextObj_GetFont(found)
        return Style(
            em=abs(em),
            angle=math.atan2(matrix.b, matrix.a),
            font=_address(font) if font else 0,
            embedded=not font or pdfium_c.FPDFFont_GetIsEmbedded(font) != 0,
            shows=shows,
            colour=colour if mode == _FILLED_ONLY and alpha == 255 else None,
        )

    def _is_covered(self, address: int, box: Rect) -> bool:
        """Whether a picture is drawn over it later: a scan with its text beneath."""
        turn = self._drawn.turns.get(address)
        if turn is None:
            return False
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        return any(
            later > turn and covers and place[0] <= x <= place[2] and place[1] <= y <= place[3]
            for later, place, covers in self._drawn.pictures
        )


def _char(code: int) -> str:
    return chr(code) if code < 0x110000 else "\N{REPLACEMENT CHARACTER}"


def _address(pointer: Any) -> int:
    return int(ctypes.c_void_p.from_buffer(pointer).value or 0)  # `cast` takes ten times as long


def _fill(found: Any) -> tuple[Colour | None, int]:
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    if not pdfium_c.FPDFPageObj_GetFillColor(found, red, green, blue, alpha):
        return None, 255
    return (red.value, green.value, blue.value), alpha.value


def _ligatures(glyphs: Iterator[Glyph]) -> Iterator[Glyph]:
    """Characters that one glyph stands for, in one. Of right-to-left letters pdfium turns those round as well."""
    held: Glyph | None = None
    for glyph in glyphs:
        if held is not None and (held.x, held.y, held.box, held.style) == (glyph.x, glyph.y, glyph.box, glyph.style):
            text = glyph.text + held.text if has_rtl(glyph.text) else held.text + glyph.text
            held = held._replace(text=text)
            continue
        if held is not None:
            yield held
        held = glyph
    if held is not None:
        yield held


def _drawn(page: Any, to_image: Matrix) -> _Drawn:
    """Texts and pictures in the order they are drawn, also those inside forms."""
    turns: dict[int, int] = {}
    pictures: list[tuple[int, Rect, bool]] = []
    for turn, (kind, found, to_page) in enumerate(_objects(page)):
        if kind == pdfium_c.FPDF_PAGEOBJ_TEXT:
            turns[_address(found)] = turn
        elif kind == pdfium_c.FPDF_PAGEOBJ_IMAGE:
            place = _bounds(found)
            if place is not None:
                covers = not pdfium_c.FPDFPageObj_HasTransparency(found)
                pictures.append((turn, to_image.after(to_page).rect(*place), covers))
    return _Drawn(turns, pictures)


def _objects(page: Any) -> Iterator[tuple[int, Any, Matrix]]:
    """(kind, object, matrix from its coordinates to the page's), at most MAX_OBJECTS."""
    same = Matrix(1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
    stack: list[tuple[Iterator[Any], Matrix]] = [(_children(page, inside_form=False), same)]
    left = MAX_OBJECTS
    while stack and left > 0:
        children, to_page = stack[-1]
        found = next(children, None)
        if found is None:
            stack.pop()
            continue
        left -= 1
        kind = int(pdfium_c.FPDFPageObj_GetType(found))
        yield kind, found, to_page
        if kind == pdfium_c.FPDF_PAGEOBJ_FORM and len(stack) < MAX_DEPTH:
            stack.append((_children(found, inside_form=True), to_page.after(_matrix(found))))


def _children(parent: Any, *, inside_form: bool) -> Iterator[Any]:
    count, get = (
        (pdfium_c.FPDFFormObj_CountObjects, pdfium_c.FPDFFormObj_GetObject)
        if inside_form
        else (pdfium_c.FPDFPage_CountObjects, pdfium_c.FPDFPage_GetObject)
    )
    for index in range(max(0, int(count(parent)))):
        found = get(parent, index)
        if found:
            yield found


def _matrix(found: Any) -> Matrix:
    raw = pdfium_c.FS_MATRIX()
    pdfium_c.FPDFPageObj_GetMatrix(found, raw)
    return Matrix(raw.a, raw.b, raw.c, raw.d, raw.e, raw.f)


def _bounds(found: Any) -> Rect | None:
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    if not pdfium_c.FPDFPageObj_GetBounds(found, left, bottom, right, top):
        return None
    return left.value, bottom.value, right.value, top.value


def draws_annotations(page: Any) -> bool:
    """Whether anything but links and pop-ups lies on the page: filled forms, stamps, notes written on it."""
    nothing = {pdfium_c.FPDF_ANNOT_LINK, pdfium_c.FPDF_ANNOT_POPUP}
    for index in range(max(0, int(pdfium_c.FPDFPage_GetAnnotCount(page)))):
        annotation = pdfium_c.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        kind = int(pdfium_c.FPDFAnnot_GetSubtype(annotation))
        pdfium_c.FPDFPage_CloseAnnot(annotation)
        if kind not in nothing:
            return True
    return False


def flatten(page: Any) -> bool:
    """Make what annotations and form fields show part of the page's content, as it is shown on a screen.

    The page may have other boxes afterwards, so its `image_matrix` must be taken before.
    """
    return bool(pdfium_c.FPDFPage_Flatten(page, pdfium_c.FLAT_NORMALDISPLAY) == pdfium_c.FLATTEN_SUCCESS)
