"""What counts as the same text.

`normalized(text)` is what every score compares. The steps, in this order:

1. Unicode NFKC: ligatures (ﬁ), full-width forms, superscripts and presentation forms become plain characters.
2. A hyphen at a line's end before a small letter joins the two lines; a soft hyphen always does (PDFium writes U+FFFE
   or U+0002 for the hyphen that a line ends with).
3. Invisible characters go: format characters (category Cf: soft hyphens, joiners, direction marks, byte order marks),
   controls, noncharacters.
4. Quotes, apostrophes, dashes and bullets become one of each: ' " - •. Recognition models differ in them by training,
   and transcriptions by habit.
5. Leaders: four or more of the same of . _ - · become three.
6. Blanks: every run of white space becomes one space, none at the ends, none between two characters of scripts that
   are written without (Han, kana).

`normalized(text, exact=True)` does 1 as NFC, 2, 3 and 6 only. Letters, case and punctuation are never touched
otherwise. The same choice as the OCR-D evaluation guidelines (level 2 of the German ground truth guidelines is compared
after NFC and with folded blanks) and dinglehopper, which folds quotes and dashes likewise.
"""

from __future__ import annotations

import re
import unicodedata

_LINE_END_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u2010]\s*\n\s*(?=([^\W\d_]))")
_SOFT_LINE_END = re.compile(r"[\u00ad\ufffe\x02]\s*")
_WITHOUT_BLANKS = "\u3000-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CJK_BLANK = re.compile(rf"(?<=[{_WITHOUT_BLANKS}])\s+(?=[{_WITHOUT_BLANKS}])")
# NFKC makes , : ; ! ? of their full-width forms; a blank beside them in Chinese text is a matter of taste.
_CJK_MARK = re.compile(rf"(?<=[{_WITHOUT_BLANKS}])\s+(?=[,.:;!?()])|(?<=[,:;!?()])\s+(?=[{_WITHOUT_BLANKS}])")
_LEADER = re.compile(r"([._\-·])(?:\s?\1){3,}")
_FOLDED = str.maketrans(
    dict.fromkeys("‘’‚‛′`´ʼ", "'")
    | dict.fromkeys("“”„‟″«»‹›〝〞〟", '"')
    | dict.fromkeys("‐‑‒–—―−﹘﹣－", "-")
    | dict.fromkeys("●▪■◦○□‣∙・⁃", "•")
)


class _Visible(dict[int, int | None]):
    """For str.translate: None for what cannot be seen, learned character by character."""

    def __missing__(self, code: int) -> int | None:
        category = unicodedata.category(chr(code))
        hidden = category == "Cf" or (category == "Cc" and not chr(code).isspace())
        noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
        self[code] = None if hidden or noncharacter else code
        return self[code]


_VISIBLE = _Visible()


def normalized(text: str, *, exact: bool = False) -> str:
    """The text as scores compare it; see the module."""
    text = unicodedata.normalize("NFC" if exact else "NFKC", text)
    text = _SOFT_LINE_END.sub("", text)
    text = _LINE_END_HYPHEN.sub(_joined, text)
    text = text.translate(_VISIBLE)
    if not exact:
        text = _LEADER.sub(r"\1\1\1", text.translate(_FOLDED))
    text = _CJK_BLANK.sub("", " ".join(text.split()))
    return text if exact else _CJK_MARK.sub("", text)


def _joined(match: re.Match[str]) -> str:
    """Nothing before a small letter; before a capital the hyphen belongs to the word (Anglo-Saxon)."""
    following: str = match.group(1)
    return "" if following.islower() else "-"


def words(text: str) -> list[str]:
    """The words of a normalized text, small; each character of a script without blanks is one."""
    return re.findall(rf"[{_WITHOUT_BLANKS}]|[^\W{_WITHOUT_BLANKS}]+(?:['-][^\W{_WITHOUT_BLANKS}]+)*", text.casefold())
