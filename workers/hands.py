"""What this process has in its hands, so that a claim whose answer was lost does not stay held for ever.

The database says what we hold; this says what we work on. A claim may be committed while its answer is lost, or a stage
may end by an error between claim and release: such rows are held by a living worker and nobody would rescue them. The
heartbeat compares both (`Incarnation`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from jobs.store.claiming import ClaimedDocument, ClaimedPage

Hold = tuple[str, int, int]
"""(document, page number or 0 for the document itself, attempt)."""


def hold_of(claim: ClaimedPage | ClaimedDocument) -> Hold:
    return (claim.document.id, claim.number if isinstance(claim, ClaimedPage) else 0, claim.attempt)


class Hands:
    """The set of claims being worked on. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holds: set[Hold] = set()

    def take(self, claims: Iterable[ClaimedPage | ClaimedDocument]) -> None:
        with self._lock:
            self._holds.update(map(hold_of, claims))

    def put_down(self, claims: Iterable[ClaimedPage | ClaimedDocument]) -> None:
        with self._lock:
            self._holds.difference_update(map(hold_of, claims))

    @contextmanager
    def holding(self, claims: list[ClaimedDocument]) -> Iterator[None]:
        self.take(claims)
        try:
            yield
        finally:
            self.put_down(claims)

    def holds(self) -> set[Hold]:
        with self._lock:
            return set(self._holds)

    def documents(self) -> list[str]:
        with self._lock:
            return sorted({document for document, _, _ in self._holds})
