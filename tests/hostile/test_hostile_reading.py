"""The real CPU engine on hostile pages, through the real queue: what renders is read, what does not has its code."""

import pytest

from tests.hostile.bombs import BOMBS
from tests.hostile.ordeal import Specimen, ordeal
from tests.testdata import document, needs_testdata

pytestmark = pytest.mark.ocr

ENDS = {
    "hostile/ocrmypdf+OCRmyPDF/bombs-public/negzero.pdf": "succeeded",
    "hostile/mozilla+pdf.js/pdfjs-public/bigboundingbox.pdf": "succeeded",
    "hostile/mozilla+pdf.js/pdfjs-public/ContentStreamCycleType3insideType3.pdf": "succeeded",
    "hostile/AFLplusplus+AFLplusplus/fuzz-public/not_kitty_alpha.png": "succeeded",
    "hostile/openpreserve+format-corpus/broken-public/T02-03_009_page-object-mediabox-not-rectangle.pdf": "succeeded",
    "hostile/python-pillow+Pillow/images-public/truncated_jpeg.jpg": "page_render_failed",
    "hostile/python-pillow+Pillow/images-public/decompression_bomb.gif": "page_too_large",
    "hostile/qpdf+qpdf/broken-public/issue-99.pdf": "corrupt_file",
}
BOMBS_READ = {
    "self_references", "form_loop", "jpx_large_pdf", "huge_size", "tiff_pair_loop", "million_glyphs", "wild_matrices",
    "wild_widths", "surrogates", "code_map_range", "note_that_shows_itself", "form_fields_loop",
}  # fmt: skip


@needs_testdata
def test_hostile_pages_are_read_or_refused(tmp_path, tmp_path_factory, valkey):
    specimens = [Specimen(name, document(name)) for name in ENDS]
    specimens += [bomb.specimen(tmp_path) for bomb in BOMBS if bomb.name in BOMBS_READ]
    with ordeal(tmp_path_factory.mktemp("reading"), valkey, "rapidocr", PAGEMILL_PAGE_TIMEOUT="120") as found:
        verdicts = found.run(specimens, pages="1", seconds_each=120.0)
        assert [fault for verdict in verdicts for fault in verdict.faults()] == []
        assert {verdict.name: verdict.code for verdict in verdicts} == ENDS | dict.fromkeys(BOMBS_READ, "succeeded")
        assert list(found.faults()) == []
