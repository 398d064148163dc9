"""How much of the text that stands on a page was read, and what to tell the user where that is little.

A recogniser that meets letters it does not know leaves them out: PP-OCRv6 gives a line of Russian as spaces with a
full stop at the end and a score of 0.98. What gives it away is the room: no script that it knows needs so few
characters for so long a line.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jobs.results import Warning_
from workers.engines.rapidocr.geometry import Box, union
from workers.engines.rapidocr.recognition import ReadLine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

# Characters (wide ones count twice) in a piece of line as long as it is high. 1,632 lines of 170 pages in Latin,
# Chinese and Japanese: 0.55 the least, 1.2 for the last half percent, 2.2 the median.
LEAST_DENSITY = 0.6
# Shorter lines, in their own heights, say nothing by that measure.
MEASURABLE = 2.5
# A page is told of from this part of its text on (by length), where it is longer than this many line heights: a
# logo is not a page in a foreign script.
UNREAD_PART = 0.1
LEAST_LENGTH = 4.0
# Mean score of everything that was found, left out or not, weighted by length. Handwriting: 0.54 to 0.79; printed text
# in scripts that the model knows: 0.89 and more, formulas from 0.72.
LOW_CONFIDENCE = 0.75
# Lines that score less are not kept.
LEAST_SCORE = 0.5
# Ink starts or ends so often, at least, along a piece of line as long as it is high: bars and frames are no text.
_LEAST_EDGES = 0.7
_CONTRAST = 48
# Part of a page's letters that must be of one script for it to be named.
_ONE_SCRIPT = 0.5
_NAMES = {"HANGUL": "Korean", "CJK": "Chinese", "TIFINAGH": "Tifinagh"}


@dataclass(frozen=True, slots=True)
class Legibility:
    """What was found on a page and what of it could be read. Lengths are in line heights."""

    found: int
    """Lines of text."""
    unread: int
    """Those of them whose letters the recogniser left out."""
    unread_part: float
    """Their part, 0 to 1, of the length of all."""
    unread_length: float
    where: Box | None
    """Around them; None where there are none."""
    length: float
    """Of the lines that were read, kept or not."""
    score: float | None
    """Their mean score, weighted by length; None where there are none."""

    @property
    def foreign(self) -> bool:
        """Whether enough is missing to say so."""
        return self.unread_part >= UNREAD_PART and self.unread_length >= LEAST_LENGTH

    @property
    def doubtful(self) -> bool:
        return self.score is not None and self.score < LOW_CONFIDENCE and self.length >= LEAST_LENGTH


NOTHING = Legibility(0, 0, 0.0, 0.0, None, 0.0, None)


def assess(lines: Sequence[ReadLine], image: Pixels) -> Legibility:
    """`lines`: all that were detected, with what the recogniser told, whatever its score."""
    unread = [line for line in lines if is_unread(line) and _is_written(line, image)]
    missing = {id(line) for line in unread}
    read = [line for line in lines if id(line) not in missing and not is_unread(line)]
    length, lost = sum(map(_length, read)), sum(map(_length, unread))
    return Legibility(
        found=len(read) + len(unread),
        unread=len(unread),
        unread_part=lost / (lost + length) if unread else 0.0,
        unread_length=lost,
        where=union(map(_box, unread)) if unread else None,
        length=length,
        score=sum(_length(line) * line.score for line in read) / length if length else None,
    )


def legible(lines: Iterable[ReadLine]) -> list[ReadLine]:
    """The lines worth keeping. Where letters were left out, the score is that much lower than what the model says."""
    scored = (line._replace(score=line.score * _told_part(line)) for line in lines)
    return [line for line in scored if line.score >= LEAST_SCORE and line.text.strip()]


def is_unread(line: ReadLine) -> bool:
    """Whether most of the line's letters were left out."""
    return _told_part(line) < 1.0


def warnings(page: Legibility, model: str, script: str | None) -> tuple[Warning_, ...]:
    """`model`: the recognition model's name; `script`: what the page is written in, where that is known."""
    told = []
    if page.foreign and page.where is not None:
        what = f"{script} script" if script else "a script or hand"
        detail = (
            f"{page.unread} of {page.found} lines, {page.unread_part:.0%} of the text found on the page, are in {what} "
            f"that {model} does not read, and are missing from the result"
        )
        told.append(Warning_(code="unsupported_script", detail=detail, bbox=_pixel_box(page.where)))
    if page.doubtful:
        told.append(
            Warning_(code="low_confidence", detail=f"mean score of the text that was found is {page.score:.2f}")
        )
    return tuple(told)


def script_of(text: str, alphabet: frozenset[str]) -> str | None:
    """The script that most of a text's letters outside of the alphabet are in; None where they are few or mixed."""
    letters = [char for char in text if char.isalpha()]
    foreign = Counter(_script(char) for char in letters if char not in alphabet)
    name, count = foreign.most_common(1)[0] if foreign else ("", 0)
    return (
        name or None
        if count >= _ONE_SCRIPT * foreign.total() and foreign.total() >= UNREAD_PART * len(letters)
        else None
    )


def _script(char: str) -> str:
    """By the first word of its Unicode name, which is the script's for every alphabet."""
    word = unicodedata.name(char, "").split(" ", 1)[0]
    return _NAMES.get(word, word.capitalize())


def _told_part(line: ReadLine) -> float:
    """What the recogniser told, of the least that a line so long holds: 0 to 1."""
    length = _length(line)
    if length < MEASURABLE:
        return 1.0
    characters = sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line.text if not char.isspace())
    return min(1.0, characters / length / LEAST_DENSITY)


def _length(line: ReadLine) -> float:
    """In its own heights, 1 at least; also of lines that stand upright."""
    corners = line.quad
    sides = float(np.linalg.norm(corners[1] - corners[0])), float(np.linalg.norm(corners[3] - corners[0]))
    return max(sides) / max(1.0, min(sides))


def _is_written(line: ReadLine, image: Pixels) -> bool:
    """Whether there is writing, and not a bar or a picture: ink begins and ends along the line."""
    x0, y0, x1, y1 = _pixel_box(_box(line))
    grey = image[y0:y1, x0:x1].min(axis=2)
    if not grey.size or int(np.ptp(grey)) < _CONTRAST:
        return False
    ink = grey < (int(grey.min()) + int(grey.max())) / 2
    along = 1 if ink.shape[1] >= ink.shape[0] else 0
    edges = (np.diff(ink.astype(np.int8), axis=along) != 0).sum(axis=along)
    return float(edges.max()) >= _LEAST_EDGES * _length(line)


def _box(line: ReadLine) -> Box:
    (x0, y0), (x1, y1) = line.quad.min(axis=0), line.quad.max(axis=0)
    return Box(float(x0), float(y0), float(x1), float(y1))


def _pixel_box(box: Box) -> tuple[int, int, int, int]:
    return max(0, int(box.x0)), max(0, int(box.y0)), max(0, int(np.ceil(box.x1))), max(0, int(np.ceil(box.y1)))
