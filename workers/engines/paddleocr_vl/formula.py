r"""Signs around formulas: `\(…\)` and `\[…\]` of the model become `$` and `$$`.

Source: PaddleX 3.7.2, `paddleocr_vl/pipeline.py` (`_paddleocr_vl_assemble_parsing_results`).
"""

from __future__ import annotations


def with_dollars(text: str, *, formula_number: bool = False) -> str:
    r"""`text` with dollar signs, where a pair of `\(`, `\)` or of `\[`, `\]` occurs; otherwise as it is.

    Dollars that were there before vanish, so that the new ones pair up. The number of a formula keeps none.
    """
    pairs = (("\\(", "\\)"), ("\\[", "\\]"))
    if not any(opening in text and closing in text for opening, closing in pairs):
        return text
    text = text.replace("$", "").replace("\\(", " $ ").replace("\\)", " $")
    text = text.replace("\\[\\[", "\\[").replace("\\]\\]", "\\]").replace("\\[", " $$ ").replace("\\]", " $$ ")
    return text.replace("$", "") if formula_number else text
