"""Plain text of pages and tables."""

import pytest

from api.text import page_text, table_text
from jobs.results import Block, EngineInfo, PageResult


def page(*blocks):
    made = [
        Block(label=label, bbox=(0, 0, 1, 1), content=content, order=order)
        for order, (label, content) in enumerate(blocks)
    ]
    return PageResult(number=1, blocks=tuple(reversed(made)), engine=EngineInfo(name="echo", version="1", model="x"))


def test_paragraphs_in_reading_order_without_furniture():
    text = page_text(page(("header", "Journal"), ("doc_title", "Title"), ("text", "one\n\n \ntwo  "), ("number", "7")))
    assert text == "Title\n\none\n\ntwo"


def test_a_page_without_text():
    assert page_text(page()) == ""
    assert page_text(page(("image", ""))) == ""


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>1 &lt; 2</td><td></td></tr></table>", "a\tb\n1 < 2"),
        ("<table>\n <tr>\n  <th>a</th>\n  <td>b\n c</td>\n </tr>\n</table>", "a\tb c"),
        ("<table><tr><td></td><td>x</td></tr></table>", "\tx"),
        ("<table><caption>Sums</caption><tr><td>1<br>2</td></tr></table>", "Sums\n1 2"),
        ("<table><tr><td>a<script>alert(1)</script></td></tr></table>", "a"),
        ("<table><tr><td>unclosed<td>cells<tr><td>here", "unclosed\tcells\nhere"),
        ("no table at all", "no table at all"),
        ("", ""),
    ],
)
def test_tables(html, text):
    assert table_text(html) == text
