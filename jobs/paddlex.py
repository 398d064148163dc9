"""PaddleX's forms of a page: its Markdown, and its `parsing_res_list`.

Source: PaddleX 3.7.2, `paddleocr_vl/result.py` and `common/result/converter/markdown_format_funcs.py`: equal for
equal blocks except for what docs/paddleocr-vl.md lists. Unlike `jobs/markdown.py`, text stands as the model wrote it,
formulas and lists too; only what would be an HTML tag is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, zip_longest
from typing import Any

from jobs.results import Block, PaddlexStyle, PageResult

_CHINESE = "一二三四五六七八九十百千万亿零壹贰叁肆伍陆柒捌玖拾"
_NUMBERING = re.compile(
    rf"^\s*([1-9][0-9]*(?:\.[1-9][0-9]*)*[.、]?|[(（](?:[1-9][0-9]*|[{_CHINESE}]+)[)）]|[{_CHINESE}]+[、.]?"
    r"|(?:I|II|III|IV|V|VI|VII|VIII|IX|X)(?:\.|\s))\s*(.*)$"
)
_CELL = "text-align: center; word-wrap: break-word;"
_TABLE_STYLES = (
    ("<table>", "<table border=1 style='margin: auto; word-wrap: break-word;'>"),
    ("<th>", f"<th style='{_CELL}'>"),
    ("<td>", f"<td style='{_CELL}'>"),
)
_TAG = re.compile("<(?=[A-Za-z/!?])")
_FORMULA = re.compile(r"(\${1,2}[^$]+\${1,2})")
# The tags of tables as engines write them, and the figures in their cells.
_TABLE_TAG = re.compile(
    r"</?(?:table|thead|tbody|tr|td|th)(?: (?:row|col)span=\"[0-9]+\")*>"
    r"|<img (?:alt=\"Image\" )?src=\"(?P<name>[^\"<>]*)\"(?: alt=\"Image\")? ?/>"
)
_DEEPEST = 6
_ABSTRACT, _REFERENCES = ("摘要", "abstract"), ("参考文献", "references")
_NUMBERED = frozenset({"display_formula", "formula"})
_FORMULAS = _NUMBERED | {"inline_formula"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A block as far as Markdown is concerned. `label` may be any of PaddleX's, also those of tasks."""

    label: str
    content: str
    width: int
    figure: str | None = None
    """Link to its picture."""
    level: int | None = None
    """Number of # of a title, where the document's structure gave it one."""


@dataclass(frozen=True, slots=True)
class MarkdownForm:
    """How a page is shown."""

    page_width: int
    style: PaddlexStyle = field(default_factory=PaddlexStyle)
    pretty: bool = True
    """Figures, captions and tables in HTML with sizes and centred; otherwise plainly."""


def page_markdown(result: PageResult, link: Callable[[str], str]) -> str:
    """A page's Markdown. `link`: a figure's name -> where it lies. The result has a style and an image."""
    if result.paddlex is None or result.image is None:
        raise ValueError(f"page {result.number} is not one to be shown as PaddleX does")
    blocks = sorted(result.blocks, key=lambda block: block.order)
    form = MarkdownForm(result.image.width, result.paddlex)
    return blocks_markdown([_shown(block, link) for block in blocks if not _moved(block)], form)


def _moved(block: Block) -> bool:
    """Tables whose rows stand on an earlier page leave nothing here."""
    return block.continues is not None and not block.content


def _shown(block: Block, link: Callable[[str], str]) -> Shown:
    figure = link(block.figure) if block.figure else None
    if block.label == "table":
        content = _safe_table(block.content, link)
    elif block.label in _FORMULAS:
        content = _TAG.sub("< ", block.content)
    else:
        content = _safe_text(block.content)
    return Shown(block.label, content, block.bbox[2] - block.bbox[0], figure, block.level)


def _safe_text(text: str) -> str:
    """Text in which nothing is an HTML tag. Inside formulas a space does it, which means nothing to TeX."""
    # re.split with one group: text and formulas by turns.
    parts = _FORMULA.split(text)
    return "".join(_TAG.sub("< " if i % 2 else "&lt;", part) for i, part in enumerate(parts))


def _safe_table(html: str, link: Callable[[str], str]) -> str:
    """A table's HTML with links to its figures instead of their names; what else would be a tag is text."""
    safe, end = [], 0
    for tag in _TABLE_TAG.finditer(html):
        shown = tag[0] if tag["name"] is None else f'<img src="{link(tag["name"])}" alt="Image" />'
        safe += [_TAG.sub("&lt;", html[end : tag.start()]), shown]
        end = tag.end()
    return "".join([*safe, _TAG.sub("&lt;", html[end:])])


def blocks_markdown(blocks: Sequence[Shown], form: MarkdownForm) -> str:
    """Blocks as Markdown, apart by blank lines. Labels that are ignored or unknown leave nothing."""
    markdown = ""
    writers = _writers(form)
    for block, following in zip_longest(blocks, blocks[1:]):
        writer = writers.get(block.label)
        if writer is None:
            continue
        if form.style.formula_numbers and following is not None and _is_numbered(block, following):
            block = _numbered(block, following.content)  # noqa: PLW2901
        markdown += ("\n\n" if markdown else "") + writer(block, form)
    return markdown


def _is_numbered(block: Shown, following: Shown) -> bool:
    return block.label in _NUMBERED and following.label == "formula_number"


def _numbered(block: Shown, number: str) -> Shown:
    formula = block.content.replace("$$", "")
    return Shown(block.label, rf"$${formula} \tag*{{{number}}}$$", block.width)


_Writer = Callable[[Shown, MarkdownForm], str]


def _writers(form: MarkdownForm) -> Mapping[str, _Writer]:
    style = form.style
    seal: _Writer = _caption if style.whole_page else lambda b, f: _picture(b, f, with_text=style.seals)
    chart: _Writer = _chart if style.charts else _image
    writers = {**_WRITERS, "chart": chart, "seal": seal}
    return {label: writer for label, writer in writers.items() if label not in style.ignored_labels}


def _unfolded(text: str) -> str:
    """On one line; a hyphen at a line's end goes."""
    return text.replace("-\n", "").replace("\n", " ")


def _raw(block: Shown, form: MarkdownForm) -> str:
    return block.content


def _paragraphs(block: Shown, form: MarkdownForm) -> str:
    return block.content.replace("\n\n", "\n").replace("\n", "\n\n")


def _doc_title(block: Shown, form: MarkdownForm) -> str:
    return _unfolded(f"# {block.content}")


def _paragraph_title(block: Shown, form: MarkdownForm) -> str:
    if block.level is None:
        return numbered_title(block, form)
    return _unfolded(f"{'#' * min(block.level, _DEEPEST)} {block.content}")


def numbered_title(block: Shown, form: MarkdownForm) -> str:
    """A title whose level is told by its dots: `1.2Title` -> `### 1.2 Title`."""
    title = block.content
    if match := _NUMBERING.match(title):
        title = f"{match[1].strip()} {match[2].lstrip()}"
    title = title.rstrip(".")
    return _unfolded(f"{'#' * min(title.count('.') + 2, _DEEPEST)} {title}")


def _centred(text: str) -> str:
    return f'<div style="text-align: center;">{text}</div>\n'


def _caption(block: Shown, form: MarkdownForm) -> str:
    return _centred(_unfolded(block.content)) if form.pretty else block.content


def _image(block: Shown, form: MarkdownForm) -> str:
    return _picture(block, form, with_text=form.style.image_text)


def _picture(block: Shown, form: MarkdownForm, *, with_text: bool) -> str:
    if not form.pretty:
        return _with_text(f"![]({_unfolded(block.figure)})", block, with_text=with_text) if block.figure else ""
    picture = ""
    if block.figure is not None:
        share = int(block.width / form.page_width * 100)
        tag = f'<img src="{_unfolded(block.figure)}" alt="Image" width="{share}%" />'
        picture = _with_text(tag, block, with_text=with_text)
    return _centred(picture if with_text else _unfolded(picture))


def _with_text(picture: str, block: Shown, *, with_text: bool) -> str:
    return f"{picture}\n\n{block.content}\n\n" if with_text else picture


def _table(block: Shown, form: MarkdownForm) -> str:
    table = block.content
    if not form.pretty:
        return "\n\n" + re.sub("</?(?:html|body)>", "", table)
    for bare, styled in _TABLE_STYLES:
        table = table.replace(bare, styled)
    return "\n" + table


def _chart(block: Shown, form: MarkdownForm) -> str:
    header, *rows = [[cell.strip() for cell in line.split("|")] for line in block.content.split("\n")]
    head = "".join(f"<th style='text-align: center;'>{cell}</th>" for cell in header)
    body = "".join(
        "    <tr>" + "".join(f"<td style='text-align: center;'>{cell}</td>" for cell in row) + "</tr>\n" for row in rows
    )
    return (
        "<table border=1 style='margin: auto; width: max-content;'>\n"
        f"  <thead><tr>{head}</tr></thead>\n  <tbody>\n{body}  </tbody>\n</table>"
    )


def _content(block: Shown, form: MarkdownForm) -> str:
    return block.content.replace("-\n", "  \n").replace("\n", "  \n")


def _algorithm(block: Shown, form: MarkdownForm) -> str:
    return block.content.strip("\n")


def _abstract(block: Shown, form: MarkdownForm) -> str:
    return _with_heading(block.content, " ", _ABSTRACT, "\n")


def _reference(block: Shown, form: MarkdownForm) -> str:
    return _with_heading(block.content, "\n", _REFERENCES, "")


def _with_heading(text: str, separator: str, headings: Iterable[str], after: str) -> str:
    """The first part that is not blank becomes a heading where it is one of `headings`."""
    parts = text.split(separator)
    first = next((i for i, part in enumerate(parts) if part.strip()), None)
    if first is not None and parts[first].lower() in headings:
        parts[first] = f"## {parts[first]}{after}"
    return separator.join(parts)


_WRITERS: Mapping[str, _Writer] = {
    "doc_title": _doc_title,
    "paragraph_title": _paragraph_title,
    **dict.fromkeys(("abstract_title", "reference_title", "content_title"), numbered_title),
    **dict.fromkeys(("table_title", "figure_title", "chart_title"), _caption),
    **dict.fromkeys(("vision_footnote", "text", "ocr", "vertical_text", "reference_content"), _paragraphs),
    **dict.fromkeys(("formula", "display_formula", "inline_formula"), _raw),
    **dict.fromkeys(("spotting", "number", "footnote", "header", "footer", "aside_text"), _raw),
    **dict.fromkeys(("image", "header_image", "footer_image"), _image),
    "abstract": _abstract,
    "content": _content,
    "table": _table,
    "reference": _reference,
    "algorithm": _algorithm,
}


def parsing_res_list(result: PageResult) -> list[dict[str, Any]]:
    """A page's blocks as PaddleX's JSON has them (docs/paddleocr-vl.md, "For those who read parsing_res_list")."""
    return [_paddlex_block(block) for block in sorted(result.blocks, key=lambda block: block.order)]


def parsing_res_lists(results: Sequence[PageResult]) -> list[list[dict[str, Any]]]:
    """A document's pages, in order, as PaddleX's `restructure_pages` gives them: with ids over all pages."""
    numbers = count()
    ids = {(r.number, block["block_id"]): next(numbers) for r in results for block in parsing_res_list(r)}
    lists = []
    for result in results:
        moved = {b.order: (b.continues.page, b.continues.order) for b in result.blocks if b.continues is not None}
        blocks = parsing_res_list(result)
        for block in blocks:
            place = (result.number, block["block_id"])
            block["global_block_id"] = ids[place]
            block["global_group_id"] = ids[moved.get(block["block_id"], place)]
        lists.append(blocks)
    return lists


def _paddlex_block(block: Block) -> dict[str, Any]:
    found: dict[str, Any] = {
        "block_label": block.label,
        "block_content": block.content,
        "block_bbox": list(block.bbox),
        "block_id": block.order,
        "block_order": block.position,
        "group_id": block.order if block.group is None else block.group,
    }
    if block.polygon is not None:
        found["block_polygon_points"] = [list(point) for point in block.polygon]
    return found
