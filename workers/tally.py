"""What became of the pages of one message: told to whoever looks at the task in Flower."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from jobs.readable import pages_shown
from jobs.store.claiming import ClaimedPage, PageRef
from jobs.store.recording import Outcome

TOO_LATE = "dropped"


@dataclass(slots=True)
class Tally:
    """`str()`: `read 13, failed 1 (page_timeout), let go 1 (engine_unavailable), skipped 1: page 7 of doc_…`.

    Pages are skipped that others had read or had in hands by then, or that may not run yet. Thread-safe.
    """

    asked: Sequence[PageRef]
    busy: bool = False
    """Whether the worker had too much to do to look at them: they are rung again. Nothing else counts then."""
    claimed: int = 0
    _claims: set[tuple[str, int]] = field(default_factory=set)
    _ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By state and error code."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, pages: Iterable[ClaimedPage]) -> None:
        with self._lock:
            for page in pages:
                self._claims.add((page.document.id, page.number))
            self.claimed = len(self._claims)

    def end(self, outcome: Outcome) -> None:
        """How a page was put down in the end; a late one may still be refused by the database."""
        code = (outcome.error or {}).get("code", "")
        with self._lock:
            self._ends[outcome.state, str(code)] += 1

    def drop(self) -> None:
        """A page was canceled or taken away while it was read."""
        with self._lock:
            self._ends[TOO_LATE, ""] += 1

    def __str__(self) -> str:
        states = (("succeeded", "read"), ("failed", "failed"), ("pending", "let go"), (TOO_LATE, TOO_LATE))
        parts = [text for state, word in states if (text := self._part(state, word))]
        skipped = [ref for ref in self.asked if ref[:2] not in self._claims]
        if skipped:
            parts.append(f"skipped {len(skipped)}: {pages_shown(skipped, {})}")
        return ", ".join(parts) or "nothing"

    def _part(self, state: str, word: str) -> str:
        counts = {code: count for (of, code), count in sorted(self._ends.items()) if of == state}
        if not counts:
            return ""
        total, codes = sum(counts.values()), [code for code in counts if code]
        return f"{word} {total} ({', '.join(codes)})" if codes else f"{word} {total}"
