"""Cells as the structure model tells them, the page's lines in them, and where it is asked."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.engines.rapidocr.geometry import Box, Line, Region
from workers.engines.rapidocr.grids import Grid, filled, grid_of, moved
from workers.engines.rapidocr.table_model import vocabulary
from workers.engines.rapidocr.table_places import places, with_tables

HEAD = ["<thead>", "<tr>", "<td></td>", "<td", ' colspan="2"', ">", "</td>", "</tr>", "</thead>", "<tbody>"]
BODY = ["<tr>", "<td></td>", "<td></td>", "<td></td>", "</tr>"]


def line(text, x0, y0, x1=None, height=20.0):
    return Line(Box(x0, y0, x1 if x1 is not None else x0 + 10 * len(text), y0 + height), text, 0.99)


def boxes(*rows):
    """Cells of 100 x 40 pixels: for each row the columns where one begins and ends."""
    return [Box(100 * x0 + 5, 40 * y + 5, 100 * x1 - 5, 40 * y + 35) for y, row in enumerate(rows) for x0, x1 in row]


THREE = ((0, 1), (1, 2), (2, 3))
GRID = grid_of([*HEAD, *BODY, *BODY], boxes(((0, 1), (1, 3)), THREE, THREE), 0.99)


def test_the_models_words_are_cells_with_places_and_spans():
    assert [(c.row, c.column, c.colspan, c.head) for c in GRID.cells] == [
        (0, 0, 1, True), (0, 1, 2, True), (1, 0, 1, False), (1, 1, 1, False), (1, 2, 1, False),
        (2, 0, 1, False), (2, 1, 1, False), (2, 2, 1, False),
    ]  # fmt: skip
    assert GRID.is_whole


def test_a_cell_over_several_rows_pushes_the_next_rows_cells_aside():
    words = ["<tr>", "<td", ' rowspan="2"', ">", "</td>", "<td></td>", "</tr>", "<tr>", "<td></td>", "</tr>"]
    grid = grid_of(words, boxes(((0, 1), (1, 2)), ((1, 2),)), 1.0)
    assert [(c.row, c.column, c.rowspan) for c in grid.cells] == [(0, 0, 2), (0, 1, 1), (1, 1, 1)]
    assert grid.is_whole


@pytest.mark.parametrize("words", [[*BODY, "<tr>", "<td></td>", "</tr>"], BODY, []], ids=["cut off", "one row", "none"])
def test_a_table_with_holes_or_of_one_row_is_not_whole(words):
    assert not grid_of(words, boxes(THREE, THREE), 1.0).is_whole


def test_lines_go_into_their_cells():
    lines = [
        line("Name", 8, 8), line("a & b", 8, 48), line("1", 110, 48), line("2", 210, 48), line("both of", 150, 2),
        line("them", 150, 20), line("c", 8, 88), line("3", 210, 88),
    ]  # fmt: skip
    assert filled(GRID, lines) == (
        '<table><tr><th>Name</th><th colspan="2">both of them</th></tr>'
        "<tr><td>a &amp; b</td><td>1</td><td>2</td></tr><tr><td>c</td><td></td><td>3</td></tr></table>"
    )


def test_a_line_across_two_cells_is_parted_between_its_words():
    lines = [line("Name", 8, 8), line("0.942 0.857", 110, 48, 290), line("x", 8, 88)]
    assert "<td></td><td>0.942</td><td>0.857</td>" in filled(GRID, lines)


def test_a_line_across_a_cell_that_spans_stays_whole():
    assert '<th colspan="2">simple and complex</th>' in filled(GRID, [line("simple and complex", 110, 8, 290)])


def test_a_little_text_outside_of_the_cells_goes_to_the_nearest():
    lines = [line("a long text in its own cell" * 2, 8, 48, 95), line("x", 210, 150)]
    assert "<td>x</td></tr></table>" in filled(GRID, lines)


@pytest.mark.parametrize(
    ("sureness", "lines"),
    [(0.5, [line("Name", 8, 8)]), (0.99, [line("Name", 8, 8), line("all the rest", 8, 300)]), (0.99, [])],
    ids=["unsure", "text below its last row", "no text"],
)
def test_a_grid_that_does_not_fit_is_not_used(sureness, lines):
    assert filled(Grid(GRID.cells, sureness), lines) is None


@given(
    st.lists(st.tuples(st.text("abc", min_size=1, max_size=6), st.integers(0, 290), st.integers(0, 110)), max_size=12)
)
def test_no_word_is_lost(placed):
    html = filled(GRID, [line(text, x, y) for text, x, y in placed])
    if html is not None:
        words = html.replace("<", " <").replace(">", "> ").split()
        assert sorted(w for w in words if w.strip("abc") == "") == sorted(text for text, _, _ in placed)


def test_a_grid_is_moved_with_its_page():
    assert moved(GRID, lambda box: box._replace(x0=0)).cells[1].box.x0 == 0


def test_the_vocabulary_has_a_word_for_an_empty_cell():
    assert vocabulary("<tr>\n<td>\n<td") == ("sos", "<tr>", "<td", "<td></td>", "eos")


# --- where -----------------------------------------------------------------------------------------------------------

CELLS = [line(str(100 * r + c), 20 + 150 * c, 30 + 40 * r) for r in range(4) for c in range(3)]
PLACE = Box(0, 10, 480, 190)
PROSE = [line("words of a text as wide as its column is", 20, 30 + 28 * i, 470) for i in range(5)]


def asked(lines, *regions):
    around = [Region("text", Box(0, 300, 480, 400), 0.9)] if regions else []
    found = places(lines, [*(Region(label, PLACE, 0.9) for label in regions), *around])
    return [(region.box, region.score) for region in found]


def test_the_layout_models_tables_are_looked_at():
    assert asked(PROSE, "table") == [(PLACE, 0.9)]


@pytest.mark.parametrize("label", ["image", "text", "reference_content"])
def test_cells_in_columns_are_looked_at_whatever_the_layout_model_says(label):
    assert asked(CELLS, label) == [(PLACE, 0.0)]
    assert asked(PROSE, label) == []


@pytest.mark.parametrize("seen", [[], [Region("image", Box(0, 60, 480, 190), 0.9)]], ids=["nothing", "part of it"])
def test_an_image_of_a_table_alone_is_looked_at_as_a_whole(seen):
    assert places(CELLS, seen) == [Region("table", Box(16, 26, 354, 174), 0.0)]


def test_a_table_of_contents_alone_on_a_page_is_not_looked_at():
    lines = [line(text, x, 30 + 40 * r) for r in range(5) for text, x in ((f"{r} Foo", 20), (str(r + 2), 400))]
    assert asked(lines) == []


def guessed(sureness):
    cells = [Box(150 * c + 10, 40 * r + 25, 150 * c + 140, 40 * r + 55) for r in range(4) for c in range(3)]
    grid = grid_of(["<tr>", "<td></td>", "<td></td>", "<td></td>", "</tr>"] * 4, cells, sureness)
    regions = [Region("image", PLACE, 0.9), Region("text", Box(0, 300, 480, 400), 0.9)]
    return [region.label for region in with_tables(regions, CELLS, {Region("table", PLACE, 0.0): grid})]


def test_leaders_to_page_numbers_are_no_columns():
    """`auto` reads a contents page in pieces where its dots are set apart."""
    contents = [
        piece
        for y in range(5)
        for piece in (
            line("1.1 Text", 10, 40 * y),
            line(". . . . . .", 150, 40 * y),
            line(". . .", 300, 40 * y),
            line("3", 400, 40 * y),
        )
    ]
    assert places(contents, [Region("text", Box(0, 0, 500, 220), 0.9)]) == []
    missing = [replace(piece, text=piece.text.replace(". . . . . .", "...")) for piece in contents]
    assert len(places(missing, [Region("text", Box(0, 0, 500, 220), 0.9)])) == 1


def test_a_guess_that_fits_takes_the_place_of_what_was_seen_there():
    assert guessed(0.99) == ["text", "table"]


def test_an_unsure_one_does_not():
    assert guessed(0.93) == ["image", "text"]
