"""Pages to Markdown and plain text. Pure: no files, no store; documents stream page by page.

The Markdown is CommonMark with HTML tables and `$$` formulas. Text that was read from a page can neither become
Markdown structure nor HTML: what would is escaped, and nothing else is. The one exception: two or more paragraphs or
lines in a row that begin with a printed bullet, never with `-`, `*` or `+`, are a list. Links to figures are relative
and start with `figures/` unless told otherwise; file names hold no character that needs escaping, so that a caller may
rewrite them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape, unescape
from html.parser import HTMLParser
from itertools import groupby

from jobs.paddlex import page_markdown as paddlex_markdown
from jobs.results import FURNITURE, Block, Label, PageEntry, PageResult
from jobs.wording import joined, words_seen

FIGURES = "figures/"

# What CommonMark and GitHub's tables and strike-through would take for inline structure, and nothing more: emphasis
# beside a word, code, links and their definitions, tags, entities, a backslash that would escape.
_INLINE = re.compile(
    r"""\\(?=[!-/:-@\[-`{-~]|$) | ` | (?<=\S)\*|\*(?=\S) | (?<![^\W_])_|_(?![^\W_]) | <(?=[A-Za-z/!?])
    | \](?=[(\[:]) | &(?=\#?\w{1,32};) | ~(?=~)|(?<=\S)~ | \$(?=\$)|(?<=\$)\$""",
    re.X,
)
# Every match of `_INLINE` and of `_FORMULA` begins with one of these. Looking for them takes a tenth of the time.
_SPECIAL = re.compile(r"[\\`*_<\]&~$]")
# Formulas inside text: `$x_{i}$`, with something of TeX between the signs, or `\(x\)`.
_FORMULA = re.compile(r"(\$(?![\s$])[^$]*[\\^_{}][^$]*(?<![\s$\\])\$(?![\d$])|\\\(.+?\\\))")
# Structure at the start of a line: headings, quotes, lists, rules, fences, underlines, tables; numbered items.
_LINE_START = re.compile(
    r"^(?:\#{1,6}(?=\s|$) | > | [-+*](?=\s|$) | [-=]+\s*$ | (?:-\s*){3,}$ | ~{3} | \| | :?-+:?\s*\|)", re.X
)
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
# Printed bullets; those that are letters, blanks or dashes elsewhere only before a space.
_BULLET = re.compile(r"\s*(?:[•◦▪‣●]\s*|[○■□·–]\s+)(?=\S)")
# GitHub would make a box to be ticked of it.
_TICK_BOX = re.compile(r"^\[(?=[ xX]\])")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_SAFE_NAME = re.compile(r"[^A-Za-z0-9._-]")

_TABLE = re.compile(r"^\s*<table\b.*</table>\s*$", re.S | re.I)
_TABLE_TAGS = frozenset({
    "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "br", "b", "strong", "i", "em", "u", "s", "sub",
    "sup", "p", "ul", "ol", "li", "div", "span",
})  # fmt: skip
_TABLE_ATTRIBUTES = frozenset({"colspan", "rowspan", "border"})
# Labels whose blocks are no running text.
_OWN_FORM: frozenset[Label] = frozenset({"doc_title", "paragraph_title", "table", "display_formula", "algorithm"})
_SILENT_TAGS = frozenset({"script", "style", "template", "noscript", "iframe", "object", "title", "textarea"})


def page_markdown(result: PageResult, *, figures: str = FIGURES) -> str:
    """One page as Markdown, without a newline at its end; empty for a page without text. `figures`: prefix of links.

    A page with `paddlex` looks as PaddleX writes it.
    """
    if result.paddlex is not None and result.image is not None:
        return paddlex_markdown(result, lambda name: figure_link(name, figures)).strip("\n")
    return "\n\n".join(part for part in _parts(_readable(result), figures) if part)


def page_text(result: PageResult) -> str:
    """One page as plain text, paragraphs apart by a blank line, tables with a tab between cells."""
    return "\n\n".join(part for part in map(_block_text, _readable(result)) if part)


def document_markdown(entries: Iterable[PageEntry], *, figures: str = FIGURES) -> Iterator[str]:
    """A document's Markdown in pieces to be written one after the other; memory for one page at a time.

    A page without a result leaves a comment that names its error.
    """
    return _stream(page_markdown(e.result, figures=figures) if e.result else _missing(e) for e in entries)


def document_text(entries: Iterable[PageEntry]) -> Iterator[str]:
    """A document's plain text in pieces; pages without a result leave a line in brackets."""
    return _stream(page_text(e.result) if e.result else f"[{_what_is_missing(e)}]" for e in entries)


def figure_link(name: str, prefix: str = FIGURES) -> str:
    """Where a figure is linked to: the prefix and the name, every unusual character of it replaced."""
    return prefix + _SAFE_NAME.sub("-", name)


def escape_text(text: str) -> str:
    """Text that CommonMark shows as it is. Line breaks stay line breaks."""
    lines = [_escape_line(line.strip()) for line in _CONTROL.sub("", text).splitlines()]
    return "  \n".join(line for line in lines if line)


def clean_table(html: str) -> str:
    """A table's HTML with known tags and no attribute but spans; everything else becomes text or nothing."""
    cleaner = _TableCleaner()
    cleaner.feed(html)
    cleaner.close()
    return cleaner.html()


def _stream(pages: Iterable[str]) -> Iterator[str]:
    first = True
    for page in pages:
        if page:
            yield page + "\n" if first else "\n" + page + "\n"
            first = False


def _missing(entry: PageEntry) -> str:
    return f"<!-- {_what_is_missing(entry)} -->"


def _what_is_missing(entry: PageEntry) -> str:
    return (
        f"page {entry.number} {entry.state}: {entry.error.code}"
        if entry.error
        else f"page {entry.number} {entry.state}"
    )


def _readable(result: PageResult) -> Sequence[Block]:
    """What is shown, in order: paragraphs in one piece, footnotes behind everything else, no furniture."""
    blocks = sorted(result.blocks, key=lambda b: b.order)
    whole = _in_one_piece([b for b in blocks if b.label not in FURNITURE or b.label == "footnote"])
    return sorted(whole, key=lambda b: (b.label == "footnote", b.order))


def _in_one_piece(blocks: Sequence[Block]) -> list[Block]:
    """Paragraphs with what goes on in other blocks."""
    if all(block.goes_on_from is None for block in blocks):
        return list(blocks)  # what most pages are, and gathering their words is most of the work
    known = words_seen(line for b in blocks if b.label == "text" for line in b.content.splitlines())
    texts: dict[int, str] = {}
    begun: dict[int, int] = {}
    for block in blocks:
        start = begun.get(block.goes_on_from, block.goes_on_from) if block.goes_on_from is not None else None
        if start in texts:
            begun[block.order] = start
            texts[start] = joined(texts[start], block.content, known)
        else:
            texts[block.order] = block.content
    return [block.model_copy(update={"content": texts[block.order]}) for block in blocks if block.order in texts]


def _parts(blocks: Sequence[Block], figures: str) -> Iterator[str]:
    """Each block's Markdown; neighbouring blocks of text are one text, so that a list runs through all of them."""
    for running, group in groupby(blocks, key=_is_running_text):
        if running:
            yield from _text([paragraph for block in group for paragraph in _paragraphs(block.content)])
        else:
            yield from (_block(block, figures) for block in group)


def _is_running_text(block: Block) -> bool:
    return block.label not in _OWN_FORM and not block.figure


def _block(block: Block, figures: str) -> str:
    match block.label:
        case "doc_title" | "paragraph_title":
            return _heading(block)
        case "table":
            return _table(block.content)
        case "display_formula":
            return _formula(block.content)
        case "algorithm":
            return _code(block.content)
    return f"![]({figure_link(block.figure, figures)})" if block.figure else ""


def _text(paragraphs: Sequence[str]) -> Iterator[str]:
    """Paragraphs and lists. One bullet alone is no list: it may be anything."""
    pieces = [(i, piece) for i, paragraph in enumerate(paragraphs) for piece in _before_bullets(paragraph)]
    items = [False, *(_BULLET.match(piece) is not None for _, piece in pieces), False]
    listed = [own and (before or after) for before, own, after in zip(items, items[1:], items[2:], strict=False)]
    for (in_list, _), group in groupby(range(len(pieces)), key=lambda i: (listed[i], listed[i] or pieces[i][0])):
        texts = [pieces[i][1] for i in group]
        yield "\n".join(map(_list_item, texts)) if in_list else escape_text("\n".join(texts))


def _before_bullets(paragraph: str) -> list[str]:
    """A paragraph's lines, cut before each that begins with a bullet."""
    pieces: list[list[str]] = []
    for line in _CONTROL.sub("", paragraph).splitlines():
        if pieces and not _BULLET.match(line):
            pieces[-1].append(line)
        else:
            pieces.append([line])
    return ["\n".join(piece) for piece in pieces]


def _list_item(text: str) -> str:
    content = _TICK_BOX.sub(r"\\[", escape_text(_BULLET.sub("", text, count=1)))
    return "- " + content.replace("\n", "\n  ")


def _block_text(block: Block) -> str:
    if block.label == "table" and _TABLE.match(block.content):
        return _table_text(block.content)
    return "\n\n".join(_paragraphs(block.content))


def _paragraphs(content: str) -> list[str]:
    return [part.strip() for part in re.split(r"\n\s*\n", content) if part.strip()]


def _heading(block: Block) -> str:
    text = _escape_inline(" ".join(_CONTROL.sub("", block.content).split()))
    level = block.level or (1 if block.label == "doc_title" else 2)
    # A run of # at the end would be taken for the end of the heading.
    text = re.sub(r"(^|\s)(#+)$", r"\1\\\2", text)
    return f"{'#' * level} {text}" if text else ""


def _table(content: str) -> str:
    if not content.strip():
        return ""
    # A blank line inside would end the HTML block.
    return re.sub(r"\n\s*\n", "\n", clean_table(content)).strip() if _TABLE.match(content) else escape_text(content)


def _formula(content: str) -> str:
    """A display formula; `$$` and blank lines inside would end it early."""
    latex = re.sub(r"\n\s*\n", "\n", content.strip()).strip("$").replace("$$", "").strip()
    return f"$$\n{_no_tags(latex)}\n$$" if latex else ""


def _code(content: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{content.strip(chr(10))}\n{fence}" if content.strip() else ""


def _escape_line(line: str) -> str:
    escaped = _NUMBERED.sub(r"\1\\\2", _escape_inline(line))
    return "\\" + escaped if _LINE_START.match(line) and not escaped.startswith("\\") else escaped


def _escape_inline(line: str) -> str:
    if not _SPECIAL.search(line):
        return line
    # re.split with one group: text and formulas by turns.
    parts = _FORMULA.split(line)
    return "".join(_formula_in_text(p) if i % 2 else _INLINE.sub(_backslash, p) for i, p in enumerate(parts))


def _formula_in_text(latex: str) -> str:
    # CommonMark reads \( as an escaped bracket, so that only the dollars survive.
    return _no_tags(f"${latex[2:-2].strip()}$" if latex.startswith("\\(") else latex)


def _no_tags(latex: str) -> str:
    """Nothing is escaped inside a formula, but a space after < means the same to TeX and is no tag."""
    return re.sub(r"<(?=[A-Za-z/!?])", "< ", latex)


def _backslash(match: re.Match[str]) -> str:
    return "".join("\\" + character for character in match[0])


class _TableCleaner(HTMLParser):
    """Keeps a table's own tags, balanced, and the text between them, escaped."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._open: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT_TAGS:
            self._silent += 1
        if tag not in _TABLE_TAGS or self._silent:
            return
        kept = "".join(f' {k}="{v}"' for k, v in attrs if k in _TABLE_ATTRIBUTES and v and v.isascii() and v.isdigit())
        self._parts.append(f"<{tag}{kept}>")
        if tag != "br":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT_TAGS:
            self._silent = max(0, self._silent - 1)
        if tag not in self._open:
            return
        while self._open:
            last = self._open.pop()
            self._parts.append(f"</{last}>")
            if last == tag:
                return

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._parts.append(escape(data, quote=False))

    def html(self) -> str:
        while self._open:
            self._parts.append(f"</{self._open.pop()}>")
        return "".join(self._parts)


def _table_text(html: str) -> str:
    """Rows on lines, cells apart by tabs."""
    flat = re.sub(r"\s+", " ", clean_table(html))
    flat = re.sub(r"\s*</t[dh]>\s*(?=<t[dh])", "\t", flat)
    flat = re.sub(r"\s*</(?:tr|caption)>\s*", "\n", flat)
    lines = [line.rstrip() for line in unescape(re.sub(r"<[^>]*>", "", flat)).split("\n")]
    return "\n".join(line.strip(" ") for line in lines if line.strip())
