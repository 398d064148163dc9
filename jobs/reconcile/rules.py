"""The rules that rows keep among each other at every moment: facts in, differences out. Nothing here asks anybody.

Only rules of one snapshot stand here. What merely has not happened yet (a job to be closed by rescue, a ring to be
heard) has an age besides, and is told apart by `settled`.
"""

from __future__ import annotations

from collections.abc import Iterator

from jobs.models import FINAL, State, close_state
from jobs.reconcile.differences import Difference
from jobs.store.closing import state_of_job
from jobs.store.proving import COUNTERS, DocumentFacts, JobFacts

_FINAL = frozenset(state.value for state in FINAL)
_STATES = frozenset(state.value for state in State)
_GOOD = ("succeeded", "partial")
_SUCCEEDED = COUNTERS.index("succeeded")


def document_differences(document: DocumentFacts) -> Iterator[Difference]:
    """Everything that is wrong with a document's row, its pages' own rows left out."""
    if document.state not in _STATES:
        yield _of(document, "document_state_unknown", "one of the six states", document.state)
        return
    if document.job_state is None:
        yield _of(document, "document_without_job", f"job {document.job_id}", "no such job")
    yield from _counted(document)
    yield from _ended(document)
    yield from _begun(document)
    yield from _holding(document)
    yield from _judged(document)


def _of(document: DocumentFacts, code: str, expected: str, actual: str) -> Difference:
    return Difference(code, document.id, expected, actual)


def _counted(document: DocumentFacts) -> Iterator[Difference]:
    right = (document.rows, *document.counted)
    told = (document.total, *document.counters)
    if right != told:
        yield _of(document, "document_counters", _counts(right), _counts(told))


def _counts(values: tuple[int, ...]) -> str:
    """`total 3, succeeded 2, failed 1`."""
    named = list(zip(("total", *COUNTERS), values, strict=True))
    return ", ".join(f"{name} {value}" for name, value in named if value or name == "total")


def _ended(document: DocumentFacts) -> Iterator[Difference]:
    ended = document.state in _FINAL
    if ended and not document.sealed:
        yield _of(document, "document_unsealed", "sealed", f"{document.state}, not sealed")
    pending, running = document.counted[:2]
    if ended and (pending or running):
        yield _of(document, "document_pages_left", f"no page to run in a {document.state} document",
                  f"{pending} pending, {running} running")  # fmt: skip
    if ended != document.ended and document.state != State.FAILED:  # born failed: nobody ever ended it
        told = "says when it ended" if document.ended else "does not say when it ended"
        yield _of(document, "document_end_time", "a time of its end only with an end", f"{document.state}, {told}")
    if ended and document.rung:
        yield _of(document, "document_rung", "not rung", f"{document.state}, rung")
    if document.delayed:
        yield _of(document, "document_delayed", "to be claimed before long", "not before more than a day")


def _begun(document: DocumentFacts) -> Iterator[Difference]:
    if document.state == State.QUEUED and (document.rows or document.attempt or document.worker):
        yield _of(document, "document_begun", "nothing begun",
                  f"{document.rows} pages, attempt {document.attempt}, worker {document.worker}")  # fmt: skip
    if document.state in _GOOD and document.source_pages is None:
        yield _of(document, "document_uncounted", "the number of pages of its file", "none")


def _holding(document: DocumentFacts) -> Iterator[Difference]:
    if document.worker is None:
        return
    if document.state not in (State.RUNNING, State.CANCELED):
        yield _of(document, "document_held", f"nobody holds a {document.state} document", document.worker)
    if not document.holder_known:
        yield _of(document, "document_holder_unknown", "a worker that has a row", document.worker)


def _judged(document: DocumentFacts) -> Iterator[Difference]:
    """The end against the pages. A failed document may have good pages: it broke in splitting or assembling."""
    named, readable = document.result_attempt is not None, document.state in _GOOD and document.counted[_SUCCEEDED] > 0
    if document.state in _FINAL and document.state != State.CANCELED and named != readable:
        found = f"attempt {document.result_attempt}" if named else "none"
        yield _of(document, "document_result_unnamed", f"the result of a {document.state} document", found)
    if document.state in _GOOD:
        right = close_state(*document.counted[2:])
        if right != document.state:
            yield _of(document, "document_state", right.value, document.state)


# --- jobs


def job_differences(job: JobFacts) -> Iterator[Difference]:
    """Everything that is wrong with a job's row."""
    if job.purged:
        if job.summed[0]:
            yield Difference("job_purged_rows", job.id, "no documents", f"{job.summed[0]} documents")
        return
    if job.state not in _STATES:
        yield Difference("job_state_unknown", job.id, "one of the six states", job.state)
        return
    yield from _job_row(job)
    yield from _job_children(job)
    yield from _job_late(job)


def _job_row(job: JobFacts) -> Iterator[Difference]:
    ended = job.state in _FINAL
    if ended and not job.sealed:
        yield Difference("job_unsealed", job.id, "sealed", f"{job.state}, not sealed")
    if ended != job.ended:
        told = "says when it ended" if job.ended else "does not say when it ended"
        yield Difference("job_end_time", job.id, "a time of its end only with an end", f"{job.state}, {told}")
    if job.manifest and not ended:
        yield Difference("job_manifest_early", job.id, "no job.json", f"{job.state}, job.json is said to be stored")
    if job.has_password and job.state in (State.SUCCEEDED, State.CANCELED):
        yield Difference("job_password_kept", job.id, "no password", f"{job.state}, with a password")


def _job_children(job: JobFacts) -> Iterator[Difference]:
    ended, open_ones = job.state in _FINAL, _open(job)
    if ended and open_ones:
        yield Difference("job_documents_left", job.id, f"no open document in a {job.state} job",
                         f"{open_ones} open")  # fmt: skip
    if job.state == State.QUEUED and job.documents["running"]:
        yield Difference("job_begun", job.id, "running", "queued")
    if job.deleted:
        return  # a purge may have dropped some of its documents already
    if (job.totals if ended else job.totals[:1]) != (job.summed if ended else job.summed[:1]):
        yield Difference("job_totals", job.id, _totals(job.summed), _totals(job.totals))
    if ended and not open_ones and job.state != State.CANCELED:
        right = state_of_job([State(s) for s, count in job.documents.items() if count])
        if right != job.state:
            yield Difference("job_state", job.id, right.value, job.state)


def _job_late(job: JobFacts) -> Iterator[Difference]:
    """What rescue does within seconds, and has not done for long."""
    if job.deleted:
        if job.purge_due:
            yield Difference("job_unpurged", job.id, "purged", "deleted, and not purged")
    elif not job.settled:
        return
    elif job.sealed and job.state not in _FINAL and not _open(job):
        yield Difference("job_unclosed", job.id, "closed", job.state)
    elif job.state in _FINAL and not job.manifest:
        yield Difference("job_manifest_late", job.id, "job.json", f"{job.state}, without job.json")


def _open(job: JobFacts) -> int:
    return job.documents["queued"] + job.documents["running"]


_NAMES = ("documents", "good", "partial", "failed", "canceled", "pages", "running", "succeeded", "failed", "canceled")


def _totals(values: tuple[int, ...]) -> str:
    named = [f"{name} {value}" for name, value in zip(_NAMES, values, strict=True)]
    return f"{', '.join(named[:5])}; {', '.join(named[5:])}"
