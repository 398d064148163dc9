"""Answers of the task spotting -> lines of text with their quadrangles.

Source: PaddleX 3.7.2, `paddleocr_vl/uilts.py` (`post_process_for_spotting`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from workers.engines.paddleocr_vl.regions import Polygon

_PLACE = re.compile(r"<\|LOC_(\d+)\|>")
# Special tokens are kept for the sake of the places; the others are no text.
_SPECIAL = re.compile(r"</s>|<\|(?:LOC_(?:BEGIN|END|SEP)|TEXT_(?:START|END)|(?:begin|end)_of_sentence)\|>")
_COORDINATES = 8
_SCALE = 1000.0
ENLARGE_BELOW = 1500
"""Images with both sides shorter than this are doubled before the model sees them."""


@dataclass(frozen=True, slots=True)
class SpottedLine:
    """A line of text and its four corners in pixels of the page."""

    text: str
    polygon: Polygon


def spotted_lines(answer: str, width: int, height: int) -> tuple[SpottedLine, ...]:
    """The lines of an answer about an image of this size. Two notations: with TEXT_START and LOC_BEGIN tags, or plainly
    text before eight places each."""
    texts, blocks = _tagged(answer, "TEXT_START", "TEXT_END"), _tagged(answer, "LOC_BEGIN", "LOC_END")
    tagged = [
        SpottedLine(text.strip(), _corners(places[:_COORDINATES], width, height))
        for text, block in zip(texts, blocks, strict=False)
        if len(places := _PLACE.findall(block)) >= _COORDINATES
    ]
    return tuple(tagged or _plain(answer, width, height))


def spotted_text(lines: tuple[SpottedLine, ...]) -> str:
    """All lines, apart by blank lines."""
    return "\n\n".join(line.text for line in lines)


def _tagged(answer: str, begin: str, end: str) -> Iterator[str]:
    """What stands between each beginning and the next end. No regular expression: where no end comes, that looks for
    one behind every beginning."""
    opening, closing, at = f"<|{begin}|>", f"<|{end}|>", 0
    while (start := answer.find(opening, at)) >= 0:
        stop = answer.find(closing, start + len(opening))
        if stop < 0:
            return
        yield answer[start + len(opening) : stop]
        at = stop + len(closing)


def _plain(answer: str, width: int, height: int) -> list[SpottedLine]:
    places = list(_PLACE.finditer(answer))
    lines, start = [], 0
    for i in range(0, len(places) - _COORDINATES + 1, _COORDINATES):
        group = places[i : i + _COORDINATES]
        text = _SPECIAL.sub("", answer[start : group[0].start()]).strip()
        lines.append(SpottedLine(text, _corners([place[1] for place in group], width, height)))
        start = group[-1].end()
    return lines


def _corners(places: list[str], width: int, height: int) -> Polygon:
    values = [_number(place) / _SCALE for place in places]
    return tuple((x * width, y * height) for x, y in zip(values[::2], values[1::2], strict=True))


def _number(digits: str) -> int:
    """Garbage may have any number of digits; places end at 1000."""
    return int(digits) if len(digits) < 10 else 10**9
