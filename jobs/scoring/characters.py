"""Character error rate, and what was found at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rapidfuzz.distance import Levenshtein

_HINT = 64
"""The least distance that is looked for first; the search widens from there, so near texts of any length are quick."""


def edit_distance(truth: str, read: str) -> int:
    """Levenshtein's distance: the least number of characters to insert, delete or replace. Code points count.

    V. I. Levenshtein, Binary codes capable of correcting deletions, insertions, and reversals, 1966. Computed by
    rapidfuzz with Myers' bit vectors in a band: O(n + d²) for near texts, 64 cells a step for others.
    """
    return Levenshtein.distance(truth, read, score_hint=max(_HINT, len(truth) // 20))


def shared(truth: Iterable[str], read: Iterable[str]) -> int:
    """How many members the two bags have in common: order and place do not matter, number does.

    S. Rice, Measuring the accuracy of page-reading systems, 1996, counts characters like that; the bag of words of the
    PRImA evaluation tools does with words.
    """
    return (Counter(truth) & Counter(read)).total()
