"""PDFs whose text does harm to whoever asks for it and not to whoever draws it. Each maker gives the file's bytes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from tests.hostile.pdfs import TEXT, file_of, one_page, stream

FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding %s >>"


def _shown(contents: bytes, *, font: bytes = b"", more: Sequence[bytes] = (), page: bytes = b"") -> bytes:
    """A page with this content, F1 being Helvetica with these entries; `more`: objects 6 and on."""
    packed = stream(zlib.compress(contents, 9), b"/Filter /FlateDecode")
    return one_page(packed, resources=b"/Font << /F1 5 0 R >>", more=[FONT % font, *more], page=page)


def _code_map(body: bytes) -> bytes:
    return stream(b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n%s\nendcmap end end" % body)


def million_glyphs(count: int = 1_000_000) -> bytes:
    """All in one place."""
    return _shown(b"BT /F1 9 Tf 20 100 Td " + (b"(abcdefghij) Tj " * (count // 10)) + b"ET")


def many_texts_many_pictures(count: int = 20_000) -> bytes:
    """As many texts as pictures drawn on top of them: each pair is a question."""
    image = stream(
        b"\xff", b"/Type /XObject /Subtype /Image /Width 1 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceGray"
    )
    texts = b"".join(b"BT /F1 3 Tf %d %d Td (a) Tj ET " % (at % 190, at // 190) for at in range(count))
    contents = texts + b"q 1 0 0 1 195 195 cm /I Do Q " * count
    packed = stream(zlib.compress(contents, 9), b"/Filter /FlateDecode")
    resources = b"/Font << /F1 5 0 R >> /XObject << /I 6 0 R >>"
    return one_page(packed, resources=resources, more=[FONT % b"", image])


def wild_matrices() -> bytes:
    """Sizes and places beyond all numbers, and none at all."""
    wild = (
        b"0",
        b"1",
        b"-1",
        b"3e38",
        b"340282346638528859811704183484516925440",
        b"-9" + b"9" * 60,
        b"0." + b"0" * 50,
    )
    texts = [
        b"BT /F1 %s Tf %s %s %s %s 20 %d Tm (wild) Tj ET " % (size, a, b, c, a, 20 + index)
        for size in (*wild, b"12")
        for index, (a, b, c) in enumerate(zip(wild, wild[1:] + wild[:1], wild[2:] + wild[:2], strict=True))
    ]
    return _shown(b"".join(texts) + b"BT /F1 12 Tf 20 20 Td 99999999999 Tc 99999999999 Tw 0 Tz (tame) Tj ET")


def wild_widths() -> bytes:
    """A font whose letters are wider than anything."""
    widths = b"/FirstChar 32 /LastChar 126 /Widths [%s]" % (b"340282346638528859811704183484516925440 -1e30 0 " * 31)
    return _shown(b"BT /F1 12 Tf 20 20 Td (What is in a name) Tj ET", font=widths)


def marks_without_end(count: int = 60_000) -> bytes:
    """One line of Hebrew letters and points in turn on a page of five metres: each looks for the nearest other."""
    codes = b"2 beginbfchar <41> <05D0> <42> <05B8> endbfchar"
    piece = b"(" + b"AB" * 5_000 + b") Tj "
    shown = b"BT /F1 1.6 Tf 1 50 Td 18 Tz " + piece * (count // 10_000) + b"ET"
    packed = stream(zlib.compress(shown, 9), b"/Filter /FlateDecode")
    font = FONT % b"/ToUnicode 6 0 R"
    resources = b"/Font << /F1 5 0 R >>"
    return one_page(packed, resources=resources, box=b"0 0 14400 100", more=[font, _code_map(codes)])


def surrogates() -> bytes:
    """A code map to half characters, controls, no characters, and a letter that stands for many."""
    codes = b"6 beginbfchar <41> <D800> <42> <DC00D800> <43> <0000> <44> <FFFF> <45> <%s> <46> <202E0041> endbfchar"
    shown = b"BT /F1 12 Tf 20 100 Td (ABCDEF FEDCBA) Tj ET"
    return _shown(shown, font=b"/ToUnicode 6 0 R", more=[_code_map(codes % (b"FB03" * 100))])


def long_ligatures(count: int = 20_000) -> bytes:
    """One letter for a thousand characters, thousands of times."""
    codes = b"1 beginbfchar <41> <%s> endbfchar" % (b"0061" * 1000)
    return _shown(
        b"BT /F1 1 Tf 20 100 Td 1 Tz (" + b"A" * count + b") Tj ET", font=b"/ToUnicode 6 0 R", more=[_code_map(codes)]
    )


def code_map_range() -> bytes:
    """Ranges of four billion codes, many of them."""
    codes = b"100 beginbfrange\n" + b"<00000000> <FFFFFFFF> <0041>\n" * 100 + b"endbfrange"
    ranges = b"100 begincodespacerange\n" + b"<00> <FFFFFFFF>\n" * 100 + b"endcodespacerange\n"
    return _shown(b"BT /F1 12 Tf 20 100 Td (ABC) Tj ET", font=b"/ToUnicode 6 0 R", more=[_code_map(ranges + codes)])


def code_map_loop() -> bytes:
    """A code map that uses itself."""
    body = b"/CIDInit /ProcSet findresource begin begincmap 1 beginbfchar <41> <0041> endbfchar endcmap"
    looped = stream(body, b"/Type /CMap /CMapName /Loop /UseCMap 6 0 R")
    return _shown(b"BT /F1 12 Tf 20 100 Td (ABC) Tj ET", font=b"/ToUnicode 6 0 R", more=[looped])


def notes_to_flatten(count: int = 20_000) -> bytes:
    """Notes with pictures of their own, which are made part of the page before its text is read."""
    note = b"<< /Type /Annot /Subtype /FreeText /Rect [9 9 190 190] /Contents (x) /F 4 /AP << /N 6 0 R >> >>"
    look = stream(
        b"BT /F1 12 Tf 20 100 Td (note) Tj ET",
        b"/Type /XObject /Subtype /Form /BBox [0 0 200 200] /Resources << /Font << /F1 5 0 R >> >>",
    )
    return _shown(TEXT, more=[look, note], page=b"/Annots [%s]" % (b"7 0 R " * count))


def note_that_shows_itself() -> bytes:
    """A note whose picture draws its own picture, and one whose picture is the page."""
    look = stream(
        b"/F Do BT /F1 12 Tf (loop) Tj ET",
        b"/Type /XObject /Subtype /Form /BBox [0 0 200 200] /Resources << /XObject << /F 6 0 R >> /Font 6 0 R >>",
    )
    notes = [
        b"<< /Type /Annot /Subtype /Stamp /Rect [9 9 190 190] /F 4 /AP << /N %s >> /Parent 7 0 R >>" % picture
        for picture in (b"6 0 R", b"3 0 R", b"8 0 R")
    ]
    return _shown(TEXT, more=[look, *notes], page=b"/Annots [7 0 R 8 0 R 9 0 R 3 0 R]")


def form_fields_loop() -> bytes:
    """Fields that are their own children and their own parents, on a page."""
    field = (
        b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (a) /V (value) /DA (/F1 12 Tf) /Rect [9 9 190 40] /F 4"
        b" /Kids [6 0 R 6 0 R] /Parent 6 0 R >>"
    )
    return file_of(
        [
            b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [6 0 R 6 0 R] /NeedAppearances true"
            b" /DR << /Font << /F1 5 0 R >> >> >> >>",
            b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents 4 0 R /Annots [6 0 R 6 0 R] >>",
            stream(TEXT),
            FONT % b"",
            field,
        ]
    )


def forms_of_text(levels: int = 7, times: int = 8) -> bytes:
    """A word in forms in forms: millions of words in a kilobyte."""
    entries = b"/Type /XObject /Subtype /Form /BBox [0 0 200 200] /Resources << /XObject << /F %d 0 R >> >>"
    forms = [stream(b"/F Do " * times, entries % (6 + level)) for level in range(levels)]
    last = stream(
        b"BT /F1 9 Tf 20 100 Td (word) Tj ET",
        b"/Type /XObject /Subtype /Form /BBox [0 0 200 200] /Resources << /Font << /F1 %d 0 R >> >>" % (6 + levels),
    )
    return one_page(stream(b"/F Do"), resources=b"/XObject << /F 5 0 R >>", more=[*forms, last, FONT % b""])


TEXTS: tuple[Callable[[], bytes], ...] = (
    million_glyphs, many_texts_many_pictures, wild_matrices, wild_widths,
    marks_without_end, surrogates, long_ligatures, code_map_range, code_map_loop, notes_to_flatten,
    note_that_shows_itself, form_fields_loop, forms_of_text,
)  # fmt: skip
