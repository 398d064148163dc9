"""Markdown, HTML and page results as what scores compare: plain text and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html.parser import HTMLParser

from markdown_it import MarkdownIt

from jobs.results import FURNITURE, Block, PageResult
from jobs.scoring.tables import Table, parse_tables

_SILENT = frozenset({"script", "style", "template", "noscript", "head", "svg"})
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "br", "caption", "dd", "div", "dl", "dt", "figcaption", "figure",
    "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section",
    "table", "td", "th", "tr", "ul",
})  # fmt: skip
_DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.S)
_TEXT = re.compile(r"\\text\{((?:[^{}\\]|\\.)*)\}")
_LATEX = {r"\textbackslash ": "\\", r"\textasciicircum ": "^", r"\textasciitilde ": "~"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A page or document as it is compared."""

    text: str
    """Not normalized yet, cells of tables included. Lines as they stand, so that hyphens at their ends can be seen."""
    tables: tuple[Table, ...] = ()


def from_text(text: str) -> Reading:
    """Plain text: nothing in it is markup."""
    return Reading(text)


def from_html(html: str) -> Reading:
    """The text between the tags, blocks and cells on lines of their own; scripts, styles and the head left out."""
    parser = _TextParser()
    parser.feed(html)
    parser.close()
    return Reading("".join(parser.parts), tuple(parse_tables(html)))


def from_markdown(markdown: str) -> Reading:
    """CommonMark with pipe tables, HTML and `$$` formulas: what a reader of the rendered page sees, images left out."""
    source = _DISPLAY.sub(lambda match: plain_latex(match.group(1)), markdown)
    return from_html(MarkdownIt("commonmark").enable("table").render(source))


def from_page(page: PageResult, *, furniture: bool) -> Reading:
    """The blocks in reading order. `furniture`: with heads, feet, page numbers and footnotes, which Markdown omits."""
    blocks = sorted(page.blocks, key=lambda block: block.order)
    return joined(_from_block(block) for block in blocks if furniture or block.label not in FURNITURE)


def joined(readings: Iterable[Reading]) -> Reading:
    """One after the other."""
    parts = list(readings)
    return Reading("\n".join(part.text for part in parts), tuple(table for part in parts for table in part.tables))


def plain_latex(latex: str) -> str:
    r"""LaTeX whose words in `\text{…}` are words again; whatever else it says stays as it is."""
    return _TEXT.sub(lambda match: _unescaped(match.group(1)), latex)


def _unescaped(text: str) -> str:
    for command, character in _LATEX.items():
        text = text.replace(command, character)
    return re.sub(r"\\([{}$%#&_])", r"\1", text)


def _from_block(block: Block) -> Reading:
    if block.label == "table" and "<t" in block.content:
        return from_html(block.content)
    if block.label == "display_formula":
        return Reading(plain_latex(block.content))
    return Reading(block.content)


class _TextParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent.append(tag)
        elif tag in _BLOCKS and not self._silent:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._silent:
            del self._silent[self._silent.index(tag) :]
        elif tag in _BLOCKS and not self._silent:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)
