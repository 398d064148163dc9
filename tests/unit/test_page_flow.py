"""What belongs together on a page: titles inside of text, footnotes, running heads, paragraphs in two columns."""

import pytest

from jobs.markdown import page_markdown, page_text
from jobs.results import Block, EngineInfo, PageResult
from jobs.wording import joined, words_seen
from workers.engines.rapidocr.arrange import arrange
from workers.engines.rapidocr.geometry import Box, Line, Region
from workers.engines.rapidocr.labels import corrected
from workers.engines.rapidocr.skew import band, straightened

BODY, BOLD = 1, 2


def line(text, x0, y0, x1=None, height=20.0, font=None):
    return Line(Box(x0, y0, x1 if x1 is not None else x0 + 10 * len(text), y0 + height), text, 0.99, font=font)


def column(texts, x0, y0, x1, pitch=28.0, height=20.0, font=None):
    return [line(text, x0, y0 + pitch * i, x1, height, font) for i, text in enumerate(texts)]


def read(lines, regions=(), number=2):
    return arrange(lines, list(regions), number=number, width=1000.0, height=2000.0)


def told(pieces):
    return [(piece.label, piece.content) for piece in pieces]


TEXT = [
    "This is the text that stands below the",
    "title and goes on for several rows, all of",
    "them as wide as the column is here.",
]
AFTER = " ".join(TEXT)


# --- titles ----------------------------------------------------------------------------------------------------------


def test_a_line_in_a_font_of_its_own_above_a_paragraph_is_a_title():
    lines = [line("Stock-Based Compensation", 0, 100, 240, font=BOLD), *column(TEXT, 0, 128, 500, font=BODY)]
    region = Region("reference_content", Box(0, 95, 500, 220), 0.9)
    assert told(read(lines, [region])) == [("paragraph_title", "Stock-Based Compensation"), ("text", AFTER)]


def test_two_titles_far_apart_are_two():
    lines = [
        line("Recently Issued", 0, 60, 150, font=BOLD), line("Recently Adopted", 0, 100, 160, font=BOLD),
        *column(TEXT * 2, 0, 130, 500, font=BODY),
    ]  # fmt: skip
    pieces = read(lines, [Region("text", Box(0, 55, 500, 320), 0.9)])
    assert [p.content for p in pieces if p.label == "paragraph_title"] == ["Recently Issued", "Recently Adopted"]


def test_a_paragraph_in_another_font_is_none():
    lines = column(TEXT, 0, 100, 500, font=BOLD) + column(TEXT * 3, 0, 200, 500, font=BODY)
    assert {p.label for p in read(lines, [Region("text", Box(0, 95, 500, 460), 0.9)])} == {"text"}


def test_a_line_in_a_font_of_its_own_above_nothing_is_none():
    lines = [*column(TEXT, 0, 100, 500, font=BODY), line("The Editors", 0, 200, 110, font=BOLD)]
    assert told(read(lines, [Region("text", Box(0, 95, 500, 225), 0.9)]))[-1] == ("text", "The Editors")


@pytest.mark.parametrize(
    "title", ["Abstract", "ABSTRACT", "CCS CONCEPTS", "7.4. Concentration in the states", "References"]
)
def test_words_capitals_and_numbers_are_titles_without_a_font(title):
    lines = [line(title, 0, 100, 150), *column(TEXT, 0, 128, 500)]
    assert told(read(lines, [Region("text", Box(0, 95, 500, 220), 0.9)]))[0] == ("paragraph_title", title)


@pytest.mark.parametrize("row", ["IBM 360.", "Figure 3: ABC", "f(x) = 2;", "and the end", "1. cos 30° + sin 30°"])
def test_other_short_lines_are_not(row):
    lines = [line(row, 0, 100, 150), *column(TEXT, 0, 128, 500)]
    assert all(p.label != "paragraph_title" for p in read(lines, [Region("text", Box(0, 95, 500, 220), 0.9)]))


def test_numbers_above_each_other_are_a_table_of_contents():
    lines = [
        *column(["4.1 Pre-processing", "4.2 Recognition", "5.1 Better input"], 0, 100, 200),
        *column(TEXT, 0, 300, 500),
    ]
    pieces = read(lines, [Region("text", Box(0, 95, 500, 200), 0.9)])
    assert all(p.label != "paragraph_title" for p in pieces)


def test_of_two_answers_for_one_place_the_title_counts():
    box = Box(200, 95, 320, 125)
    lines = [line("Gravy", 205, 100, 315), *column(TEXT, 0, 140, 500)]
    regions = [
        Region("text", box, 0.6),
        Region("paragraph_title", box, 0.5),
        Region("text", Box(0, 135, 500, 230), 0.9),
    ]
    assert [p.label for p in read(lines, regions)] == ["paragraph_title", "text"]


def test_titles_without_a_number_get_levels_by_their_size():
    lines, regions = [], []
    for i, (text, height) in enumerate([("MAIN GAME", 60), ("Creatures", 40), ("Horror", 28), ("Abomination", 40)]):
        y = 100 + 200 * i
        lines += [line(text, 0, y, 200, height), *column(TEXT, 0, y + 70, 500)]
        regions += [
            Region("paragraph_title", Box(0, y, 200, y + height), 0.9),
            Region("text", Box(0, y + 65, 500, y + 160), 0.9),
        ]
    assert [p.level for p in read(lines, regions) if p.label == "paragraph_title"] == [2, 3, 4, 3]


def test_a_numbered_title_is_not_the_documents():
    lines = [line("2.1.1 Pretraining data", 0, 100, 220, 40), *column(TEXT, 0, 160, 500)]
    pieces = read(lines, [Region("paragraph_title", Box(0, 95, 220, 145), 0.9)], number=1)
    assert (pieces[0].label, pieces[0].level) == ("paragraph_title", 4)


# --- foot and head ---------------------------------------------------------------------------------------------------

SMALL = ["Permission to make copies of all of this work", "is granted without fee to everybody who asks."]


def columns_with_a_note(note, **print_):
    left = column(
        ["The left column begins up here and", "runs down to", "where it is cut off in a sen-"] * 3, 0, 1000, 480
    )
    right = column(["tence that goes on up here in the other", "column until its end."], 520, 1000, 1000)
    return left + column(note, 0, 1290, 480, **print_) + right


def test_small_print_at_the_foot_of_a_column_is_a_footnote():
    pieces = read(columns_with_a_note(SMALL, pitch=20, height=14))
    assert [p.label for p in pieces] == ["text", "footnote", "text"]


def test_print_of_the_usual_size_is_none():
    assert [p.label for p in read(columns_with_a_note(SMALL))] == ["text", "text", "text"]


def test_a_paragraph_goes_on_behind_the_footnote():
    pieces = read(columns_with_a_note(SMALL, pitch=20, height=14))
    assert [p.goes_on_from for p in pieces] == [None, None, 0]


def test_a_page_number_makes_a_head_of_what_stands_beside_it():
    lines = [line("248", 0, 100, 40), line("THE COOK BOOK", 300, 104, 450), *column(TEXT * 2, 0, 200, 500)]
    assert [p.label for p in read(lines)] == ["number", "header", "text"]


def test_the_first_row_of_two_columns_is_no_head():
    lines = column(TEXT, 0, 100, 480) + column(TEXT, 520, 100, 1000)
    assert [p.label for p in read(lines)] == ["text", "text"]


# --- formulas, hyphens -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Listing 1: Simple JavaScript Program", "figure_title"),
        ("where (as above) all of them are finite", "text"),
        ("E = mc2", "display_formula"),
        ("f(x) = sin(x) + cos(x)", "display_formula"),
    ],
)
def test_a_formula_that_is_mostly_words_is_none(text, label):
    assert corrected("display_formula", text) == label


@pytest.mark.parametrize(
    ("left", "right", "page", "whole"),
    [
        ("a high-", "quality", ["of high quality"], "a high-quality"),
        ("the informa-", "tion", [], "the information"),
        ("DocLayNet-", "trained", ["in DocLayNet we"], "DocLayNet-trained"),
        ("some-", "thing", ["something", "some thing"], "something"),
        ("Anglo-", "Saxon", [], "Anglo-Saxon"),
        ("Haupt-", "und Nebensatz", [], "Haupt- und Nebensatz"),
    ],
)
def test_hyphens_at_the_ends_of_lines(left, right, page, whole):
    assert joined(left, right, words_seen(page)) == whole


# --- Markdown --------------------------------------------------------------------------------------------------------


def page(*blocks):
    made = [
        Block(label=label, bbox=(0, 0, 1, 1), content=content, order=i, goes_on_from=start)
        for i, (label, content, start) in enumerate(blocks)
    ]
    return PageResult(number=1, blocks=tuple(made), engine=EngineInfo(name="e", version="1", model="m"))


IN_THREE = page(
    ("text", "The text is cut off in a sen-", None), ("footnote", "* A note.", None),
    ("text", "tence that goes on,", 0), ("table", "<table><tr><td>1</td></tr></table>", None), ("text", "and on.", 2),
)  # fmt: skip


def test_markdown_has_paragraphs_in_one_piece_and_notes_at_the_foot():
    assert page_markdown(IN_THREE).split("\n\n") == [
        "The text is cut off in a sentence that goes on, and on.",
        "<table><tr><td>1</td></tr></table>",
        "\\* A note.",
    ]


def test_plain_text_too():
    assert page_text(IN_THREE) == "The text is cut off in a sentence that goes on, and on.\n\n1\n\n* A note."


def test_what_goes_on_from_a_block_that_is_not_shown_stays():
    assert page_text(page(("header", "Head", None), ("text", "goes on", 0))) == "goes on"


# --- curved pages ----------------------------------------------------------------------------------------------------


def test_a_leaning_line_is_as_high_as_it_is_thick():
    """Else the lines of a curved page, which lean each by its own angle, would seem to stand side by side."""
    corners = ((0.0, 100.0), (1000.0, 30.0), (1002.0, 60.0), (2.0, 130.0))
    box = band(corners, 0.0, (0.0, 0.0))
    assert straightened(corners, 0.0, (0.0, 0.0)).height == 100
    assert box.height == pytest.approx(30, abs=0.1)
    assert (box.y0 + box.y1) / 2 == 80


def test_lines_that_lean_differently_stay_in_their_rows_and_are_inside_of_the_block():
    rows = [
        Line(Box(0, y, 1000, y + 30), f"row {i} of the curved page that is long,", 0.9, Box(0, y - 60, 1000, y + 90))
        for i, y in enumerate((100, 145, 190))
    ]
    (piece,) = read(rows)
    assert piece.content == " ".join(row.text for row in rows)
    assert piece.box == Box(0, 40, 1000, 280)
