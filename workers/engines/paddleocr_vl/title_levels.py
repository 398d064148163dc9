"""Levels of titles, from the numbering and the height of all titles of a document.

Source: PaddleX 3.7.2, `layout_parsing/title_level.py`. Its k-means starts at random; ours finds the best partition, so
that the same document always has the same levels.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Numbering = Literal["bracketed", "roman", "chinese", "letter", "decimal"]

MOST_HEIGHTS = 4
"""Groups of heights that are told apart."""
_BRACKETED_LEVEL, _LETTER_LEVEL = 4, 2
_BRACKETED = re.compile(r"\s*[(（]?\d+(?:\.\d+)*[)）]")
_ROMAN = re.compile(r"\s*[IVX]+(?:[.．)\s]|$)", re.I)
_CHINESE = re.compile(r"\s*[第（(]?[一二三四五六七八九十]{1,2}(?:[章节篇卷部条题讲课回）)]|(?![a-zA-Z\u4e00-\u9fa5]))")
_LETTER = re.compile(r"\s*[A-Z][.．)\s]", re.I)
_DECIMAL = re.compile(r"\s*(\d+(?:\.\d+)*)(?![）)])")
_TOP_WORDS = frozenset({
    "ABSTRACT", "SUMMARY", "RESUME", "CONTENTS", "REFERENCES", "REFERENCE", "APPENDIX", "APPENDICES",
    "ACKNOWLEDGMENTS", "INTRODUCTION", "BACKGROUNDANDRELATEDWORK", "BACKGROUND", "RELATEDWORK", "THEORETICALMODELS",
    "DATA", "METHOD", "METHODS", "METHODOLOGY", "TOPICANALYSIS", "RESULT", "RESULTS", "DISCUSSION", "CONCLUSIONS",
    "CONCLUSION", "LIMITATIONS", "绪论", "引言", "参考文献", "附录",
    "研究背景", "相关工作", "研究方法", "实验结果", "讨论", "结论", "致谢", "目录",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Title:
    """A `paragraph_title`: its text, and the size of its box in pixels."""

    text: str
    width: int
    height: int

    @property
    def line_height(self) -> int:
        """Of one line; of one column where the title stands upright."""
        lines = self.text.strip().count("\n") + 1
        return (self.height if self.width >= self.height else self.width) // lines


def title_levels(titles: Sequence[Title]) -> list[int]:
    """The level of each title, 1 the highest. Odd numberings can give 0 and less, as in PaddleX."""
    numbered = [numbering(title.text) for title in titles]
    ranks = _height_ranks([title.line_height for title in titles])
    kinds = list(dict.fromkeys(found[0] for found in numbered if found is not None))
    seen = {kind: place for place, kind in enumerate(kinds, 1)}
    first_decimal = next((level for kind, level in filter(None, numbered) if kind == "decimal"), 0)
    levels = []
    for title, found in zip(titles, numbered, strict=True):
        rank = ranks[title.line_height]
        if found is None:
            levels.append(1 if _is_top_word(title.text) else rank)
            continue
        kind, level = found
        place = seen[kind] + (level - first_decimal if kind == "decimal" else 0)
        (winner, votes), *_ = Counter([level, place, rank]).most_common(1)
        levels.append(winner if votes > 1 else place)
    return levels


def numbering(text: str) -> tuple[Numbering, int] | None:
    """The kind of number that a title begins with, and the level that it stands for by itself; None without one."""
    if _BRACKETED.match(text):
        return "bracketed", _BRACKETED_LEVEL
    if _ROMAN.match(text):
        return "roman", 1
    if _CHINESE.match(text):
        return "chinese", 1
    if _LETTER.match(text):
        return "letter", _LETTER_LEVEL
    if match := _DECIMAL.match(text):
        return "decimal", match[1].count(".") + 1
    return None


def _is_top_word(text: str) -> bool:
    return text.upper().strip().rstrip("：: ").replace(" ", "") in _TOP_WORDS


def _height_ranks(heights: Sequence[int]) -> Mapping[int, int]:
    """Each height's rank, 1 for the group of the tallest."""
    counted = sorted(Counter(heights).items(), reverse=True)
    ranks: dict[int, int] = {}
    for rank, group in enumerate(_groups(counted, MOST_HEIGHTS), 1):
        ranks |= dict.fromkeys(group, rank)
    return ranks


def _groups(counted: Sequence[tuple[int, int]], most: int) -> list[list[int]]:
    """Sorted heights with their counts, cut into `most` groups with the least sum of squared distances to their means.

    The k-means problem in one dimension, solved exactly: groups are intervals.
    """
    n = len(counted)
    sums = _Sums(counted)
    best = [0.0] + [math.inf] * n
    cuts: list[list[int]] = []
    for _ in range(min(most, n)):
        starts = _last_groups(best, sums)
        best = [math.inf] + [best[starts[end]] + sums.spread(starts[end], end) for end in range(1, n + 1)]
        cuts.append(starts)
    found: list[list[int]] = []
    end = n
    for starts in reversed(cuts):
        found.insert(0, [height for height, _ in counted[starts[end] : end]])
        end = starts[end]
    return found


def _last_groups(best: Sequence[float], sums: _Sums) -> list[int]:
    """Where the last group of the first `end` heights starts, by `end`, when `best` is what those before it cost.

    The further the end, the further the start, so that a few starts are tried for each end however many heights.
    """
    starts = [0] * len(best)
    waiting = [(1, len(best) - 1, 0, len(best) - 2)]
    while waiting:
        low, high, first, last = waiting.pop()
        if low > high:
            continue
        end = (low + high) // 2
        _, starts[end] = min((best[i] + sums.spread(i, end), i) for i in range(first, min(last, end - 1) + 1))
        waiting += [(low, end - 1, first, starts[end]), (end + 1, high, starts[end], last)]
    return starts


class _Sums:
    """Sums over prefixes, so that the spread of an interval costs nothing."""

    def __init__(self, counted: Sequence[tuple[int, int]]) -> None:
        self._sums = [(0, 0, 0)]
        for height, count in counted:
            number, total, squares = self._sums[-1]
            self._sums.append((number + count, total + height * count, squares + height * height * count))

    def spread(self, start: int, end: int) -> float:
        """Sum of squared distances to the mean, of heights `start` to `end`."""
        number, total, squares = (b - a for a, b in zip(self._sums[start], self._sums[end], strict=True))
        return squares - total * total / number
