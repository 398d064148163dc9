"""Tables as HTML: read, compared, written again. No more of HTML than tables need.

Written as Beautiful Soup writes it (its html.parser, as PaddleX uses it): attributes by name, `&`, `<` and `>` escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser

_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})
_MOST_SPANNED = 1000
"""Rows or columns that a cell may span at most; browsers stop there too."""


@dataclass(eq=False, slots=True)
class Element:
    """An HTML element. `children` are elements and texts."""

    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)
    parent: Element | None = None

    def take(self, elements: Sequence[Element]) -> None:
        """Put elements at the end; they leave where they were before."""
        moved = {id(element) for element in elements}
        for parent in {id(e.parent): e.parent for e in elements if e.parent is not None}.values():
            parent.children = [child for child in parent.children if id(child) not in moved]
        for element in elements:
            element.parent = self
        self.children.extend(elements)

    def find(self, *tags: str) -> Iterator[Element]:
        """All elements below with one of these tags, in the order of the document."""
        waiting = list(reversed(self.children))
        while waiting:
            child = waiting.pop()
            if isinstance(child, Element):
                if child.tag in tags:
                    yield child
                waiting.extend(reversed(child.children))

    def text(self) -> str:
        """All text inside."""
        return "".join(child if isinstance(child, str) else child.text() for child in self.children)

    def span(self, attribute: str) -> int:
        """`colspan` or `rowspan`; 1 where it is missing or no number."""
        value = self.attributes.get(attribute) or ""
        return min(int(value), _MOST_SPANNED) if value.isascii() and value.isdigit() and len(value) < 10 else 1

    def html(self) -> str:
        """The element and all inside; the root has no tags of its own."""
        inner = "".join(escape(c, quote=False) if isinstance(c, str) else c.html() for c in self.children)
        if not self.tag:
            return inner
        attributes = "".join(f" {name}={_quoted(value)}" for name, value in sorted(self.attributes.items()))
        return f"<{self.tag}{attributes}/>" if self.tag in _VOID else f"<{self.tag}{attributes}>{inner}</{self.tag}>"


def read_html(html: str) -> Element:
    """The root of what is read. Anything is accepted: tags that nothing opened are dropped, open ones closed."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.root


def rows(table: Element) -> list[Element]:
    return list(table.find("tr"))


def cells(row: Element) -> list[Element]:
    return list(row.find("td", "th"))


def column_count(table: Element) -> int:
    """Columns of the table, spans counted."""
    widest = 0
    taken: dict[int, set[int]] = {}
    for top, row in enumerate(rows(table)):
        used = taken.setdefault(top, set())
        left = 0
        for cell in cells(row):
            while left in used:
                left += 1
            columns = range(left, left + cell.span("colspan"))
            for below in range(top, top + cell.span("rowspan")):
                taken.setdefault(below, set()).update(columns)
            left = columns.stop
            widest = max(widest, left)
        del taken[top]
    return widest


def _quoted(value: str | None) -> str:
    return '"' + escape(value or "", quote=False).replace('"', "&quot;") + '"'


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self._open[-1].take([element])
        # Beyond a depth that no table has, elements are siblings: `html` and `text` go down by recursion.
        if tag not in _VOID and len(self._open) < 100:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if any(element.tag == tag for element in self._open[1:]):
            while self._open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)
