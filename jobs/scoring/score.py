"""One score of one page or document, and sums of many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from jobs.scoring.characters import edit_distance, shared
from jobs.scoring.normalization import normalized, words
from jobs.scoring.order import anchors, in_order
from jobs.scoring.reading import Reading
from jobs.scoring.tables import compare

LONGEST = 1_000_000
"""Characters of one text up to which it is compared at once: 20 s at 5 % errors, minutes where nothing is alike."""


@dataclass(frozen=True, slots=True)
class Score:
    """Counts, so that scores of pages add up to that of a document and those of documents to that of a folder.

    The rates are None where there is nothing to be a part of.
    """

    characters: int = 0
    """Of the truth, normalized."""
    read: int = 0
    """Characters of the result, normalized."""
    edits: int = 0
    shared_characters: int = 0
    words: int = 0
    """Of the truth."""
    shared_words: int = 0
    anchors: int = 0
    anchors_in_order: int = 0
    tables: int = 0
    """Of the truth, those too large to be compared left out."""
    tables_read: int = 0
    teds_sum: float = 0.0
    teds_structure_sum: float = 0.0

    def __add__(self, other: Score) -> Score:
        return Score(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def cer(self) -> float | None:
        """Character error rate: edits ÷ characters of the truth. More than 1 where much was made up."""
        return _rate(self.edits, self.characters)

    @property
    def recall(self) -> float | None:
        """Characters of the truth that were read, in whatever order ÷ all of them."""
        return _rate(self.shared_characters, self.characters)

    @property
    def word_recall(self) -> float | None:
        """Words of the truth that were read, in whatever order ÷ all of them."""
        return _rate(self.shared_words, self.words)

    @property
    def order(self) -> float | None:
        """Share of the text found in both that stands in the right order (`jobs.scoring.order`)."""
        return _rate(self.anchors_in_order, self.anchors)

    @property
    def teds(self) -> float | None:
        """Mean likeness of the truth's tables (`jobs.scoring.tables`), 0 for those not read as tables."""
        return _rate(self.teds_sum, self.tables)

    @property
    def teds_structure(self) -> float | None:
        return _rate(self.teds_structure_sum, self.tables)


def _rate(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def score(truth: Reading, read: Reading, *, exact: bool = False, text: bool = True) -> Score:
    """Compare what was read with the truth. Without `text` only tables.

    Raises ValueError for texts longer than LONGEST.
    """
    found = [teds for teds in compare(truth.tables, read.tables) if teds is not None]
    tables = Score(
        tables=len(found),
        tables_read=len(read.tables),
        teds_sum=sum(teds.score for teds in found),
        teds_structure_sum=sum(teds.structure for teds in found),
    )
    return tables + text_score(truth.text, read.text, exact=exact) if text else tables


def text_score(truth: str, read: str, *, exact: bool = False) -> Score:
    """Compare two texts, neither normalized. Raises ValueError for texts longer than LONGEST."""
    right, ours = normalized(truth, exact=exact), normalized(read, exact=exact)
    longest = max(len(right), len(ours))
    if longest > LONGEST:
        raise ValueError(f"{longest} characters are too many to compare at once, limit {LONGEST}")
    right_words = words(right)
    places = anchors(right, ours)
    return Score(
        characters=len(right),
        read=len(ours),
        edits=edit_distance(right, ours),
        shared_characters=shared(right, ours),
        words=len(right_words),
        shared_words=shared(right_words, words(ours)),
        anchors=len(places),
        anchors_in_order=in_order(places),
    )


def total(scores: Iterable[Score]) -> Score:
    """The sum. Its rates weigh documents by their length, tables by their number."""
    return sum(scores, Score())
