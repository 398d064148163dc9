"""What reading costs: the engine's time and tokens, by page, and their price. The books keep them by document and job.

The engine's busy seconds are divided among the pages that are inside: while n pages are there, each is charged 1/n of
the time that passes. So the charges of all pages add up to the time in which the engine had something to do, whatever
it batches, and a page that is alone in a large engine is charged for all of it. Inside is what was handed to the engine
and has not come back, its own queue included; fetching, rendering (where the engine does not read in the render
processes), storing and recording are not charged.

Every attempt that is recorded counts, failed ones too. What a killed worker was about, and what was canceled, is not
known to the database and is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

MICROS = 1_000_000
"""Time is kept in whole microseconds: sums of them are exact in any order, on both databases."""
_HOUR = 3600


class Spent(NamedTuple):
    """What one attempt at a page, or all of a document's or job's, took of an engine."""

    engine_micros: int = 0
    tokens_in: int = 0
    """Of prompts, images included."""
    tokens_out: int = 0

    @property
    def engine_seconds(self) -> float:
        return self.engine_micros / MICROS


NOTHING = Spent()


@dataclass(frozen=True, slots=True)
class Price:
    """What an engine's hour costs, in a currency that is only a name."""

    per_gpu_hour: float
    currency: str

    def of(self, spent: Spent) -> float:
        """Rounded to a millionth."""
        return round(spent.engine_seconds / _HOUR * self.per_gpu_hour, 6)
