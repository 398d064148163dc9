"""Opening a document and rendering its pages. Runs in render processes only: pdfium may crash or hang."""

from __future__ import annotations

import ctypes
import logging
import math
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from PIL import Image

from jobs.errors import (
    CorruptFile,
    DocumentError,
    PageRenderFailed,
    PageTooLarge,
    PasswordIncorrect,
    PasswordRequired,
    StorageUnavailable,
    UnsupportedType,
)
from jobs.results import PageImage, Warning_
from workers.render.images import ImageDocument
from workers.render.rendering import Document, Drawn, Rendering, fully
from workers.render.textlayer import Matrix, draws_annotations, flatten, image_matrix, read_text_layer
from workers.textlayer.glyphs import TextLayer

LOGGER = logging.getLogger(__name__)

MIN_DPI = 36
"""Below this nothing can be read, so a page that would have to be scaled further down is refused."""

MAX_SIDE = 65_500
"""Pixels of the longer side: what libjpeg can write (JPEG_MAX_DIMENSION)."""

POINTS_PER_INCH = 72

_RGBX_BYTES = 4
_RENDER_FLAGS = pdfium_c.FPDF_ANNOT | pdfium_c.FPDF_REVERSE_BYTE_ORDER


def open_document(path: Path, media_type: str, password: str | None = None, *, max_pixels: int) -> Document:
    """Open a source by what it is. `max_pixels` bounds what the header of an image may make a decoder allocate.

    Raises CorruptFile, PasswordRequired, PasswordIncorrect, UnsupportedType; StorageUnavailable when the file itself
    cannot be read, which says nothing about the document.
    """
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise StorageUnavailable(f"the source file cannot be read: {error.strerror or error}") from error
    if media_type == "application/pdf":
        return PdfDocument(path, password)
    return ImageDocument(path, media_type, max_pixels)


class PdfDocument:
    """A PDF in pdfium. Annotations and form fields are drawn, /Rotate is respected, JavaScript never runs."""

    def __init__(self, path: Path, password: str | None) -> None:
        self._path, self._password = path, password
        self._pdf, self.encrypted = _open_pdf(path, password)
        self._password_not_needed = bool(password) and not self.encrypted
        try:
            self._pdf.init_forms()
        except pdfium.PdfiumError:
            LOGGER.warning("form fields of %s cannot be loaded; its pages are rendered without them", path.name)
        self.page_count = len(self._pdf)

    def render(self, number: int, dpi: int, max_pixels: int, drawn: Drawn = fully) -> Rendering:
        page = self._page(number)
        try:
            width, height, real_dpi = fit(page.get_width(), page.get_height(), dpi, max_pixels)
            pixels = _draw(page, *drawn(width, height))
        finally:
            page.close()
        info = PageImage(width=width, height=height, dpi=round(real_dpi, 2))
        return Rendering(pixels, info, self._warnings(dpi, real_dpi, max_pixels))

    def text_layer(self, number: int, width: int, height: int) -> TextLayer:
        """With what form fields and notes show, which is drawn on the page and no part of its text until flattened."""
        page = self._page(number)
        try:
            to_image = image_matrix(page, width, height)
            if not draws_annotations(page):
                return read_text_layer(page, to_image, width, height)
        finally:
            page.close()
        return self._flattened_text(number, to_image, width, height)

    def _flattened_text(self, number: int, to_image: Matrix, width: int, height: int) -> TextLayer:
        """From a copy of the document: flattening changes it, and the page may be rendered again."""
        copy, _ = _open_pdf(self._path, self._password)
        try:
            copy.init_forms()
            page = copy[number - 1]
            flatten(page)
            page.close()
            return read_text_layer(copy[number - 1], to_image, width, height)
        except pdfium.PdfiumError as error:
            raise PageRenderFailed("the page's form fields and notes are damaged") from error
        finally:
            copy.close()

    def _page(self, number: int) -> Any:
        if not 1 <= number <= self.page_count:
            raise PageRenderFailed("there is no such page", limit=self.page_count, actual=number)
        try:
            return self._pdf[number - 1]
        except pdfium.PdfiumError as error:
            raise PageRenderFailed("the page's object in the PDF is damaged") from error

    def _warnings(self, dpi: int, real_dpi: float, max_pixels: int) -> tuple[Warning_, ...]:
        warnings: list[Warning_] = []
        if real_dpi < dpi:
            detail = f"rendered at {real_dpi:.0f} instead of {dpi} dpi to stay within {max_pixels} pixels"
            warnings.append(Warning_(code="page_scaled_down", detail=detail))
        if self._password_not_needed:
            warnings.append(Warning_(code="password_not_needed", detail="the document opens without a password"))
        return tuple(warnings)

    def close(self) -> None:
        self._pdf.close()


def fit(width: float, height: float, dpi: int, max_pixels: int) -> tuple[int, int, float]:
    """Pixels of a page of `width` x `height` points: (width, height, dpi), the dpi lowered to keep `max_pixels`.

    Raises PageTooLarge when that takes less than MIN_DPI, PageRenderFailed when the size is no size.
    """
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
        raise PageRenderFailed("the page has no usable size", actual=f"{width} x {height} pt")
    by_area = math.sqrt(max_pixels / width / height) * POINTS_PER_INCH
    by_side = MAX_SIDE / max(width, height) * POINTS_PER_INCH
    real_dpi = min(float(dpi), by_area, by_side)
    if real_dpi < min(MIN_DPI, dpi):
        scale = MIN_DPI / POINTS_PER_INCH
        raise PageTooLarge(
            f"a page of {width:.0f} x {height:.0f} pt has too many pixels even at {MIN_DPI} dpi",
            limit=max_pixels,
            actual=math.ceil(width * scale) * math.ceil(height * scale),
        )
    scale = real_dpi / POINTS_PER_INCH
    columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
    if columns * rows > max_pixels:  # rounding went up on both sides, or a thin page's side was lifted to 1 pixel
        columns, rows = min(columns, max(1, max_pixels // rows)), min(rows, max_pixels)
    return columns, rows, real_dpi


def _draw(page: Any, width: int, height: int) -> Image.Image:
    # RGBx in a buffer that is made white at once, and one copy as it lies, is the fastest way to an RGB image: 3.1 ms a
    # page at 144 dpi with drawing, 4.9 with a bitmap of pypdfium2's and `convert`, 4.6 in BGR.
    pixels = bytearray(b"\xff") * (width * height * _RGBX_BYTES)
    buffer = (ctypes.c_ubyte * len(pixels)).from_buffer(pixels)
    bitmap = pdfium.PdfBitmap.new_native(width, height, pdfium_c.FPDFBitmap_BGRx, rev_byteorder=True, buffer=buffer)
    try:
        area = (0, 0, width, height, 0, _RENDER_FLAGS)
        pdfium_c.FPDF_RenderPageBitmap(bitmap, page, *area)
        if page.formenv:
            pdfium_c.FPDF_FFLDraw(page.formenv, bitmap, page, *area)
        return Image.frombytes("RGB", (width, height), pixels, "raw", "RGBX", bitmap.stride, 1)
    finally:
        bitmap.close()


def _open_pdf(path: Path, password: str | None) -> tuple[Any, bool]:
    """The open document and whether it took the password. A password that is not needed is never even tried."""
    document, code = _load(path, None)
    if document is None and code == pdfium_c.FPDF_ERR_PASSWORD and password:
        document, code = _load(path, password)
        if document is not None:
            return document, True
    if document is None:
        raise _refusal(code, with_password=bool(password))
    return document, False


def _load(path: Path, password: str | None) -> tuple[Any, int]:
    """The document, or None and pdfium's error number.

    Not by `PdfDocument(path)`: it asks for the last error also when a document was loaded and has no pages, and gets
    the error of an earlier document.
    """
    secret = password.encode() + b"\0" if password is not None else None
    handle = pdfium_c.FPDF_LoadDocument(bytes(path) + b"\0", secret)
    if not handle:
        return None, int(pdfium_c.FPDF_GetLastError())
    if pdfium_c.FPDF_GetPageCount(handle) < 1:
        pdfium_c.FPDF_CloseDocument(handle)
        raise CorruptFile("the document has no pages")
    return pdfium.PdfDocument(handle), pdfium_c.FPDF_ERR_SUCCESS


def _refusal(code: int, *, with_password: bool) -> DocumentError:
    """pdfium's error number (FPDF_GetLastError, public/fpdfview.h) as ours."""
    if code == pdfium_c.FPDF_ERR_PASSWORD:
        return PasswordIncorrect() if with_password else PasswordRequired()
    if code == pdfium_c.FPDF_ERR_SECURITY:
        return UnsupportedType("the document is encrypted by a scheme other than a password")
    return CorruptFile("the PDF is damaged beyond what can be repaired")
