"""Lines and pieces of running text put together: spaces, and hyphens at the ends of lines. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Han, kana, Hangul excluded (Korean puts spaces), full-width forms and CJK punctuation: no space at a line break.
_CJK = re.compile(r"[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef]")
HYPHENS = ("-", "\u00ad", "\u2010")
BROKEN = re.compile(r"([^\W\d_]+)[-\u00ad\u2010]$")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
# `Haupt- und Nebensatz`, `pre- and post-war`: the hyphen stands for the rest of a word.
_AFTER_ELLIPSIS = frozenset({"and", "or", "to", "und", "oder", "bis", "bzw", "et", "ou", "y", "o", "e", "en", "of"})
# Letters of the parts of a compound that are known by themselves: syllables are shorter.
LEAST_PART = 4
SENTENCE_END = re.compile(r"[.!?:;…。！？：；][\"'”’»)\]]*$")


def words_seen(lines: Iterable[str]) -> frozenset[str]:
    """The words of these lines in lower case, but for those cut by a line's end."""
    words: set[str] = set()
    for line in lines:
        words.update(word.lower() for word in _WORD.findall(BROKEN.sub("", line.rstrip())))
    return frozenset(words)


def joined(text: str, following: str, known: frozenset[str], *, meant: bool = False) -> str:
    """A line and the next one as one text; `meant`: their break is kept.

    `known`: words seen on the page, in lower case; they decide whether a hyphen at a line's end belongs to the word
    (`trace-based`) or to the break (`informa-tion`).
    """
    broken = BROKEN.search(text)
    first = _WORD.match(following)
    if broken and first and first[0].lower() in _AFTER_ELLIPSIS:
        return f"{text} {following}"
    if broken and first and following[0].isupper():
        return f"{text}{following}"
    if broken and first and following[0].islower():
        return (text[:-1] + "-" if _is_compound(broken[1], first[0], known) else text[:-1]) + following
    if meant:
        return f"{text}\n{following}"
    return text + space(text, following) + following


def _is_compound(left: str, right: str, known: frozenset[str]) -> bool:
    """Whether a hyphen at a line's end belongs to the word.

    The page says so by writing it elsewhere; else its parts do, where each stands alone on the page and is no syllable,
    or the left one is a name in small and capital letters (`DocLayNet-trained`).
    """
    whole, compound = (left + right).lower(), f"{left}-{right}".lower()
    if whole in known or compound in known:
        return whole not in known
    second = right.split("-")[0].lower()
    if len(left) > 1 and not left[1:].islower() and left.lower() in known:
        return True
    return min(len(left), len(second)) >= LEAST_PART and left.lower() in known and second in known


def space(before: str, after: str) -> str:
    """What stands between two pieces of one text: a space where their script has spaces."""
    if not before or not after:
        return ""
    return "" if _CJK.match(before[-1]) and _CJK.match(after[0]) else " "
