"""Files spoiled at random, but always in the same way: (seed, index) decides everything."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

HEAD = 8
"""Bytes by which the door knows a file; most mutants keep them, or they would not get any further."""

KEEP_HEAD = 0.95

_NUMBER = re.compile(rb"(?<![\w.])-?\d{1,10}(?![\w.])")
_NUMBERS = (
    b"0", b"-1", b"1", b"2", b"65535", b"65536", b"2147483647", b"-2147483648", b"4294967296", b"99999999999999999999",
    b"0.00000001", b"1e38", b"null", b"(x)", b"[", b"<<",
)  # fmt: skip
_WORDS = (
    b"obj", b"endobj", b"stream", b"endstream", b"xref", b"trailer", b"startxref", b"/Type", b"/Length", b"/Filter",
    b"/Kids", b"/Count", b"/Parent", b"/Contents", b"/Resources", b"/Width", b"/Height", b"/BitsPerComponent", b" R",
)  # fmt: skip
_INTERESTING = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A spoiled file: where it came from, what was done to it, and its bytes."""

    index: int
    origin: Path
    steps: tuple[str, ...]
    data: bytes

    @property
    def name(self) -> str:
        return f"{self.index:05}{self.origin.suffix}"


def mutant(seed: int, index: int, files: Sequence[Path]) -> Mutant:
    """The mutant `index` of this seed: one to four steps on one of the files."""
    random = Random(f"{seed}:{index}")
    origin = random.choice(files)
    original = origin.read_bytes()
    data, steps = original, []
    for _ in range(random.choice((1, 1, 2, 4))):
        step = random.choice(STEPS if data.startswith(b"%PDF") else _BINARY_STEPS)
        steps.append(step.__name__)
        data = step(random, data) if step is not splice else splice(random, data, random.choice(files).read_bytes())
    if random.random() < KEEP_HEAD:
        data = original[:HEAD] + data[HEAD:]
    return Mutant(index, origin, tuple(steps), data)


def flip(random: Random, data: bytes) -> bytes:
    """Bits here and there: one, or up to one in a hundred bytes."""
    out = bytearray(data)
    for _ in range(random.choice((1, 4, 16, max(1, len(out) // 100)))):
        if out:
            out[random.randrange(len(out))] ^= 1 << random.randrange(8)
    return bytes(out)


def poke(random: Random, data: bytes) -> bytes:
    """Bytes at the edge of their range, in runs as long as the numbers in headers."""
    out = bytearray(data)
    for _ in range(random.choice((1, 3, 8))):
        at = random.randrange(len(out) + 1)
        out[at : at + random.choice((1, 2, 4))] = bytes([random.choice(_INTERESTING)]) * random.choice((1, 2, 4))
    return bytes(out)


def truncate(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def cut(random: Random, data: bytes) -> bytes:
    """A piece taken out."""
    start, end = _piece(random, data)
    return data[:start] + data[end:]


def double(random: Random, data: bytes) -> bytes:
    """A piece that comes again, where it was or elsewhere, once or many times."""
    start, end = _piece(random, data)
    at = random.choice((end, random.randrange(len(data) + 1)))
    return data[:at] + data[start:end] * random.choice((1, 1, 2, 100 if end - start < 10_000 else 1)) + data[at:]


def swap(random: Random, data: bytes) -> bytes:
    """Two neighbouring pieces in the wrong order."""
    start, end = _piece(random, data)
    middle = random.randint(start, end)
    return data[:start] + data[middle:end] + data[start:middle] + data[end:]


def blank(random: Random, data: bytes) -> bytes:
    """A piece overwritten by one byte."""
    start, end = _piece(random, data)
    return data[:start] + bytes([random.choice((0, 32, 255, random.randrange(256)))]) * (end - start) + data[end:]


def splice(random: Random, data: bytes, other: bytes) -> bytes:
    """The beginning of one file and the end of another, or a piece of the other in the middle."""
    at = random.randrange(len(data) + 1)
    start, end = _piece(random, other)
    return data[:at] + (other[start:] if random.random() < 0.5 else other[start:end] + data[at:])


def renumber(random: Random, data: bytes) -> bytes:
    """Numbers of a PDF's syntax replaced: sizes, counts, offsets, lengths, references."""
    found = list(_NUMBER.finditer(data))
    chosen = random.sample(found, min(len(found), random.choice((1, 2, 5, 20))))
    return _replaced(data, [(match.span(), _number(random, match.group())) for match in chosen])


def reword(random: Random, data: bytes) -> bytes:
    """A word of a PDF's syntax replaced by another, at one or all of its places."""
    old, new = random.sample(_WORDS, 2)
    return data.replace(old, new, random.choice((1, 3, -1)))


def rename(random: Random, data: bytes) -> bytes:
    """References that point to another object, itself included."""
    found = list(re.finditer(rb"\b(\d{1,6})(?= \d{1,5} R\b)", data))
    chosen = random.sample(found, min(len(found), random.choice((1, 3, 10))))
    numbers = [match.group() for match in found]
    return _replaced(data, [(match.span(), random.choice(numbers)) for match in chosen])


_BINARY_STEPS: tuple[Callable[..., bytes], ...] = (flip, poke, truncate, cut, double, swap, blank, splice)
STEPS: tuple[Callable[..., bytes], ...] = (*_BINARY_STEPS, renumber, renumber, renumber, reword, rename, rename)


def _piece(random: Random, data: bytes) -> tuple[int, int]:
    size = min(len(data), random.choice((1, 16, 256, 4096, max(1, len(data) // 4))))
    start = random.randrange(len(data) - size + 1)
    return start, start + size


def _number(random: Random, old: bytes) -> bytes:
    near = [str(int(old) + step).encode() for step in (-1, 1)] + [old + b"0", b"-" + old.lstrip(b"-")]
    return random.choice((*_NUMBERS, *near))


def _replaced(data: bytes, pieces: list[tuple[tuple[int, int], bytes]]) -> bytes:
    out, at = bytearray(), 0
    for (start, end), new in sorted(pieces):
        out += data[at:start] + new
        at = end
    return bytes(out + data[at:])
