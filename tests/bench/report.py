"""What a benchmark found, as docs/benchmarks.md shows it: one section each, between two markers, and its plots.

What stands outside the markers is written by hand; a run replaces its own section and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = DOCS / "benchmarks.md"
PLOTS = DOCS / "bench"


class NotMeasured(RuntimeError):
    """What a benchmark needs is not here; the message says what. Its section stays as it is."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    rounds: int = 3
    quick: bool = False
    """One small round, to see that it runs: nothing of it is written to the docs."""

    def of(self, much: int, little: int) -> int:
        """`much`, or `little` where it is to be quick."""
        return little if self.quick else much


@dataclass(frozen=True, slots=True)
class Section:
    """What a run found."""

    text: str
    """Markdown without a heading: what was run, tables, what limits it. A plot is shown as `![…](bench/<name>.svg)`."""
    plots: Mapping[str, str] = field(default_factory=dict)
    """SVG by file name."""
    left_out: str = ""
    """What the run left out because it was told to: such a section is shown, and the page keeps what it had."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over several rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    def __format__(self, spec: str) -> str:
        """`median (least to most)`, each in this format; the median alone of one round."""
        middle = format(self.median, spec)
        if len(self.values) < 2:
            return middle
        return f"{middle} ({format(min(self.values), spec)} to {format(max(self.values), spec)})"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def write(name: str, machine: str, section: Section) -> None:
    """Put the section in its place in docs/benchmarks.md, and its plots beside it.

    `machine`: lines that say what was measured on. Raises ValueError where the page has no markers of that name.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    page = PAGE.read_text()
    found = re.search(f"{re.escape(begin)}.*?{re.escape(end)}", page, re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE} has no place for {name}: {begin} and {end}")
    command = f"`make bench ONLY={name}`; {'; '.join(machine.splitlines())}."
    text = f"{begin}\n{section.text.strip()}\n\n{command}\n{end}"
    PAGE.write_text(page[: found.start()] + text + page[found.end() :])
    PLOTS.mkdir(exist_ok=True)
    for file, svg in section.plots.items():
        (PLOTS / file).write_text(svg)
