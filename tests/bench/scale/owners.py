"""A round of dispatch looks at every owner who waits: what it costs with more and more of them, PostgreSQL alone.

As many documents and pages wait in all sizes, and each owner is an API key with one job. Rolled back; medians.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlmodel import Session

from jobs.store import ringing, waiting
from tests.bench.scale.bulk import CAPACITY, ENGINE, load
from tests.bench.scale.questions import Question, shown, timed
from tests.bench.scale.site import database

MESSAGE = 16
"""Pages of a message: when that many have ended, there is room for as many."""
WINDOW = 2 * CAPACITY
SPLITS = 64


def owning(sizes: Sequence[int]) -> str:
    """Milliseconds of what a round asks, by owners who wait."""
    return shown([_asked(size) for size in sizes], sizes, grown=False)


def questions() -> dict[str, Question]:
    return {
        "limits of keys": lambda s: waiting.caps(s, None),
        f"whose turn it is, {WINDOW} pages": lambda s: waiting.pages_waiting(s, ENGINE, WINDOW, ()),
        f"{MESSAGE} pages": lambda s: waiting.pages_waiting(s, ENGINE, MESSAGE, ()),
        f"whose turn it is, {SPLITS} documents": lambda s: waiting.splits_waiting(s, SPLITS, ()),
        f"choose and stamp {WINDOW} pages": lambda s: ringing.stamp_windows(s, {ENGINE: WINDOW}),
        f"{MESSAGE} pages, stamped": lambda s: ringing.stamp_windows(s, {ENGINE: MESSAGE}),
        f"choose and stamp {SPLITS} documents": lambda s: ringing.stamp_splits(s, SPLITS),
    }


def _asked(size: int) -> dict[str, float]:
    with database() as db:
        load(db, "owners", size)
        return {name: timed(db, partial(_as_dispatcher, ask)) for name, ask in questions().items()}


def _as_dispatcher(ask: Question, session: Session) -> object:
    """Its settings and its lock take a fraction of a millisecond."""
    assert ringing.dispatch_lock(session)
    return ask(session)
