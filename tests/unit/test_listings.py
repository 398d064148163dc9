"""Listings keep line breaks and blanks; prose in the same font does not become one. Lines are set by hand."""

import pytest

from tests.layers import STYLE, glyph
from workers.engines.rapidocr.arrange import arrange
from workers.engines.rapidocr.geometry import Box, Line, Region
from workers.textlayer.fixed import Cell, Columns, fixed_fonts, on_grid
from workers.textlayer.lines import text_lines

PITCH, HEIGHT, STEP = 10.0, 16.0, 22.0
CODE = ["def area(a, b):", "    if a < 0:", "        raise ValueError(a)", "    return a * b"]
PROSE = "These words are set in a font of letters that are of many widths, and there are far more of them here."


def at(text, x, y, *, fixed=True):
    """A line whose blanks before it move it to the right, as a text layer would have it."""
    shown = text.lstrip()
    x += PITCH * (len(text) - len(shown))
    columns = Columns(shown, PITCH) if fixed else None
    return Line(Box(x, y, x + PITCH * len(shown), y + HEIGHT), " ".join(shown.split()), 1.0, columns=columns)


def stacked(texts, x=100.0, y=100.0, *, fixed=True, step=STEP):
    return [at(text, x, y + i * step, fixed=fixed) for i, text in enumerate(texts) if text]


def arranged(lines, regions=()):
    return arrange(lines, regions, number=2, width=1700, height=2200)


def labelled(pieces, label):
    return [piece.content for piece in pieces if piece.label == label]


def prose(y, number=5, *, fixed=False):
    return stacked([PROSE] * number, y=y, fixed=fixed)


def test_a_listing_between_paragraphs_keeps_its_lines_and_indents():
    pieces = arranged([*prose(100), *stacked(CODE, y=300), *prose(500)])
    assert labelled(pieces, "algorithm") == ["\n".join(CODE)]
    assert [piece.label for piece in pieces] == ["text", "algorithm", "text"]


def test_whatever_the_layout_model_takes_it_for():
    place = Box(90, 290, 500, 400)
    for label in ("text", "image", "display_formula", "paragraph_title"):
        pieces = arranged([*prose(100), *stacked(CODE, y=300)], [Region(label, place, 0.9)])
        assert labelled(pieces, "algorithm") == ["\n".join(CODE)], label


def test_empty_lines_stay():
    code = [*CODE, "", "print(area(2, 3))", "", "", "exit()"]
    assert labelled(arranged([*prose(100), *stacked(code, y=300)]), "algorithm") == ["\n".join(code)]


def test_pieces_of_one_row_stand_in_their_columns():
    left, right = stacked(["a = 1;", "b = 20;"], y=300), stacked(["// one", "// two"], x=300.0, y=300)
    assert labelled(arranged([*prose(100), *left, *right]), "algorithm") == [
        "a = 1;              // one\nb = 20;             // two"
    ]


def test_words_of_prose_and_single_lines_are_none():
    # "Call `area` and" with the name as a line of its own beside it, and a command alone.
    beside = [
        at("Call", 100, 300, fixed=False),
        at("area(a)", 150, 300),
        at("to get the area of it, for", 230, 300, fixed=False),
    ]
    pieces = arranged([*prose(100), *beside, at("make test", 100, 400), *prose(500)])
    assert labelled(pieces, "algorithm") == []


def test_a_typewritten_page_is_prose_but_for_its_listing():
    letter = stacked(["Dear Sir, we thank you for your letter of the fourth and", "have the honour to reply."] * 6)
    assert labelled(arranged(letter), "algorithm") == []
    assert labelled(arranged([*letter, *stacked(CODE, y=460)]), "algorithm") == ["\n".join(CODE)]


def test_prose_between_two_listings_parts_them():
    pieces = arranged(
        [*prose(100), *stacked(CODE, y=300), at("and then", 110, 388, fixed=False), *stacked(CODE, y=410)]
    )
    assert labelled(pieces, "algorithm") == ["\n".join(CODE)] * 2


def test_a_table_keeps_its_cells():
    table = Region("table", Box(90, 290, 700, 400), 0.9)
    cells = [*stacked(["a1", "b1", "c1"], y=300), *stacked(["10", "20", "30"], x=400.0, y=300)]
    pieces = arranged([*prose(100), *cells], [table])
    assert labelled(pieces, "algorithm") == []
    assert len(labelled(pieces, "table")) == 1


# --- fonts of one width ---


def cells(text, width=lambda char: PITCH, font=1):
    x, row = 0.0, []
    for char in text:
        if not char.isspace():
            row.append(Cell(char, font, 2 * PITCH, x, x + width(char)))
        x += width(char)
    return row


def test_a_font_of_one_width_is_found_and_others_are_not():
    assert fixed_fonts(cells("".join(CODE))) == {1: pytest.approx(0.5)}
    assert fixed_fonts(cells("".join(CODE), lambda char: 6.0 if char in "ijl.,:(" else 11.0)) == {}


def test_figures_and_short_words_say_nothing_of_their_font():
    assert fixed_fonts(cells("0123456789")) == {}
    assert fixed_fonts(cells("milan")) == {}


def test_a_font_that_is_set_wider_than_it_is_has_a_wider_grid():
    # As LaTeX's listings package does: boxes of 0.6 em for letters of 0.525.
    row = [cell._replace(u0=1.15 * cell.u0, u1=1.15 * cell.u0 + PITCH) for cell in cells("".join(CODE))]
    assert fixed_fonts(row) == {1: pytest.approx(0.575)}


def test_a_line_of_two_fonts_of_one_width_is_on_their_grid():
    fonts = {1: 0.5, 2: 0.5}
    bold = [cell._replace(font=2) for cell in cells("def")]
    assert on_grid([*bold, *cells("      f(a)   # b")], fonts) == Columns("def   f(a)   # b", PITCH)
    assert on_grid([*bold, *cells("    f(a)", font=3)], fonts) is None


def test_glyphs_of_one_width_become_lines_with_all_their_blanks():
    glyphs = [
        glyph(char, 100 + 12.0 * i, y=100 + 30.0 * row, width=12.0)
        for row, text in enumerate(CODE)
        for i, char in enumerate(text)
    ]
    lines = sorted(text_lines(glyphs), key=lambda line: line.corners[0][1])
    assert [line.columns.text for line in lines] == [text.lstrip() for text in CODE]
    assert all(line.columns.pitch == pytest.approx(12.0, rel=0.01) for line in lines), STYLE.em
