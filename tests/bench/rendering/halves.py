"""Page halves for B5, loaded by the render processes."""

from __future__ import annotations

import pypdfium2.raw as pdfium_c

from jobs.settings import EngineSettings
from tests.bench.rendering.stopwatch import Stopwatch
from workers.engines.base import RenderedPage
from workers.engines.paddleocr_vl import crops, page
from workers.engines.paddleocr_vl.page import PaddleOcrVlPageHalf
from workers.render import documents, process

PDFIUM_LOADS, PDFIUM_DRAWS = "pdfium: parse the page", "pdfium: draw"
PDFIUM = (PDFIUM_LOADS, PDFIUM_DRAWS)


class OnlyRenders:
    """Leaves the page as it is: RGB pixels in memory."""

    def __init__(self, settings: EngineSettings) -> None:
        pass

    def start(self) -> None:
        """There is nothing to load."""

    def look(self, rendered: RenderedPage) -> tuple[int, int]:
        return rendered.pixels.size


class Measured(PaddleOcrVlPageHalf):
    """The real one, in a render process whose steps are measured."""

    def start(self) -> None:
        super().start()
        self._watch = watch = Stopwatch()
        watch.watch(process.OpenDocuments, "get", "find or open the document")
        watch.watch(documents.PdfDocument, "_page", PDFIUM_LOADS)
        watch.watch(pdfium_c, "FPDF_ClosePage", PDFIUM_LOADS)
        watch.watch(pdfium_c, "FPDF_RenderPageBitmap", PDFIUM_DRAWS)
        watch.watch(pdfium_c, "FPDF_FFLDraw", PDFIUM_DRAWS)
        watch.watch(documents.PdfDocument, "text_layer", "read the text layer")
        watch.watch(documents, "_draw", "bitmap, and RGB of it")
        watch.watch(process.RenderProcess, "_render", "around rendering")
        watch.watch(PaddleOcrVlPageHalf, "layout_input", "layout model's input, 800 x 800")
        for method in ("cut", "cut_whole"):
            watch.watch(PaddleOcrVlPageHalf, method, "plan and cut")
        watch.watch(crops, "resized", "resize the crops")
        watch.watch(page, "pack", "JPEG or bytes of the crops")
        watch.watch(process.RenderProcess, "answer", "memory limit, context of the call")
        watch.watch(process.RenderProcess, "release", "let go of pages, give memory back")
        watch.watch(process, "opened", "pickle")
        watch.watch(process, "_packed", "pickle")
        watch.watch(process.Wire, "waits", "socket")
        watch.watch(process.Wire, "receive", "socket")
        watch.watch(process.Wire, "send", "socket")

    def text(self, rendered: RenderedPage) -> int:
        """Characters of the page's own text, as an engine reads them with `text: auto`."""
        layer = rendered.text_layer()
        return 0 if layer is None else len(layer.glyphs)

    def reading(self, rendered: RenderedPage) -> dict[str, float]:
        """CPU seconds of each step since the last reading."""
        return self._watch.read()
