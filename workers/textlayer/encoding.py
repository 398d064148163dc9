"""What the codes of a text layer stand for, and whether they stand for anything."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from workers.textlayer.glyphs import Glyph

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
SOFT_HYPHEN = "\N{SOFT HYPHEN}"
BULLET = "\N{BULLET}"

MOST_BROKEN = 0.02
"""The part of a page's glyphs that may mean nothing: a bullet or a symbol here and there."""

# Word and its kin write list bullets in Symbol and Wingdings, by codes of the private use area (F000 + the font's
# code); what the codes show is fixed by the fonts (Microsoft, "Symbol" and "Wingdings" character sets).
_PRIVATE = {
    "\uf0b7": "•", "\uf0a7": "▪", "\uf06e": "■", "\uf06c": "●", "\uf06f": "□", "\uf0a8": "◻", "\uf0d8": "➢",
    "\uf0e0": "→", "\uf0df": "←", "\uf0fc": "✓", "\uf0fb": "✗", "\uf076": "❖", "\uf0be": "─", "\uf02d": "−",
    "\uf0ae": "→", "\uf0b0": "°", "\uf0b1": "±", "\uf0b4": "×", "\uf0a3": "≤", "\uf0b3": "≥",
}  # fmt: skip

# Accents that old fonts draw as glyphs of their own, over or under the next letter.
_ACCENTS = {
    "`": "\u0300", "´": "\u0301", "^": "\u0302", "ˆ": "\u0302", "~": "\u0303", "˜": "\u0303", "¯": "\u0304",
    "˘": "\u0306", "˙": "\u0307", "¨": "\u0308", "˚": "\u030a", "˝": "\u030b", "ˇ": "\u030c", "¸": "\u0327",
    "˛": "\u0328",
}  # fmt: skip
_DOTLESS = {"ı": "i", "ȷ": "j"}


def plain(text: str) -> str:
    """The characters of a glyph as a reader would type them.

    Ligatures and the shapes of Arabic letters are spelt out, known private codes become what they show, controls go;
    what means nothing stays as U+FFFD.
    """
    return "".join(_plain(char) for char in text)


def _plain(char: str) -> str:
    if char.isascii():
        return char if char.isprintable() else ""
    if "\ufb00" <= char <= "\ufdff" or "\ufe70" <= char <= "\ufeff":
        return unicodedata.normalize("NFKC", char) if char != "\ufeff" else ""
    if char in _PRIVATE:
        return _PRIVATE[char]
    category = unicodedata.category(char)
    if category in ("Cc", "Cf"):
        # Joiners shape their neighbours and marks of direction order them; the rest of the formats is not text.
        return char if char in "\u200c\u200d" or char == SOFT_HYPHEN else ""
    return REPLACEMENT if category in ("Co", "Cn", "Cs") else char


def is_broken(glyph: Glyph) -> bool:
    """Whether what the layer says for it cannot be meant.

    A code taken for a character is right by chance in Latin fonts, whose codes mostly are characters; those are left to
    a comparison with the page's image.
    """
    text = plain(glyph.text)
    return not text or REPLACEMENT in text or (glyph.guessed and ord(text[0]) > 0xFF)


def broken_part(glyphs: Sequence[Glyph]) -> float:
    """The part, 0 to 1, of glyphs (but for spaces) that mean nothing."""
    letters = [glyph for glyph in glyphs if not glyph.text.isspace()]
    return sum(map(is_broken, letters)) / len(letters) if letters else 0.0


def composed(accent: str, letter: str) -> str | None:
    """The one character of an accent that stands at a letter: ´ and e are é. None where there is no such character."""
    if accent not in _ACCENTS or len(letter) != 1:
        return None
    joined = unicodedata.normalize("NFC", _DOTLESS.get(letter, letter) + _ACCENTS[accent])
    return joined if len(joined) == 1 else None
