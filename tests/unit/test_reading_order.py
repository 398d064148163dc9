"""Lines and regions to blocks: order, columns, paragraphs, labels, tables. Boxes are drawn by hand, 20 px a line."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.wording import words_seen
from workers.engines.rapidocr.arrange import arrange
from workers.engines.rapidocr.geometry import Box, Line, Region
from workers.engines.rapidocr.gutters import cuts, pieces
from workers.engines.rapidocr.labels import margin_label, title_level
from workers.engines.rapidocr.order import reading_order, split_columns
from workers.engines.rapidocr.paragraphs import join_rows, paragraphs, rows
from workers.engines.rapidocr.skew import leaning, moved, skew, straightened
from workers.engines.rapidocr.tables import table_html

UNIT = 20.0


def order(*boxes):
    return reading_order([Box(*box) for box in boxes], UNIT)


def line(text, x0, y0, x1=None, height=20.0):
    return Line(Box(x0, y0, x1 if x1 is not None else x0 + 10 * len(text), y0 + height), text, 0.99)


def column(texts, x0, y0, x1, pitch=28.0):
    return [line(text, x0, y0 + pitch * i, x1) for i, text in enumerate(texts)]


def read(lines, regions=(), number=2, height=2000.0):
    return arrange(lines, list(regions), number=number, width=1000.0, height=height)


def contents(pieces):
    return [piece.content for piece in pieces]


# --- order -----------------------------------------------------------------------------------------------------------


def test_one_column_from_top_to_bottom():
    assert order((0, 300, 500, 400), (0, 0, 500, 100), (0, 150, 500, 250)) == [1, 2, 0]


def test_the_left_column_first_though_paragraphs_end_at_the_same_height():
    assert order((0, 0, 400, 100), (450, 0, 850, 100), (0, 150, 400, 300), (450, 150, 850, 300)) == [0, 2, 1, 3]


def test_a_title_above_and_a_note_below_two_columns():
    title, left, right, note = (100, 0, 750, 40), (0, 80, 400, 700), (450, 80, 850, 700), (0, 760, 850, 800)
    assert order(note, right, left, title) == [3, 2, 1, 0]


def test_a_figure_across_both_columns_parts_the_page():
    boxes = [(0, 0, 400, 200), (450, 0, 850, 200), (0, 240, 850, 500), (0, 540, 400, 700), (450, 540, 850, 700)]
    assert order(*boxes) == [0, 1, 2, 3, 4]


def test_three_columns():
    assert order((600, 0, 850, 500), (300, 0, 550, 500), (0, 0, 250, 500)) == [2, 1, 0]


def test_columns_of_different_length_with_a_heading_in_one():
    left_heading, left, right = (0, 0, 200, 30), (0, 50, 400, 700), (450, 10, 850, 300)
    assert order(right, left, left_heading) == [2, 1, 0]


def test_an_indented_paragraph_is_no_column():
    assert order((0, 0, 180, 60), (200, 80, 600, 140), (0, 160, 180, 220)) == [0, 1, 2]


def test_boxes_that_overlap_a_little_are_still_cut():
    assert order((0, 0, 405, 300), (398, 0, 800, 300), (0, 296, 800, 400)) == [0, 1, 2]


def test_columns_whose_boxes_overlap_a_little_are_columns_though_one_has_a_hole():
    """The slice that the hole and a gap between paragraphs make must not be read before the column is."""
    left = [(0, 0, 405, 200), (0, 198, 400, 600), (0, 602, 404, 900)]
    right = [(401, 0, 800, 150), (402, 600, 800, 900)]
    assert order(*left, *right) == [0, 1, 2, 3, 4]


BOXES = st.lists(
    st.tuples(*[st.floats(0, 1000, allow_nan=False)] * 4).map(
        lambda v: Box(min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3]))
    ),
    max_size=25,
)


@given(BOXES, st.floats(0.1, 60))
def test_every_box_comes_exactly_once(boxes, unit):
    assert sorted(reading_order(boxes, unit)) == list(range(len(boxes)))


@given(BOXES, st.randoms(use_true_random=False))
def test_the_order_is_the_boxes_own_whatever_order_they_are_given_in(boxes, random):
    shuffled = list(boxes)
    random.shuffle(shuffled)
    assert [shuffled[i] for i in reading_order(shuffled, UNIT)] == [boxes[i] for i in reading_order(boxes, UNIT)]


@given(st.integers(1, 6), st.integers(1, 8))
def test_a_grid_with_gutters_is_read_column_by_column(columns, paragraphs_each):
    boxes = [
        Box(c * 300, r * 120, c * 300 + 260, r * 120 + 100) for c in range(columns) for r in range(paragraphs_each)
    ]
    assert reading_order(boxes, UNIT) == list(range(len(boxes)))


def test_a_thousand_boxes_in_a_staircase_do_not_exhaust_the_stack():
    boxes = [Box(i * 3, i * 3, i * 3 + 500, i * 3 + 500) for i in range(1000)]
    assert sorted(reading_order(boxes, UNIT)) == list(range(1000))


# --- columns inside one region, lines across gutters -----------------------------------------------------------------


def test_a_region_of_two_columns_is_parted():
    boxes = [Box(x, y, x + 300, y + 20) for x in (0, 340) for y in range(0, 200, 25)]
    assert split_columns(boxes, UNIT) == [list(range(8)), list(range(8, 16))]


def test_page_numbers_of_a_table_of_contents_stay_beside_their_lines():
    boxes = [Box(x0, y, x1, y + 20) for x0, x1 in ((0, 500), (780, 800)) for y in range(0, 200, 25)]
    assert len(split_columns(boxes, UNIT)) == 1


def text_regions(*boxes):
    return [Region("text", Box(*box), 0.9) for box in boxes]


def test_a_line_across_a_narrow_gutter_is_cut_in_it():
    regions = text_regions((0, 0, 400, 700), (420, 0, 820, 700))
    assert cuts(Box(0, 100, 818, 120), regions) == [410]


@pytest.mark.parametrize(
    "crossing",
    [Box(0, 800, 818, 820), Box(0, 100, 425, 120), Box(0, 100, 398, 120)],
    ids=["below the columns", "hardly into the second", "inside the first"],
)
def test_other_lines_are_left_whole(crossing):
    assert cuts(crossing, text_regions((0, 0, 400, 700), (420, 0, 820, 700))) == []


def test_nested_regions_do_not_cut():
    assert cuts(Box(0, 100, 500, 120), text_regions((0, 0, 500, 700), (100, 50, 400, 300))) == []


def test_a_line_across_three_columns_is_cut_twice():
    regions = text_regions((0, 0, 200, 90), (220, 0, 400, 90), (420, 0, 600, 90))
    assert cuts(Box(0, 10, 600, 30), regions) == [210, 410]


@pytest.mark.parametrize(
    ("given", "kept"),
    [((10, 425), (10, 410)), ((395, 815), (410, 815)), ((10, 400), (10, 400)), ((415, 430), (415, 430))],
    ids=["its end", "its beginning", "nothing", "not a short line itself"],
)
def test_what_strays_into_the_next_column_is_left_out(given, kept):
    """Else the last letter of the one column's line is read as the first of the other's."""
    assert pieces(Box(given[0], 100, given[1], 120), text_regions((0, 0, 400, 700), (420, 0, 820, 700))) == [kept]


def test_a_number_or_bullet_beside_its_text_is_no_stray():
    assert pieces(Box(0, 100, 400, 120), text_regions((0, 0, 12, 700), (20, 0, 420, 700))) == [(0, 400)]


# --- paragraphs ------------------------------------------------------------------------------------------------------


def joined(*texts, known=frozenset(), width=500):
    return join_rows(rows(column(texts, 0, 0, width)), known)


def test_lines_of_a_paragraph_are_joined_by_spaces():
    assert joined("The quick brown", "fox jumps") == "The quick brown fox jumps"


def test_words_broken_at_a_lines_end_are_made_whole():
    assert joined("a mixed informa-", "tion of sorts") == "a mixed information of sorts"


def test_a_hyphen_that_the_page_writes_elsewhere_is_kept():
    known = words_seen(["a trace-based compiler"])
    assert joined("the trace-", "based way", known=known) == "the trace-based way"


def test_a_hyphen_before_a_capital_is_kept():
    assert joined("Jean-", "Pierre") == "Jean-Pierre"


def test_chinese_lines_are_joined_without_a_space():
    assert joined("中文乱数", "假文") == "中文乱数假文"


def test_a_break_that_was_meant_is_kept():
    """An address: the next word would have fitted."""
    lines = [line("Main Street 1", 0, 0, 130), line("Springfield, a rather long line of text", 0, 28, 500)]
    assert join_rows(rows(lines)) == "Main Street 1\nSpringfield, a rather long line of text"


def test_pieces_of_one_line_are_read_from_left_to_right():
    assert [row.text for row in rows([line("world", 200, 3), line("hello", 0, 0), line("below", 0, 30)])] == [
        "hello world",
        "below",
    ]


def test_an_indent_begins_a_paragraph():
    lines = [
        *column(["first line of it here", "second line of it here"], 0, 0, 500),
        line("indented line of the next", 30, 56, 500),
        *column(["and it goes on to the end", "of the second paragraph ok"], 0, 84, 500),
    ]
    assert [len(group) for group in paragraphs(rows(lines))] == [2, 3]


def test_centred_lines_have_no_indents():
    lines = [line("x" * n, 250 - 5 * n, 28 * i, 250 + 5 * n) for i, n in enumerate((40, 30, 44, 20, 36))]
    assert len(paragraphs(rows(lines))) == 1


def test_a_wide_gap_begins_a_paragraph():
    lines = [*column(["one line of text here", "two"], 0, 0, 500), *column(["three", "four", "five"], 0, 100, 500)]
    assert [len(group) for group in paragraphs(rows(lines))] == [2, 3]


def test_list_items_are_paragraphs():
    lines = [
        line("• first item.", 0, 0, 130), line("• second item, which is", 0, 28, 500),
        line("longer.", 0, 56, 70), line("• third", 0, 84, 80),
    ]  # fmt: skip
    assert [len(group) for group in paragraphs(rows(lines))] == [1, 2, 1]


@given(
    st.lists(
        st.tuples(st.text("ab-• .1中", min_size=1, max_size=8), st.integers(0, 400), st.integers(0, 400)), max_size=15
    )
)
def test_no_line_is_lost_or_doubled_in_paragraphs(placed):
    lines = [line(text, x, y) for text, x, y in placed]
    members = [member for group in paragraphs(rows(lines)) for row in group for member in row.lines]
    assert sorted(members, key=repr) == sorted(lines, key=repr)


# --- whole pages -----------------------------------------------------------------------------------------------------

LEFT = ["The left column begins", "and goes on to here and", "it ends with this line."]
RIGHT = ["The right column begins", "and goes on to there and", "it ends on the far right."]


def test_a_page_without_text_has_no_blocks():
    assert read([]) == []


def test_two_columns_without_any_help_of_the_layout_model():
    lines = column(LEFT, 0, 100, 400) + column(RIGHT, 440, 100, 840)
    assert contents(read(lines)) == [" ".join(LEFT), " ".join(RIGHT)]


def test_two_columns_that_nearly_touch():
    """Five pixels between the columns, a quarter of a line's height: closer than words are to each other."""
    lines = column(LEFT, 0, 100, 400) + column(RIGHT, 405, 100, 805)
    assert contents(read(lines)) == [" ".join(LEFT), " ".join(RIGHT)]


def test_regions_give_labels_and_titles_get_levels():
    lines = [line("2.1 Results of it", 0, 100), *column(LEFT, 0, 150, 400)]
    regions = [Region("paragraph_title", Box(0, 95, 300, 125), 0.9), Region("text", Box(0, 145, 400, 240), 0.9)]
    assert [(p.label, p.level) for p in read(lines, regions)] == [("paragraph_title", 3), ("text", None)]


WIDE = ["A paragraph as wide as the page that", "stands below the columns and goes on", "until its very last line"]


def under_a_title(title, *columns):
    regions = [Region("paragraph_title", title, 0.9)]
    regions += [Region("text", Box(c[0].box.x0, c[0].box.y0, c[0].box.x1, c[-1].box.y1), 0.9) for c in columns]
    lines = [Line(title, "Additional Features", 0.99), *(row for column in columns for row in column)]
    return contents(read(lines, regions))


def test_a_short_title_below_both_columns_stands_above_what_follows_it():
    columns = column(LEFT, 0, 100, 400), column(RIGHT, 440, 100, 840), column(WIDE, 0, 240, 840)
    read_in_order = [" ".join(LEFT), " ".join(RIGHT), "Additional Features", " ".join(WIDE)]
    assert under_a_title(Box(0, 205, 190, 225), *columns) == read_in_order


def test_a_title_in_a_column_stays_in_it():
    """Though a paragraph across both columns follows: it is the right column that stands beside the title."""
    columns = column(LEFT, 0, 100, 400), column(RIGHT, 440, 140, 840), column(WIDE, 0, 240, 840)
    read_in_order = [" ".join(LEFT), "Additional Features", " ".join(RIGHT), " ".join(WIDE)]
    assert under_a_title(Box(0, 200, 190, 220), *columns) == read_in_order


def test_only_the_first_page_has_a_document_title():
    lines = [line("A Large Title", 0, 100, 500, height=50), *column(LEFT, 0, 200, 400), *column(RIGHT, 0, 300, 400)]
    regions = [Region("paragraph_title", Box(0, 95, 500, 155), 0.9)]
    assert read(lines, regions, number=1)[0].label == "doc_title"
    assert read(lines, regions, number=2)[0].label == "paragraph_title"


def test_a_title_as_long_as_a_paragraph_is_one():
    lines = column([text * 4 for text in LEFT], 0, 100, 900)
    assert read(lines, [Region("paragraph_title", Box(0, 90, 900, 300), 0.9)])[0].label == "text"


def test_a_table_of_one_column_is_text():
    pieces = read(column(LEFT, 0, 100, 400), [Region("table", Box(0, 90, 400, 200), 0.9)])
    assert [(p.label, p.content) for p in pieces] == [("text", " ".join(LEFT))]


def test_a_page_taken_for_one_figure_keeps_its_text():
    lines = column(LEFT + RIGHT, 0, 100, 400)
    pieces = read(lines, [Region("image", Box(0, 90, 420, 280), 0.95)])
    assert [p.label for p in pieces] == ["text"]


def test_a_figure_keeps_its_few_words_and_its_place():
    lines = [line("Axis", 100, 300), *column(LEFT, 0, 100, 400), *column(RIGHT, 0, 600, 400)]
    pieces = read(lines, [Region("image", Box(0, 200, 400, 500), 0.9)])
    assert [(p.label, p.content) for p in pieces] == [
        ("text", " ".join(LEFT)), ("image", "Axis"), ("text", " ".join(RIGHT)),
    ]  # fmt: skip


def test_page_number_and_running_head_frame_the_page():
    lines = [line("17", 400, 1950), *column(LEFT, 0, 200, 400), line("A Journal of Things", 0, 50)]
    assert [(p.label, p.content) for p in read(lines)] == [
        ("header", "A Journal of Things"), ("text", " ".join(LEFT)), ("number", "17"),
    ]  # fmt: skip


def head(box):
    return Region("header", Box(*box), 0.9)


@pytest.mark.parametrize("words", [["Potato 1"], ["7"], ["Potato 1", "7"]])
def test_what_is_the_pages_only_text_is_no_furniture(words):
    """A header and a page number by the layout model's word and by position."""
    lines = [line(text, 100, y) for text, y in zip(words, (50, 1950), strict=False)]
    pieces = read(lines, [head((90, 40, 300, 80))])
    assert [(p.label, p.content) for p in pieces] == [("text", text) for text in words]


def test_a_figure_alone_does_not_make_a_head_furniture():
    """Nothing but the figure would be left in the Markdown, and the figure's own words are inside it."""
    lines = [line("Potato 1", 100, 50), line("axis", 300, 800)]
    pieces = read(lines, [head((90, 40, 300, 80)), Region("image", Box(100, 300, 900, 1500), 0.9)])
    assert [(p.label, p.content) for p in pieces] == [("text", "Potato 1"), ("image", "axis")]


def test_a_head_beside_other_text_is_furniture():
    pieces = read([line("Potato 1", 100, 50), *column(LEFT, 100, 300, 500)], [head((90, 40, 300, 80))])
    assert [p.label for p in pieces] == ["header", "text"]


def test_formulas_are_valid_latex_although_nobody_can_read_them():
    pieces = read([line("E_k = 50% {x}", 0, 100)], [Region("display_formula", Box(0, 90, 400, 130), 0.9)])
    assert contents(pieces) == [r"\text{E\_k = 50\% \{x\}}"]


@given(
    st.lists(
        st.tuples(st.text("ab1-.", min_size=1, max_size=9), st.integers(0, 800), st.integers(0, 900)), max_size=20
    ),
    st.lists(
        st.tuples(
            st.sampled_from(["text", "table", "image", "paragraph_title", "header", "display_formula"]),
            st.integers(0, 800), st.integers(0, 900), st.integers(5, 500), st.integers(5, 500),
        ),
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_no_page_loses_text_and_the_same_page_reads_the_same(placed, areas, random):
    lines = [line(text, x, y) for text, x, y in placed]
    regions = [Region(label, Box(x, y, x + w, y + h), 0.9) for label, x, y, w, h in areas]
    pieces = read(lines, regions, number=1, height=1000.0)
    letters = sorted("".join(piece.content for piece in pieces if piece.label not in ("table", "display_formula")))
    for letter in "ab1.":
        assert letters.count(letter) <= sum(text.count(letter) for text, _, _ in placed)
    if not any(label in ("table", "display_formula") for label, *_ in areas):
        assert [c for c in letters if c in "ab1."] == sorted(c for text, _, _ in placed for c in text if c in "ab1.")
    random.shuffle(lines)
    random.shuffle(regions)
    assert read(lines, regions, number=1, height=1000.0) == pieces


def test_a_stamp_on_its_side_is_neither_title_nor_text():
    stamp = Line(Box(5, 300, 55, 1300), "arXiv:2103.15348v2 [cs.CV] 21 Jun 2021", 0.95)
    pieces = read([*column(LEFT, 200, 100, 700), *column(RIGHT, 200, 400, 700), stamp], number=1)
    assert [p.label for p in pieces if p.content.startswith("arXiv")] == ["aside_text"]
    assert "doc_title" not in {p.label for p in pieces}


# --- pages askew -----------------------------------------------------------------------------------------------------

CENTRE = (500.0, 700.0)


def leaning_corners(box, degrees):
    around = leaning(Box(box[0], box[1], box[0], box[1]), math.radians(degrees), CENTRE)
    end = leaning(Box(box[2], box[1], box[2], box[1]), math.radians(degrees), CENTRE)
    return (around.x0, around.y0), (end.x0, end.y0)


@pytest.mark.parametrize("degrees", [-4, -1, 1, 2.5])
def test_the_skew_of_a_page_is_seen(degrees):
    lines = [leaning_corners((100, y, 900, y + 20), degrees) for y in range(100, 400, 30)]
    assert math.degrees(skew(lines)) == pytest.approx(degrees, abs=0.01)


def test_short_lines_and_outliers_do_not_decide():
    lines = [leaning_corners((100, y, 900, y + 20), 2) for y in range(100, 400, 30)]
    lines += [((0, 0), (30, 20))] * 8
    assert math.degrees(skew(lines)) == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("degrees", [0, 0.2, 20, 90])
def test_straight_pages_and_lines_turned_on_purpose_stay(degrees):
    assert skew([leaning_corners((100, y, 900, y + 20), degrees) for y in range(100, 400, 30)]) == 0


@given(st.floats(-0.2, 0.2), st.tuples(*[st.floats(0, 500)] * 4))
def test_straightening_and_back_contains_the_box(angle, values):
    box = Box(values[0], values[1], values[0] + values[2], values[1] + values[3])
    around = leaning(box, angle, CENTRE)
    assert around.area >= box.area * 0.99 - 1e-6
    middle = moved(moved(box, angle, CENTRE), -angle, CENTRE)
    assert middle == pytest.approx(box, abs=1e-6)
    corners = [(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)]
    assert straightened(corners, 0.0, CENTRE) == pytest.approx(box, abs=1e-6)


# --- labels and tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["7", "- 12 -", "xiv", "Page 3 of 10", "3/10", "Seite 4"])
def test_page_numbers(text):
    assert margin_label(text, Box(0, 1900, 50, 1920), 2000, 60, UNIT, outermost=True) == "number"


@pytest.mark.parametrize(
    ("text", "y0", "gap", "outermost"),
    [("7", 1000, 60, True), ("7", 1900, 5, True), ("7", 1900, 60, False), ("Seven", 1700, 60, True)],
    ids=["in the middle", "close to the text", "not the last", "a word above the margin"],
)
def test_what_is_no_page_number(text, y0, gap, outermost):
    assert margin_label(text, Box(0, y0, 50, y0 + 20), 2000, gap, UNIT, outermost=outermost) is None


@pytest.mark.parametrize(
    ("text", "level"),
    [("Introduction", 2), ("1. Introduction", 2), ("3.1 Speed", 3), ("3.1.4 More", 4), ("2024 in view", 2)],
)
def test_title_levels(text, level):
    assert title_level(text) == level


def test_a_table_by_position():
    cells = [("Name", 0, 0), ("Value", 200, 0), ("a & b", 0, 30), ("1", 200, 30), ("c", 0, 60), ("2", 200, 60)]
    assert table_html([line(*cell) for cell in cells]) == (
        "<table><tr><td>Name</td><td>Value</td></tr><tr><td>a &amp; b</td><td>1</td></tr>"
        "<tr><td>c</td><td>2</td></tr></table>"
    )


def test_empty_cells_and_headings_that_span():
    lines = [
        line("both of them together", 100, 0, 400),
        *[line(t, x, 30) for t, x in (("x", 0), ("yy", 120), ("zz", 340))],
    ]
    lines.append(line("w", 0, 60))
    assert table_html(lines) == (
        '<table><tr><td></td><td colspan="2">both of them together</td></tr>'
        "<tr><td>x</td><td>yy</td><td>zz</td></tr><tr><td>w</td><td></td><td></td></tr></table>"
    )


@given(
    st.lists(
        st.tuples(st.text("ab<&", min_size=1, max_size=5), st.integers(0, 400), st.integers(0, 200)),
        min_size=1,
        max_size=15,
    )
)
def test_all_rows_of_a_table_are_equally_wide_and_hold_all_text(placed):
    html = table_html([line(text, x, y) for text, x, y in placed])
    widths = {row.count("<td") + sum(int(n) - 1 for n in _spans(row)) for row in html.split("</tr>")[:-1]}
    assert len(widths) == 1
    shown = html.replace("&lt;", "<").replace("&amp;", "&")
    for letter in "&":
        assert shown.count(letter) == sum(text.count(letter) for text, _, _ in placed)


def _spans(row):
    return [part.split('"')[0] for part in row.split('colspan="')[1:]]
