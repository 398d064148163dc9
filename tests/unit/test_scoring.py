"""Scores of texts: values worked out by hand, and rules that hold for every text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.results import Block, EngineInfo, PageResult
from jobs.scoring import score as score_module
from jobs.scoring.characters import edit_distance, shared
from jobs.scoring.normalization import normalized, words
from jobs.scoring.order import anchors, in_order
from jobs.scoring.reading import Reading, from_html, from_markdown, from_page, from_text
from jobs.scoring.score import Score, score, text_score, total

LEFT = "The left column speaks of rivers, bridges and the boats below them. "
RIGHT = "On the right we find mountains, quiet glaciers & a hut with four beds. "


# --- what counts as the same -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("ﬁne ﬂoor", "fine floor"),  # ligatures
        ("“Don’t” – he said — no", '"Don\'t" - he said - no'),
        ("exam-\nple", "example"),  # a word cut at the line's end
        ("exam\u00ad\nple", "example"),
        ("exam\ufffeple", "example"),  # as pdfium writes a hyphen at the line's end
        ("Anglo-\nSaxon", "Anglo-Saxon"),
        ("a\u200bb\ufeffc\x00d", "abcd"),
        ("a \n\t b", "a b"),
        ("● one", "• one"),
        ("Chapter ........ 7", "Chapter ... 7"),
        ("中文 文字", "中文文字"),  # blanks between Han characters mean nothing
        ("中文，文字", "中文,文字"),
    ],
)
def test_texts_that_count_as_the_same(text, same):
    assert normalized(text) == normalized(same) == same


@pytest.mark.parametrize(("text", "kept"), [("“a” – ﬁ", "“a” – ﬁ"), ("ＡＢ", "ＡＢ"), ("exam-\nple  x", "example x")])
def test_exact_keeps_quotes_dashes_widths_and_ligatures(text, kept):
    assert normalized(text, exact=True) == kept


@pytest.mark.parametrize(("a", "b"), [("a", "A"), ("a.", "a"), ("O", "0"), ("well-known", "wellknown"), ("a b", "ab")])
def test_letters_case_punctuation_and_blanks_count(a, b):
    assert normalized(a) != normalized(b)


@given(st.text())
def test_normalizing_twice_changes_nothing(text):
    # Not so for hyphens at line ends: the first time they are gone, and NFKC is stable.
    once = normalized(text)
    assert normalized(once) == once


def test_words_are_small_and_han_characters_stand_alone():
    assert words("Don't re-read 中文 X9") == ["don't", "re-read", "中", "文", "x9"]


# --- characters --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "read", "distance"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("same", "same", 0), ("ab", "ba", 2), ("día", "dia", 1)],
)
def test_edit_distance(truth, read, distance):
    assert edit_distance(truth, read) == distance


def test_edit_distance_of_long_texts_that_share_nothing():
    assert edit_distance("a" * 5000, "b" * 4000) == 5000


def test_shared_counts_each_as_often_as_both_have_it():
    assert shared("aab", "abb") == 2
    assert shared(["one", "one"], ["one"]) == 1


@pytest.mark.parametrize(
    ("truth", "read", "cer", "recall"),
    [
        ("abcd", "abcd", 0.0, 1.0),
        ("abcd", "abxd", 0.25, 0.75),
        ("abcd", "", 1.0, 0.0),
        ("abcd", "dcba", 1.0, 1.0),  # everything found, nothing in its place
        ("ab", "abcdefgh", 3.0, 1.0),  # more was made up than there is
    ],
)
def test_rates(truth, read, cer, recall):
    found = text_score(truth, read)
    assert (found.cer, found.recall) == (cer, recall)


def test_a_blank_page_has_no_rates():
    blank = text_score("", "")
    assert (blank.cer, blank.recall, blank.word_recall, blank.order, blank.teds) == (None,) * 5
    assert text_score(" \n", "noise").edits == 5


def test_word_recall_is_free_of_order_and_case():
    assert text_score("one two three four", "FOUR three Two uno").word_recall == 0.75


def test_a_total_weighs_documents_by_their_length():
    both = total([text_score("a" * 90, "a" * 90), text_score("b" * 10, "")])
    assert both.cer == 0.1
    assert total([]) == Score()


def test_texts_too_long_to_compare_are_refused(monkeypatch):
    monkeypatch.setattr(score_module, "LONGEST", 10)
    with pytest.raises(ValueError, match="11 characters are too many to compare at once, limit 10"):
        text_score("a", "b" * 11)


# --- order -------------------------------------------------------------------------------------------------------


def test_a_text_in_order():
    assert text_score(LEFT + RIGHT, LEFT + RIGHT).order == 1.0


def test_columns_in_the_wrong_order():
    assert text_score(LEFT + RIGHT, RIGHT + LEFT).order == pytest.approx(0.5, abs=0.05)


def test_lines_read_across_two_columns():
    """Row by row over the gap: each row's pieces are found, half of them are in each other's way."""
    left = [f"left {n} {word}" for n, word in enumerate(["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"])]
    right = [f"right {n} {word}" for n, word in enumerate(["golf", "hotel", "india", "juliett", "kilo", "lima"])]
    across = [line for row in zip(left, right, strict=True) for line in row]
    found = text_score("\n".join(left + right), "\n".join(across))
    assert found.recall == 1.0
    assert found.order is not None
    assert 0.5 <= found.order <= 0.65


def test_errors_of_reading_are_no_errors_of_order():
    assert text_score(LEFT + RIGHT, (LEFT + RIGHT).replace("ri", "n")).order == 1.0


def test_what_stands_twice_says_nothing_of_order():
    assert anchors("abcdefgh abcdefgh", "abcdefgh") == []


@pytest.mark.parametrize(
    ("places", "longest"), [([], 0), ([3, 1, 2], 2), ([5, 4, 3], 1), ([1, 2, 3], 3), ([2, 7, 3, 4, 9, 8], 4)]
)
def test_longest_growing_run(places, longest):
    assert in_order(places) == longest


# --- from results ------------------------------------------------------------------------------------------------


def test_markdown_as_its_reader_sees_it():
    found = from_markdown(
        "# Title\n\nOne *two* `three` &amp; \\*four\\*\n\n- item\n\n![a picture](figures/x.jpg)\n\n"
        "<table><tr><td>a</td><td>b</td></tr></table>\n\n| c | d |\n|---|---|\n| e | f |\n"
    )
    assert found.text.split() == ["Title", "One", "two", "three", "&", "*four*", "item", *"abcdef"]
    assert [table.cells for table in found.tables] == [2, 4]


def test_html_without_its_head_and_scripts():
    found = from_html("<head><title>no</title></head><p>a<br>b</p><script>no</script><style>no</style>c&nbsp;d")
    assert normalized(found.text) == "a b c d"


def page(*blocks):
    return PageResult(number=1, engine=EngineInfo(name="e", version="1", model="m"), blocks=blocks)


def block(order, label, content):
    return Block(label=label, bbox=(0, 0, 1, 1), content=content, order=order)


def test_a_page_in_its_reading_order_with_and_without_furniture():
    result = page(
        block(2, "table", "<table><tr><td>x</td></tr></table>"), block(0, "header", "Head"), block(1, "text", "Body")
    )
    assert from_page(result, furniture=False).text.split() == ["Body", "x"]
    assert from_page(result, furniture=True).text.split() == ["Head", "Body", "x"]
    assert len(from_page(result, furniture=False).tables) == 1


def test_formulas_keep_their_words():
    assert from_page(page(block(0, "display_formula", r"\text{50\% of } x")), furniture=False).text == "50% of  x"
    assert from_markdown("$$\n\\text{a\\_b}\n$$").text.strip() == "a_b"


def test_markup_in_plain_text_is_text():
    assert from_text("# <b>x</b>") == Reading("# <b>x</b>")


def test_tables_only():
    truth, read = (from_html(f"<p>{text}</p><table><tr><td>1</td></tr></table>") for text in ("same", "other"))
    found = score(truth, read, text=False)
    assert (found.teds, found.tables, found.tables_read, found.cer) == (1.0, 1, 1, None)
