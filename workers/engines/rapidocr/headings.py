"""Titles that the layout model leaves inside of running text, and how deep every title is.

A line is taken for a title by what sets it apart: a font of its own (known in a text layer), a section number,
capitals, or one of the few words that are titles wherever they stand alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from jobs.wording import SENTENCE_END
from workers.engines.rapidocr.geometry import Line
from workers.engines.rapidocr.paragraphs import Row

LONGEST = 90
"""Letters of a title found here."""
MOST_ROWS = 2
# The part of a title that is letters.
LETTERS = 0.6
# In parts of the column: a line of capitals that is longer is a line of text.
SHORT = 0.75
# The part of a page's letters that its body font must have, so that another font says something, and that a font of
# titles may have.
BODY = 0.4
SELDOM = 0.3
# In parts of a row's height: the gap between the two rows of one title.
GAP = 0.7
FEWEST_CAPITALS = 4

_WORDS = frozenset({
    "abstract", "acknowledgements", "acknowledgments", "appendix", "bibliography", "conclusion", "conclusions",
    "contents", "introduction", "keywords", "references", "summary", "table of contents",
    "inhalt", "inhaltsverzeichnis", "einleitung", "literatur", "literaturverzeichnis", "zusammenfassung",
    "résumé", "sommaire", "bibliographie", "resumen", "índice", "referencias", "摘要", "目录", "参考文献",
})  # fmt: skip
_NUMBERED = re.compile(r"^(?:\d{1,2}(?:\.\d{1,2}){1,4}\.?|[A-Z]\.\d{1,2}(?:\.\d{1,2})*\.?)\s+[^\W\d_]")
_ANY_NUMBER = re.compile(r"^(?:\d{1,2}\.?|[IVX]{1,5}\.|[A-Z]\.)(?:\d{1,2}\.?)*\s+[^\W\d_]")
_ANY_DIGIT = re.compile(r"^[^\w\s]?\s*\d")
# What titles do not hold: the end of a sentence inside, signs of code.
_INSIDE = re.compile(r"[^\W\d]{3,}[.;]\s|[{}=<>;]|\w\(\w*\)")
_WORD = re.compile(r"[^\W\d_]{2,}")
CAPTION = re.compile(
    r"^(?:fig(?:ure|\.)?|tab(?:le|elle|\.)?|listing|algorithm|exhibit|abb(?:ildung|\.)?|図|表|图)\s*[\dIVX]+\b", re.I
)
_LEADER = re.compile(r"\.{3,}|…|(?:\. ){3,}|\s\d{1,4}$")


def title_fonts(lines: Iterable[Line]) -> frozenset[int]:
    """Fonts that little of the page is set in, beside one that most of it is; none where no fonts are known."""
    letters: Counter[int] = Counter()
    for line in lines:
        if line.font is not None:
            letters[line.font] += len(line.text)
    if not letters or letters.most_common(1)[0][1] < BODY * letters.total():
        return frozenset()
    return frozenset(font for font, count in letters.items() if count <= SELDOM * letters.total())


def cut_headings(rows: Sequence[Row], fonts: frozenset[int], unit: float) -> list[tuple[bool, list[Row]]]:
    """A column's rows as runs from top to bottom, and of each whether it is a title.

    `fonts`: see `title_fonts`; `unit`: the page's line height in pixels.
    """
    if not rows:
        return []
    left, right = min(row.box.x0 for row in rows), max(row.box.x1 for row in rows)
    reasons = [_reason(row, fonts, unit, right - left) for row in rows]
    runs: list[tuple[bool, list[Row]]] = []
    for reason, group in groupby(range(len(rows)), key=reasons.__getitem__):
        for part in _parts(rows, list(group)) if reason else [list(group)]:
            title = bool(reason) and len(part) <= MOST_ROWS and _stands_alone(rows, part, reason)
            if not title and runs and not runs[-1][0]:
                runs[-1][1].extend(rows[i] for i in part)
            else:
                runs.append((title, [rows[i] for i in part]))
    return runs


def _parts(rows: Sequence[Row], run: Sequence[int]) -> list[list[int]]:
    """A run of rows cut where they are too far apart to be one title."""
    parts = [[run[0]]]
    for i in run[1:]:
        above = rows[i - 1].box
        if rows[i].box.y0 - above.y1 > GAP * above.height:
            parts.append([i])
        else:
            parts[-1].append(i)
    return parts


def depth(text: str) -> int | None:
    """How deep a section's number says that it is: `3 Results` 1, `3.1 Speed` 2; None without a number."""
    number = re.match(r"^(?:\d{1,2}|[A-Z](?=\.\d))((?:\.\d{1,2}){0,4})\.?\s+\S", text)
    return 1 + number[1].count(".") if number else None


def _reason(row: Row, fonts: frozenset[int], unit: float, width: float) -> str:
    """What speaks for a title; empty where nothing does."""
    text = row.text.strip()
    if not _may_be_title(text):
        return ""
    own = {line.font for line in row.lines}
    if own <= fonts and len(own) == 1 and row.box.height > 0.92 * unit:
        return f"font {own.pop()}"
    if len(row.lines) > 1 and not _ANY_NUMBER.match(text):
        return ""
    if text.strip(" .:").casefold() in _WORDS:
        return "word"
    short = row.box.width < SHORT * width
    if short and _NUMBERED.match(text):
        return "number"
    letters = [char for char in text if char.isalpha()]
    if short and len(letters) >= FEWEST_CAPITALS and text == text.upper() and text != text.lower():
        return "capitals" if len(letters) > 0.7 * len(text.replace(" ", "")) and _WORD.search(text) else ""
    return ""


def _may_be_title(text: str) -> bool:
    if not 2 < len(text) <= LONGEST or SENTENCE_END.search(text.removesuffix(":")) or _LEADER.search(text):
        return False
    if sum(char.isalpha() for char in text) < LETTERS * len(text.replace(" ", "")):
        return False
    if text[-1] in ",;-(" or not _WORD.search(text) or CAPTION.match(text) or _INSIDE.search(text):
        return False
    return text[0].isupper() or bool(_ANY_NUMBER.match(text)) or not text[0].isascii()


def _stands_alone(rows: Sequence[Row], run: Sequence[int], reason: str) -> bool:
    """The text above has ended, and what follows begins anew. Numbers above each other are a table of contents."""
    right = max(row.box.x1 for row in rows)
    above = rows[run[0] - 1] if run[0] else None
    below = rows[run[-1] + 1] if run[-1] + 1 < len(rows) else None
    first = rows[run[0]]
    if reason == "number" and any(row is not None and _ANY_DIGIT.match(row.text) for row in (above, below)):
        return False
    ended = (
        above is None
        or SENTENCE_END.search(above.text) is not None
        or first.box.y0 - above.box.y1 > 0.5 * first.box.height
        or above.box.x1 < right - 6 * above.box.height
    )
    return ended and not (below is not None and below.text[:1].islower())
