"""Whether a text layer says what is drawn: some of its lines are read by the recogniser and compared.

Encodings break font by font, so one line of each of the fonts that make up most of the page stands for its font. A
reader that makes mistakes is witness enough: a broken encoding has nothing in common with what is seen.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from workers.textlayer.lines import TextLine

Read = Callable[[Sequence[TextLine]], list[tuple[str, float]]]
"""What the recogniser reads in the place of these lines: text and score (0 to 1) for each."""

FONTS = 3
# The part of a page's text that a font must have to speak for the page.
LEAST_PART = 0.05
# Score from which the recogniser is a witness, and how much of a line must then agree.
SURE = 0.8
AGREES = 0.6
# A scan's text is what another program read there: lines that are compared, how many must be, and how much of them must
# agree. 0.95 leaves room for the mistakes of both.
SCAN_LINES = 8
SCAN_LEAST = 3
SCAN_AGREES = 0.95
# Characters of a line: short ones prove little, long ones take long.
BEST_LENGTH = 30
LEAST_LETTERS = 5
# Pixels a line must be high to be read.
READABLE = 8
_READABLE_PART = 0.7
_SAME = str.maketrans({"–": "-", "—": "-", "−": "-", "‐": "-", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'"})


def disagreement(lines: Sequence[TextLine], read: Read, alphabet: frozenset[str]) -> str | None:
    """What the layer says and what is seen there, where a font's lines say something else; None where all agree.

    Lines whose letters are mostly not in the recogniser's `alphabet` cannot be compared and are believed.
    """
    size = sum(len(line.text) for line in lines)
    by_font: dict[int, list[TextLine]] = defaultdict(list)
    for line in lines:
        by_font[line.font].append(line)
    share = Counter({font: sum(len(line.text) for line in members) for font, members in by_font.items()})
    for font, letters in share.most_common(FONTS):
        if letters < LEAST_PART * size:
            break
        found = _font_disagreement(_samples(by_font[font], 2, alphabet), read)
        if found:
            return found
    return None


def scan_disagreement(lines: Sequence[TextLine], read: Read, alphabet: frozenset[str]) -> str | None:
    """Why a scan's invisible text is not to be trusted; None where it reads as the page does, line by line."""
    samples = _samples(lines, SCAN_LINES, alphabet)
    if len(samples) < SCAN_LEAST:
        return "too few of its lines can be compared with the page"
    likeness = sorted(
        (_likeness(line.text, text), line.text, text)
        for line, (text, score) in zip(samples, read(samples), strict=True)
        if score >= SURE
    )
    if len(likeness) < SCAN_LEAST:
        return "too few of its lines can be read on the page"
    mean = sum(like for like, _, _ in likeness) / len(likeness)
    if mean < SCAN_AGREES:
        return f"{mean:.0%} of it agrees with the page: {_contrast(likeness[0][1], likeness[0][2])}"
    return None


def _font_disagreement(samples: Sequence[TextLine], read: Read) -> str | None:
    """Both samples must disagree, so that a picture across a line proves nothing."""
    found: str | None = None
    for line in samples:
        ((text, score),) = read([line])
        if score < SURE or _likeness(line.text, text) >= AGREES:
            return None
        found = _contrast(line.text, text)
    return found


def _samples(lines: Sequence[TextLine], count: int, alphabet: frozenset[str]) -> list[TextLine]:
    """Lines to be compared: with letters if there are any, neither short nor long."""
    readable = [line for line in lines if _is_readable(line, alphabet)]
    lettered = [line for line in readable if _letters(line.text) >= max(LEAST_LETTERS, _READABLE_PART * len(line.text))]
    chosen = lettered or readable
    return sorted(chosen, key=lambda line: (abs(len(line.text) - BEST_LENGTH), line.corners))[:count]


def _is_readable(line: TextLine, alphabet: frozenset[str]) -> bool:
    """Runs to the right, is high enough, and is written in what the recogniser knows."""
    (_, top), _, (_, bottom), _ = line.corners
    return abs(line.angle) < 0.1 and bottom - top >= READABLE and readable_part(line.text, alphabet) >= _READABLE_PART


def readable_part(text: str, alphabet: frozenset[str]) -> float:
    """The part, 0 to 1, of characters (but for spaces) that a recogniser of this alphabet tells.

    Its letters with other accents count, and so do punctuation and ASCII, which every recogniser's has.
    """
    letters = [char for char in text if not char.isspace()]
    return sum(_is_known(char, alphabet) for char in letters) / len(letters) if letters else 0.0


def _is_known(char: str, alphabet: frozenset[str]) -> bool:
    if char.isascii() or char in alphabet or unicodedata.category(char).startswith("P"):
        return True
    return unicodedata.normalize("NFKD", char)[0] in alphabet


def _letters(text: str) -> int:
    return sum(char.isalnum() for char in text)


def _likeness(one: str, other: str) -> float:
    """0 to 1, without regard to case, accents, spaces and the kinds of dashes and quotes."""
    return SequenceMatcher(None, _bare(one), _bare(other), autojunk=False).ratio()


def _bare(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.translate(_SAME)).casefold()
    return "".join(char for char in decomposed if not char.isspace() and not unicodedata.combining(char))


def _contrast(layer: str, page: str) -> str:
    return f"it says {_short(layer)!r} where {_short(page)!r} is seen"


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
