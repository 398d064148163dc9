"""One run: rows, jobs, objects, uploads, and at last what only time tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from jobs.errors import StorageFull, StorageUnavailable
from jobs.reconcile.clockwork import clockwork_differences
from jobs.reconcile.differences import Difference
from jobs.reconcile.ledger import document_ledger, job_ledger
from jobs.reconcile.objects import stored_differences
from jobs.reconcile.orphans import Orphans
from jobs.reconcile.parts import Parts
from jobs.reconcile.uploads import upload_differences

Say = Callable[[str], None]


def reconcile(
    parts: Parts, say: Say = lambda _text: None, wait: Callable[[float], None] = time.sleep
) -> Iterator[Difference]:
    """Every difference as it is found, mended where `parts.fix`. A part that does not answer is told in `parts.blind`.

    `say` is told what is looked at. Raises DatabaseUnavailable: without it nothing can be told.
    """
    say("documents and pages")
    yield from _unless_away(parts, document_ledger(parts))
    say("stored objects")
    yield from _unless_away(parts, _store(parts, say))
    say("jobs")
    yield from _unless_away(parts, job_ledger(parts))
    say("workers, leases, rings and messages")
    yield from clockwork_differences(parts, wait)


def _store(parts: Parts, say: Say) -> Iterator[Difference]:
    orphans = Orphans(parts)
    yield from stored_differences(parts, orphans)
    say("uploads")
    yield from upload_differences(parts, orphans)
    yield from orphans.remove()


def _unless_away(parts: Parts, differences: Iterator[Difference]) -> Iterator[Difference]:
    try:
        yield from differences
    except (StorageUnavailable, StorageFull) as error:
        parts.blind.append(f"the object store does not answer: {error.detail}")
