"""Answers that repeat themselves without end, cut.

Source: PaddleX 3.7.2, `paddleocr_vl/uilts.py` (`truncate_repetitive_content`). We differ where that leaves nothing at
all of what was read: the repeated unit is kept once.
"""

from __future__ import annotations

from collections import Counter

SHORTEST = 50
"""Characters from which an answer is looked at."""
SHORTEST_TABLE = 5000
_LONG_LINE = 100
_UNIT, _UNIT_TIMES = 8, 5
_WHOLE_LENGTH, _WHOLE_TIMES = 10, 10
_LINES, _LINES_SHARE = 10, 0.8


def without_repetition(text: str, shortest: int = SHORTEST) -> str:
    """`text` without its repetition, or as it is where it has none or fewer than `shortest` characters."""
    line = text.strip()
    if len(text) < shortest or not line:
        return text
    if "\n" not in line:
        if len(line) > _LONG_LINE and (start := _repeating_end(line)) is not None:
            return start
        if len(line) > _WHOLE_LENGTH and (unit := _unit(line)) and len(line) // len(unit) >= _WHOLE_TIMES:
            return unit
    return _one_line(text) or text


def _repeating_end(line: str) -> str | None:
    """What stands before a unit of 8 characters or more that ends the line 5 times and makes more than half of it."""
    for length in range(len(line) // _UNIT_TIMES, _UNIT - 1, -1):
        unit = line[-length:]
        # The second comparison builds a long text; the first spares it nearly always.
        if line.endswith(unit, 0, -length) and line.endswith(unit * _UNIT_TIMES):
            count = _times_at_end(line, unit)
            if count * length > len(line) * 0.5:
                return line[: len(line) - count * length] or _unit(line) or unit
            return None
    return None


def _times_at_end(line: str, unit: str) -> int:
    count, end = 0, len(line)
    while line.endswith(unit, 0, end):
        count, end = count + 1, end - len(unit)
    return count


def _unit(line: str) -> str | None:
    """The shortest text that repeated gives the line; None where there is none."""
    at = (line + line).find(line, 1)
    return line[:at] if at < len(line) else None


def _one_line(text: str) -> str | None:
    """The line that stands at least 10 times and makes 80 % of all lines with text."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) < _LINES:
        return None
    line, count = Counter(lines).most_common(1)[0]
    return line if count >= _LINES and count / len(lines) >= _LINES_SHARE else None
