"""Glyphs to lines: spaces, runs, doubles, directions, and what their codes stand for. Glyphs are set by hand."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.layers import STYLE, glyph, word
from workers.textlayer.direction import reading_order
from workers.textlayer.encoding import broken_part, composed, is_broken, plain
from workers.textlayer.lines import text_lines

EM = STYLE.em


def texts(glyphs):
    return sorted(line.text for line in text_lines(glyphs))


def spaced(gaps, letters="abcdefghijklmnop", width=10.0):
    """Letters with so many ems between them."""
    x, glyphs = 0.0, []
    for letter, gap in zip(letters, [0.0, *gaps], strict=False):
        x += gap * EM
        glyphs.append(glyph(letter, x, width=width))
        x += width
    return glyphs


# --- spaces ---


def test_a_gap_as_wide_as_a_space_is_one():
    assert texts(spaced([0, 0.25, 0, 0])) == ["ab cde"]


def test_a_kerned_gap_is_none():
    assert texts(spaced([0.08, 0, -0.05, 0.09, 0.2, 0])) == ["abcde fg"]


def test_a_shrunk_space_of_a_justified_line_is_one():
    # From a paper whose line was shrunk to 0.14 em; nothing else in it is near that.
    assert texts(spaced([0, -0.02, 0.142, 0, 0])) == ["abc def"]


def test_a_gap_of_that_size_among_others_a_little_smaller_is_none():
    assert texts(spaced([0, 0.07, 0.142, 0, 0.09])) == ["abcdef"]


def test_letters_of_a_spaced_out_heading_are_no_words():
    assert texts(spaced([0.18] * 4 + [0.6] + [0.18] * 4)) == ["abcde fghij"]


def test_words_of_one_letter_are_words():
    assert texts(spaced([0.33] * 6)) == ["a b c d e f g"]


def test_a_written_space_counts_and_a_space_taken_back_by_kerning_does_not():
    first = [*word("Tab", 0), glyph(" ", 30, width=5), *word("le", 33, width=8)]
    assert texts(first) == ["Tab le"]
    taken_back = [*word("T", 0), glyph(" ", 10, width=5), *word("able", 10.5)]
    assert texts(taken_back) == ["Table"]


def test_han_characters_that_are_spread_to_fill_the_line_are_one_word():
    assert texts(spaced([0.3] * 5, "安装系统之前", width=20)) == ["安装系统之前"]


def test_many_spaces_are_one():
    spaces = [glyph(" ", 20 + 5 * i, width=5) for i in range(3)]
    assert texts([*word("ab", 0), *spaces, *word("cd", 35)]) == ["ab cd"]


# --- runs ---


def test_what_stands_farther_apart_than_a_column_is_two_lines():
    assert texts([*word("left", 0), *word("right", 80)]) == ["left", "right"]


def test_a_word_drawn_in_two_pieces_out_of_order_is_one():
    assert texts([*word("able", 10), *word("elsewhere", 0, y=300), *word("T", 0)]) == ["Table", "elsewhere"]


def test_an_index_stays_in_its_line_and_the_next_line_does_not():
    small = replace(STYLE, em=12.0)
    line = [*word("mc", 0), *word("2", 20, y=93, width=6, style=small), *word("is", 32)]
    assert texts([*line, *word("next", 0, y=124)]) == ["mc2 is", "next"]


def test_bold_letters_that_were_drawn_twice_are_read_once():
    line = word("bold", 0)
    assert texts([*line, *word("bold", 0.6)]) == ["bold"]
    shadow = [other for letter in line for other in (letter, letter._replace(x=letter.x + 1.5, y=letter.y + 1.5))]
    assert texts(shadow) == ["bold"]


def test_twins_side_by_side_are_no_doubles():
    narrow = [glyph("l", 4.4 * i, width=4.4) for i in range(3)]
    assert texts(narrow) == ["lll"]


def test_letters_of_one_origin_and_many_places_are_no_doubles():
    """So pdfium tells of some fonts in LuaTeX's files."""
    assert texts([letter._replace(x=0.0) for letter in word("restoremathleading", 0)]) == ["restoremathleading"]


def test_letters_below_each_other_are_vertical_writing_where_they_are_han():
    column = [glyph(char, 50, 100 + 22 * i, width=20) for i, char in enumerate("日本語")]
    (line,) = text_lines(column)
    assert line.text == "日本語"
    assert line.corners[2][1] - line.corners[0][1] > 2 * (line.corners[1][0] - line.corners[0][0])
    assert texts([glyph(char, 50, 100 + 22 * i) for i, char in enumerate("abc")]) == ["a", "b", "c"]


def test_lines_that_run_upwards_are_lines():
    up = replace(STYLE, angle=-math.pi / 2)
    glyphs = [
        glyph(char, 100, 300 - 10 * i, style=up)._replace(cell=(84, 290 - 10 * i, 104, 300 - 10 * i))
        for i, char in enumerate("abc")
    ]
    (line,) = text_lines(glyphs)
    assert line.text == "abc"
    assert line.corners[1][1] < line.corners[0][1]


def test_every_line_is_as_high_as_its_text_even_a_row_of_dots():
    dots = [letter._replace(box=(letter.x + 4, 98, letter.x + 6, 100)) for letter in word("....", 0)]
    (line,) = text_lines(dots)
    assert line.corners[3][1] - line.corners[0][1] > 0.8 * EM


def test_accents_that_are_glyphs_of_their_own_join_their_letters():
    assert texts([*word("caf", 0), glyph("´", 31, width=6), glyph("e", 30)]) == ["café"]
    assert texts([glyph("ı", 0), glyph("¨", 2, width=5)]) == ["ï"]


def test_an_unknown_sign_before_a_line_is_a_bullet():
    assert texts([glyph("\uf123", 0), *word("item", 16)]) == ["• item"]


@given(st.lists(st.sampled_from("ab א١ ,("), min_size=1, max_size=30))
def test_no_letter_is_lost_or_doubled(letters):
    # Wider apart than doubles, so that the same letter twice is two.
    found = "".join(texts([glyph(char, 10.0 * i) for i, char in enumerate(letters)]))
    assert sorted(found.replace(" ", "")) == sorted("".join(letters).replace(" ", ""))


# --- right to left ---


def read(visual, *, rtl):
    pieces = list(visual)
    return "".join(pieces[i] for i in reading_order(pieces, rtl=rtl))


@pytest.mark.parametrize(
    ("seen", "meant"),
    [
        ("abc def", "abc def"),
        ("גבא", "אבג"),
        ("ו גבא", "אבג ו"),
        ("גבא abc def ו", "ו abc def אבג"),
        ("in 2024 גבא of us", "in 2024 אבג of us"),
        ("2024 תנש", "שנת 2024"),
        ("50% תנש", "שנת 50%"),
        ("3.14 תנש", "שנת 3.14"),
        (".גבא", "אבג."),
        ("", ""),
        ("123", "123"),
    ],
)
def test_what_is_seen_from_the_left_is_read_from_the_right(seen, meant):
    assert read(seen, rtl=not seen.isascii() and not seen.startswith("in")) == meant


@given(st.text("אבג abc 123.,", max_size=40))
def test_reading_order_is_an_order(seen):
    assert sorted(reading_order(list(seen), rtl=True)) == list(range(len(seen)))
    assert read(read(seen, rtl=False), rtl=False) == seen


def test_a_line_of_mostly_foreign_words_runs_as_its_page_does():
    line = [*word("בא", 0), *word("Mozilla", 30), *word("א", 110)]
    page = word("אבגדהוזחטיאבגדה", 0, y=300)
    assert "א Mozilla אב" in texts([*line, *page])
    assert "אב Mozilla א" in texts(line)


def test_vowel_signs_stay_with_their_letters():
    """Points of Hebrew stand on their letters, whenever they were drawn."""
    letters = [glyph("ב", 0), glyph("א", 10)]
    points = [glyph("ָ", 14, width=1), glyph("ּ", 4, width=1)]
    assert texts([*points, *letters]) == ["אָבּ"]


# --- codes ---


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("ﬁ", "fi"), ("ﬃ", "ffi"), ("ﻻ", "لا"), ("\uf0b7", "•"), ("\x02", ""), ("\u200e", ""), ("²", "²"), ("½", "½"),
        ("\ue123", "\ufffd"), ("\ufffe", "\ufffd"), ("\ud800", "\ufffd"), ("é", "é"), ("漢", "漢"),
        ("\u00ad", "\u00ad"),
    ],
)  # fmt: skip
def test_codes_are_spelt_out(code, text):
    assert plain(code) == text


def test_a_soft_hyphen_that_is_drawn_is_a_hyphen():
    assert texts([*word("informa", 0), glyph("\u00ad", 70)]) == ["informa-"]


def test_codes_taken_for_characters_are_broken_beyond_latin():
    assert is_broken(glyph("ऋ", 0)._replace(guessed=True))
    assert not is_broken(glyph("ऋ", 0))
    assert not is_broken(glyph("é", 0)._replace(guessed=True))


def test_spaces_do_not_water_down_what_is_broken():
    assert broken_part([glyph("\ue000", 0), glyph("a", 10), *(glyph(" ", 20 + i) for i in range(8))]) == 0.5
    assert broken_part([]) == 0.0


def test_accents_without_a_letter_for_them_stay():
    assert composed("´", "q") is None
    assert composed("x", "e") is None
