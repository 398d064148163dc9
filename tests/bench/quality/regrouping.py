"""Readings with their lines in the truth's order, where the truth's order is nobody's reading order.

PDFium gives the text of a page in the order in which it was drawn. A box at the margin that the truth has first and a
reader has last costs twice its length in CER, though every character of it was read.
"""

from __future__ import annotations

from jobs.scoring.normalization import normalized
from jobs.scoring.order import PIECE


def regrouped(truth: str, read: str) -> str:
    """The lines of `read` (paragraphs and cells, where a reader joins lines) sorted by where the truth has them.

    A line's place is that of its first piece of PIECE characters that the truth has exactly once; a line without one
    stays behind the line before it. What stands inside a line stays as it is, errors too.
    """
    places = _places(truth)
    keyed = []
    place = -1
    for number, line in enumerate(read.splitlines()):
        letters = _letters(line)
        found = (places.get(letters[at : at + PIECE], -1) for at in range(len(letters) - PIECE + 1))
        place = next((at for at in found if at >= 0), place)
        keyed.append((place, number, line))
    return "\n".join(line for _, _, line in sorted(keyed))


def _places(truth: str) -> dict[str, int]:
    letters = _letters(truth)
    places: dict[str, int] = {}
    for at in range(len(letters) - PIECE + 1):
        piece = letters[at : at + PIECE]
        places[piece] = -1 if piece in places else at
    return places


def _letters(text: str) -> str:
    return "".join(normalized(text).casefold().split())
