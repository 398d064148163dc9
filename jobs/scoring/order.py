"""How much of a text stands in the right order, errors of reading left aside.

Pieces of a few characters that occur exactly once in the truth and once in the result are anchors (as in Bram Cohen's
patience diff). The order of the anchors in the result is a permutation; the longest run of them that grows is what may
stay, the rest would have to be moved (Ulam's distance). The score is the share that may stay: 1 for a page in order,
0.5 for two columns of equal length read in the wrong order or line by line across both, near 0 for a text backwards.
"""

from __future__ import annotations

from bisect import bisect_left

PIECE = 8
"""Characters an anchor is long, blanks not counted. Shorter ones are seldom alone on a page, longer ones seldom free of
errors: with an error rate of 5 % two of three of them survive."""


def anchors(truth: str, read: str) -> list[int]:
    """Places in the result of the pieces that both texts have exactly once, by their order in the truth."""
    places = _single(read)
    return [places[piece] for piece in _single(truth) if piece in places]


def in_order(places: list[int]) -> int:
    """Length of the longest growing run, not necessarily without gaps. O(n log n) by patience sorting."""
    tops: list[int] = []
    for place in places:
        index = bisect_left(tops, place)
        if index == len(tops):
            tops.append(place)
        else:
            tops[index] = place
    return len(tops)


def _single(text: str) -> dict[str, int]:
    """Pieces that occur once, with their places, in the order of the text."""
    letters = "".join(text.casefold().split())
    found: dict[str, int] = {}
    for place in range(len(letters) - PIECE + 1):
        piece = letters[place : place + PIECE]
        found[piece] = -1 if piece in found else place
    return {piece: place for piece, place in found.items() if place >= 0}
