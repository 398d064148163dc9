"""Markdown that shows what was read, judged by a real CommonMark parser (with GitHub's tables and strike-through)."""

import itertools
import re
import string
from html import unescape

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from jobs import markdown
from jobs.errors import PageTimeout
from jobs.markdown import (
    clean_table,
    document_markdown,
    document_text,
    escape_text,
    figure_link,
    page_markdown,
    page_text,
)
from jobs.results import Block, EngineInfo, PageEntry, PageResult

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
ENGINE = EngineInfo(name="echo", version="1", model="echo")


def block(label, content="", order=0, **rest):
    return Block(label=label, bbox=(0, 0, 10, 10), content=content, order=order, **rest)


def page(*blocks, number=1):
    numbered = tuple(b.model_copy(update={"order": i}) for i, b in enumerate(blocks))
    return PageResult(number=number, blocks=numbered, engine=ENGINE)


def shown(markdown):
    """What a reader sees: the text of the HTML without its tags."""
    return unescape(re.sub(r"<[^>]*>", "", PARSER.render(markdown)))


# --- escaping --------------------------------------------------------------------------------------------------------

STRUCTURE = [
    "# no heading", "#", "####### seven", "- no list", "+ no list", "* no list", "> no quote", "1. no list", "1) no",
    "12345. no list", "---", "- - -", "***", "* * *", "___", "===", "```python", "~~~", "    no code", "| a | b |",
    "[a](http://b)", "![a](b)", "[a]: http://b", "[a][b]", "*no emphasis*", "**strong**", "_no_", "__init__", "a*b*c",
    "~~no strike~~", "`code`", "<b>bold</b>", "<script>alert(1)</script>", "<!-- gone -->", "<?php", "</p>",
    "<http://a.b>", "&lt;", "&#65;", "\\*", "\\", "C:\\temp\\", "a\\_b", "--- | ---", ":--- | ---", "5 < 6 and a<b",
    "$$x$$", "snake_case stays", "2 * 3", "_ * _", "[1] Doe, J. (1999)", "*",
]  # fmt: skip


@pytest.mark.parametrize("text", STRUCTURE)
def test_text_never_becomes_structure(text):
    tokens = PARSER.parse(escape_text(text))
    assert [t.type for t in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert {child.type for child in tokens[1].children} <= {"text", "text_special"}
    assert shown(escape_text(text)).strip() == text.strip()


@given(st.lists(st.sampled_from(STRUCTURE), min_size=2, max_size=4))
def test_lines_stay_lines_of_one_paragraph(lines):
    """Underlines, tables and lazy continuation only come to be with the line above."""
    tokens = PARSER.parse(escape_text("\n".join(lines)))
    assert [t.type for t in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert {child.type for child in tokens[1].children} <= {"text", "text_special", "hardbreak"}
    assert sum(child.type == "hardbreak" for child in tokens[1].children) == len(lines) - 1


@given(st.text(st.sampled_from("ab1.)-+*_`~<>&;#!?/\\[]():|=\"' \n"), max_size=40))
def test_any_text_is_shown_as_it_is(text):
    assume("\\(" not in text)  # a formula
    assert "".join(shown(escape_text(text)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    "text",
    ["Smith & Sons, 50% off", "3 * 4 = 12", "snake_case_name", "see [12] and (13)", "5 < 6 > 4", "C# and F#",
     "$5 to $10", "#hashtag", "-5 degrees", "1.5 metres", "C:\\temp"],
)  # fmt: skip
def test_harmless_text_stays_as_it_is(text):
    assert escape_text(text) == text


@pytest.mark.parametrize("text", ["where $x_{i}^2 * y_{j} * z$ holds", "$\\alpha$", "$a_1$ and $b_2$"])
def test_formulas_inside_text_are_kept(text):
    assert escape_text(text) == text


def test_formulas_in_brackets_get_dollars():
    assert escape_text(r"where \(a * b * c\) holds") == "where $a * b * c$ holds"


def test_formulas_carry_no_tags():
    assert "<script" not in escape_text("$x_1 <script>alert(1)</script>$")
    assert "<script" not in page_markdown(page(block("display_formula", "x <script>")))


# --- blocks ----------------------------------------------------------------------------------------------------------


def test_a_page_in_its_parts():
    result = page(
        block("header", "Journal of Things"),
        block("doc_title", "On Things"),
        block("text", "First.\nSecond line."),
        block("paragraph_title", "1.1 Details", level=3),
        block("paragraph_title", "More"),
        block("display_formula", r"E = mc^2"),
        block("image", figure="page-0001-figure-1.jpg"),
        block("figure_title", "Figure 1: a thing"),
        block("table", "<table><tr><td>a</td></tr></table>"),
        block("number", "7"),
    )
    assert page_markdown(result) == (
        "# On Things\n\nFirst.  \nSecond line.\n\n### 1.1 Details\n\n## More\n\n$$\nE = mc^2\n$$\n\n"
        "![](figures/page-0001-figure-1.jpg)\n\nFigure 1: a thing\n\n<table><tr><td>a</td></tr></table>"
    )
    assert page_text(result) == (
        "On Things\n\nFirst.\nSecond line.\n\n1.1 Details\n\nMore\n\nE = mc^2\n\nFigure 1: a thing\n\na"
    )


def test_blocks_follow_their_order_not_their_place_in_the_list():
    result = PageResult(number=1, engine=ENGINE, blocks=(block("text", "second", 1), block("text", "first", 0)))
    assert page_markdown(result) == "first\n\nsecond"


def test_a_blank_page_is_empty():
    assert page_markdown(page()) == page_text(page()) == ""


def test_headings_are_one_line_and_keep_their_text():
    result = page(block("paragraph_title", "A *title*\nin two lines #"))
    assert page_markdown(result).startswith("## ")
    assert PARSER.parse(page_markdown(result))[0].tag == "h2"
    assert shown(page_markdown(result)).strip() == "A *title* in two lines #"


def test_figure_links_are_relative_to_the_prefix_the_caller_names():
    result = page(block("image", figure="page-0001-figure-1.jpg"))
    assert page_markdown(result, figures="a.pdf.figures/") == "![](a.pdf.figures/page-0001-figure-1.jpg)"


def test_figure_names_that_would_end_the_link_are_replaced():
    assert figure_link("a (1)/../b.jpg") == "figures/a--1--..-b.jpg"


def test_a_figure_without_file_shows_its_text():
    assert page_markdown(page(block("image", "Axis of time"))) == "Axis of time"


def test_code_fences_outgrow_the_fences_inside():
    rendered = PARSER.parse(page_markdown(page(block("algorithm", "```\n<b>\n```"))))
    assert [t.type for t in rendered] == ["fence"]
    assert rendered[0].content == "```\n<b>\n```\n"


# --- tables ----------------------------------------------------------------------------------------------------------


def test_tables_keep_their_spans_and_lose_everything_else():
    html = (
        "<table onclick='x()'><tr><td colspan=2 style='x' rowspan=\"3\">a &lt; b</td></tr>"
        "<tr><td><script>alert(1)</script><img src=x onerror=y>c</td></tr></table>"
    )
    assert clean_table(html) == ('<table><tr><td colspan="2" rowspan="3">a &lt; b</td></tr><tr><td>c</td></tr></table>')


@given(st.text(st.sampled_from("<>/=\"' abctdrsipoxle!-&;#1"), max_size=60))
def test_tables_end_what_they_begin_and_hold_known_tags_only(inner):
    html = clean_table(f"<table>{inner}</table>")
    tags = re.findall(r"<(/?)([a-z]+)", html)
    assert {name for _, name in tags} <= {"table", "td", "tr", "th", "br", "b", "i", "s", "p", "ol", "li", "sub", "sup"}
    opened = [name for slash, name in tags if not slash and name != "br"]
    assert sorted(opened) == sorted(name for slash, name in tags if slash)


def test_a_table_that_is_no_html_is_text():
    assert page_markdown(page(block("table", "a <b>\n- c"))) == "a \\<b>  \n\\- c"


def test_a_table_is_one_block_though_its_source_has_blank_lines():
    markdown = page_markdown(page(block("table", "<table><tr>\n\n<td># a</td></tr></table>"), block("text", "after")))
    assert [t.type for t in PARSER.parse(markdown)] == ["html_block", "paragraph_open", "inline", "paragraph_close"]


def test_tables_as_text_have_tabs():
    html = "<table><tr><td>a</td><td></td><td>c &amp; d</td></tr><tr><td colspan=3>e</td></tr></table>"
    assert page_text(page(block("table", html))) == "a\t\tc & d\ne"


# --- lists -----------------------------------------------------------------------------------------------------------


def texts(*contents):
    return page(*(block("text", content) for content in contents))


def kinds(markdown):
    return [t.type for t in PARSER.parse(markdown) if t.nesting >= 0 and t.type != "inline"]


@pytest.mark.parametrize("bullet", ["• ", "•", "◦ ", "▪ ", "‣ ", "● ", "■ ", "· ", "– "])
def test_paragraphs_that_begin_with_bullets_are_a_list(bullet):
    result = texts("Before:", f"{bullet}first\nand on", f"{bullet}second", "After.")
    assert page_markdown(result) == "Before:\n\n- first  \n  and on\n- second\n\nAfter."
    assert page_text(result) == f"Before:\n\n{bullet}first\nand on\n\n{bullet}second\n\nAfter."


def test_lines_that_begin_with_bullets_are_a_list_too():
    assert page_markdown(texts("Before:\n• first\nand on\n• second")) == "Before:\n\n- first  \n  and on\n- second"


@pytest.mark.parametrize(
    "contents",
    [("• alone",), ("a\n• alone",), ("• alone", "text", "• alone"), ("–5 degrees", "–6 degrees"), ("•", "•"),
     ("- a", "- b"), ("* a", "* b"), ("+ a", "+ b"), ("-• a", "-• b"), ("a • b", "c • d"), ("■■", "■■")],
)  # fmt: skip
def test_what_is_no_run_of_bullets_is_no_list(contents):
    markdown = page_markdown(texts(*contents))
    assert set(kinds(markdown)) == {"paragraph_open"}
    assert shown(markdown).split() == " ".join(contents).split()


def test_a_list_ends_where_something_else_stands_between():
    result = page(block("text", "• a"), block("paragraph_title", "T"), block("text", "• b"), block("text", "• c"))
    assert page_markdown(result) == "• a\n\n## T\n\n- b\n- c"


def test_titles_and_code_keep_their_bullets():
    result = page(block("paragraph_title", "• a"), block("paragraph_title", "• b"), block("algorithm", "• c\n• d"))
    assert page_markdown(result) == "## • a\n\n## • b\n\n```\n• c\n• d\n```"


@given(st.lists(st.sampled_from([*STRUCTURE, "[ ] open", "[x] done"]), min_size=2, max_size=4))
def test_text_in_a_list_never_becomes_structure(items):
    tokens = PARSER.parse(page_markdown(texts(*(f"• {item}\n{item}" for item in items))))
    expected = ["list_item_open", "paragraph_open", "inline", "paragraph_close", "list_item_close"] * len(items)
    assert [t.type for t in tokens] == ["bullet_list_open", *expected, "bullet_list_close"]
    inline = [t for t in tokens if t.type == "inline"]
    assert {child.type for t in inline for child in t.children} <= {"text", "text_special", "hardbreak"}
    assert not any(re.match(r"\[[ xX]\]", t.content) for t in inline), "a box to be ticked"


@given(st.lists(st.text(st.sampled_from("ab•–·■ -*[x]#>1.|`~\n\x0b\x00"), max_size=14), max_size=5))
def test_lists_lose_nothing_but_bullets(contents):
    seen = shown(page_markdown(texts(*contents)))
    bare = str.maketrans("", "", "•–·■\x00")
    assert "".join(seen.translate(bare).split()) == "".join("".join(contents).translate(bare).split())


# --- documents -------------------------------------------------------------------------------------------------------


def entries():
    yield PageEntry(number=1, state="succeeded", result=page(block("text", "one")))
    yield PageEntry(number=2, state="succeeded", result=page(number=2))
    yield PageEntry(number=3, state="failed", error=PageTimeout().problem())
    yield PageEntry(number=4, state="canceled")
    yield PageEntry(number=5, state="succeeded", result=page(block("text", "five"), number=5))


def test_a_document_names_the_pages_it_lacks():
    assert "".join(document_markdown(entries())) == (
        "one\n\n<!-- page 3 failed: page_timeout -->\n\n<!-- page 4 canceled -->\n\nfive\n"
    )
    assert "".join(document_text(entries())) == "one\n\n[page 3 failed: page_timeout]\n\n[page 4 canceled]\n\nfive\n"


def test_a_document_streams():
    """Ten thousand pages must not lie in memory: no page is asked for before the one before it was given away."""
    asked = []

    def endless():
        number = 0
        while True:
            number += 1
            asked.append(number)
            yield PageEntry(
                number=number, state="succeeded", result=page(block("text", f"page {number}"), number=number)
            )

    pieces = document_markdown(endless())
    assert next(pieces) == "page 1\n"
    assert next(pieces) == "\npage 2\n"
    assert asked == [1, 2]


def test_what_is_looked_for_first_is_in_all_that_is_escaped():
    """Lines without such a sign are not looked at any further."""
    signs = f"a1 {string.punctuation}"
    for line in map("".join, itertools.product(signs, repeat=3)):
        if markdown._INLINE.search(line) or markdown._FORMULA.search(line):
            assert markdown._SPECIAL.search(line), line
