"""What the modelled server answers, and what a request costs: text of the form that each client expects of its model.

Clients are told apart by their prompts. A page that is read by one request costs an answer of 700 tokens in the mean; a
page of MinerU, one request for its layout and one for each of about ten blocks, the same in total. The n-th request of
a kind costs the same whoever sends it, so that every side of a comparison has the same 480 pages to read.
"""

from __future__ import annotations

import base64
import math
import random
import re
import struct
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Literal

from tests.bench.modelled import answer_tokens

Kind = Literal["markdown", "olmocr", "doctags", "layout", "block"]

CELL = 28
"""Pixels of a side that make one token of an image."""
MOST_IMAGE_TOKENS = 1500
"""As a server with a bound of 1,176,000 pixels: what is larger is made smaller there."""
BLOCK_TOKENS, TOKENS_PER_REGION = 40, 20
CHARACTERS_PER_TOKEN = 4
_HEAD = 88_000
"""Characters of base64 in which the size of an image is looked for: past any metadata."""
_WORDS = """
report water system figure shall income section value table method result between annual model number state under which
process energy student given total rate local change however control study during general time data service public order
first level range test page
"""
_FRONT_MATTER = """---
primary_language: en
is_rotation_valid: True
rotation_correction: 0
is_table: False
is_diagram: False
---
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and how many tokens it stands for."""

    tokens: float
    text: str


def kind_of(prompt: str) -> Kind:
    """Whose prompt it is."""
    if "Layout Detection" in prompt or "Layout Analysis" in prompt:
        return "layout"
    if re.search(r"(Text|Formula|Table) Recognition|Image Analysis", prompt):
        return "block"
    if "front matter" in prompt:
        return "olmocr"
    return "doctags" if "docling" in prompt.lower() else "markdown"


def reply(kind: Kind, number: int) -> Reply:
    """The answer to the `number`-th request of this kind."""
    seed = zlib.crc32(b"page %d" % number)
    if kind == "layout":
        regions = 7 + seed % 7
        return Reply(TOKENS_PER_REGION * regions, _layout(regions))
    if kind == "block":
        tokens = answer_tokens(seed, BLOCK_TOKENS)
        return Reply(tokens, _words(seed, tokens).replace("\n\n", " "))
    tokens = answer_tokens(seed)
    text = _words(seed, tokens)
    if kind == "olmocr":
        return Reply(tokens, _FRONT_MATTER + text)
    return Reply(tokens, _doctags(text.split("\n\n")) if kind == "doctags" else f"# {text}")


def image_tokens(url: str) -> int:
    """Tokens of an image given as a data URL. Raises ValueError where it is none."""
    width, height = image_size(url)
    return min(MOST_IMAGE_TOKENS, math.ceil(width / CELL) * math.ceil(height / CELL))


def image_size(url: str) -> tuple[int, int]:
    """Width and height, from the head of a PNG or JPEG. Raises ValueError for anything else."""
    encoded = url.partition("base64,")[2][:_HEAD]
    head = base64.b64decode(encoded[: len(encoded) // 4 * 4])
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        width, height = struct.unpack(">II", head[16:24])
        return int(width), int(height)
    at = 2 if head[:2] == b"\xff\xd8" else len(head)
    while at + 9 < len(head):
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7])
        at += 2 + length
    raise ValueError("neither a PNG nor a JPEG in base64")


@cache
def _filler() -> str:
    """200,000 characters of sentences and paragraphs, the same in every process."""
    words, chance = _WORDS.split(), random.Random(1)
    text, size = [], 0
    while size < 200_000:
        sentence = " ".join(chance.choice(words) for _ in range(chance.randint(8, 18))).capitalize()
        text.append(sentence + (".\n\n" if chance.random() < 0.15 else ". "))
        size += len(text[-1])
    return "".join(text)


def _words(seed: int, tokens: float) -> str:
    """About so many tokens of filler, cut at a word."""
    start = seed % 150_000
    return _filler()[start : start + max(8, int(tokens) * CHARACTERS_PER_TOKEN)].rsplit(" ", 1)[0].strip()


def _layout(regions: int) -> str:
    """Title and text blocks below each other, in thousandths of the page."""
    tops = [40 + at * 920 // regions for at in range(regions + 1)]
    kinds = ["title", *["text"] * (regions - 1)]
    return "\n".join(
        f"<|box_start|>090 {tops[at]:03d} 910 {tops[at + 1] - 12:03d}<|box_end|>"
        f"<|ref_start|>{kind}<|ref_end|><|rotate_up|>"
        for at, kind in enumerate(kinds)
    )


def _doctags(paragraphs: list[str]) -> str:
    step = 480 // len(paragraphs)
    texts = (
        f"<text><loc_40><loc_{10 + at * step}><loc_460><loc_{10 + at * step + max(1, step - 2)}>{text}</text>"
        for at, text in enumerate(paragraphs)
    )
    return "<doctag>" + "\n".join(texts) + "\n</doctag>"
