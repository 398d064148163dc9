"""Text that a recogniser leaves out because it does not know the letters is noticed, and nothing else is."""

import numpy as np
import pytest

from workers.engines.rapidocr.legibility import assess, is_unread, legible, script_of, warnings
from workers.engines.rapidocr.recognition import ReadLine

HEIGHT = 40
PAGE = (800, 1400, 3)
ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,é")


def quad(x, y, width, height=HEIGHT):
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float32)


def line(text, *, row=0, width=1000, score=0.95):
    return ReadLine(quad(100, 20 + 60 * row, width), text, score)


def page(*lines, ink=True):
    """White paper with strokes, twelve pixels apart, where the lines are."""
    image = np.full(PAGE, 255, np.uint8)
    for x0, y0, x1, y1 in ((*each.quad.min(axis=0).astype(int), *each.quad.max(axis=0).astype(int)) for each in lines):
        for x in range(x0, x1, 12) if ink else ():
            image[y0 + 5 : y1 - 5, x : x + 4] = 0
    return image


# What PP-OCRv6_rec_small gives for lines of Russian, Korean, Devanagari and Arabic of the test documents.
@pytest.mark.parametrize(
    "told", ["   .", "   D G/L", "，，，，", " ).   ,    (, ,    )  -", "3R 3  39 3 3  .    2", ""]
)
def test_a_long_line_of_few_characters_was_not_read(told):
    lines = [line(told, width=HEIGHT * 26)]
    assert is_unread(lines[0])
    found = assess(lines, page(*lines))
    assert (found.found, found.unread, found.unread_part) == (1, 1, 1.0)
    assert found.score is None
    assert legible(lines) == [] or legible(lines)[0].score < 0.95


@pytest.mark.parametrize(
    "told",
    [
        "The quick brown dog jumped over the lazy fox.",
        "新鲜甘草黄酮养分，是扫除肌肤代谢物的最佳清道夫",
        "1. . . . . . . . . . . . . . . . . . . . . . 17",
    ],
)
def test_a_line_that_was_read_is_left_as_it_is(told):
    lines = [line(told)]
    assert not is_unread(lines[0])
    assert legible(lines) == lines
    assert not assess(lines, page(*lines)).foreign


@pytest.mark.parametrize("told", ["", "7", "—"])
def test_short_pieces_say_nothing(told):
    lines = [line(told, width=HEIGHT * 2)]
    assert not assess(lines, page(*lines)).foreign


def test_a_coloured_bar_is_no_text():
    """A highlighted annotation without text was detected as a line, 6 heights long."""
    bar = line("", width=HEIGHT * 6)
    image = page()
    image[20:60, 100 : 100 + HEIGHT * 6] = (0, 255, 255)
    assert not assess([bar], image).foreign


def test_flat_paper_is_no_text():
    lines = [line("")]
    assert not assess(lines, page(*lines, ink=False)).foreign


def test_one_foreign_word_in_a_page_is_not_worth_a_warning():
    lines = [line("A whole line of English text that can be read well.", row=row) for row in range(10)]
    lines.append(line("", row=11, width=HEIGHT * 3))
    assert assess(lines, page(*lines)).unread == 1
    assert not assess(lines, page(*lines)).foreign


def test_the_warning_says_how_much_where_and_in_which_script():
    lines = [line("A whole line of English text that can be read well.", row=row) for row in range(3)]
    lines.append(line("  .", row=5))
    (warning,) = warnings(assess(lines, page(*lines)), "reader.onnx", "Cyrillic")
    assert warning.code == "unsupported_script"
    assert "1 of 4 lines, 25% of the text" in warning.detail
    assert "Cyrillic script" in warning.detail
    assert "reader.onnx" in warning.detail
    assert warning.bbox == (100, 320, 1100, 360)


def test_a_hand_that_is_guessed_at_is_doubtful_though_its_best_lines_are_kept():
    lines = [line("Se fa wie , la totalit d' uce reute A Ngoo ravs", row=row, score=0.45) for row in range(4)]
    lines.append(line("beei est mon teetoment", row=5, score=0.86))
    found = assess(lines, page(*lines))
    assert [each.score for each in legible(lines)] == [0.86]
    assert [warning.code for warning in warnings(found, "reader.onnx", None)] == ["low_confidence"]


def test_nothing_found_is_nothing_to_warn_of():
    assert warnings(assess([], page()), "reader.onnx", None) == ()


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Руководство по установке Debian GNU/Linux", "Cyrillic"),
        ("تحسين الإنتاجية وحل المشكلات", "Arabic"),
        ("세븐일레븐, 미니스톱 CU", "Korean"),
        ("आवृत्ती १.७", "Devanagari"),
        ("Plain English, été 1999", None),
        ("", None),
        ("A long text in English about the letter ж and nothing else", None),
        ("Это по-русски, וזה בעברית", "Cyrillic"),
        ("это וזה קצר", "Hebrew"),
    ],
)
def test_scripts_are_named_by_the_letters_that_the_model_lacks(text, script):
    assert script_of(text, ALPHABET) == script
