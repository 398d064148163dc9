"""What reconcile can find: a difference, and the table of codes with what each means (docs/reconcile.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace

CODES: dict[str, str] = {
    # pages
    "page_state_unknown": "the page's state is none of the five",
    "page_without_holder": "a running page has no worker or no attempt",
    "page_holder_unknown": "a running page is held by a worker that has no row: nobody would ever take it back",
    "page_end_time": "an ended page does not say when it ended, or one that has not ended does",
    "page_rung": "a page is stamped as rung and is not pending",
    "page_error_missing": "a failed page does not say why",
    "page_error_kept": "a good page has an error",
    "page_without_document": "pages whose document does not exist",
    # documents
    "document_state_unknown": "the document's state is none of the six",
    "document_without_job": "the document's job does not exist",
    "document_counters": "the document's counters are not a count of its page rows",
    "document_pages_left": "the document has ended and pages of it are pending or running",
    "document_end_time": "an ended document does not say when it ended, or an open one does",
    "document_unsealed": "an ended document is not sealed",
    "document_begun": "a queued document has pages, an attempt or a worker",
    "document_held": "a document is held that is neither running nor canceled",
    "document_holder_unknown": "a document is held by a worker that has no row: nobody would ever take it back",
    "document_rung": "an ended document is stamped as rung",
    "document_uncounted": "a good document does not say how many pages its file has",
    "document_result_unnamed": "a good document names no result, or a failed one names one",
    "document_state": "the document's state is not what its pages' states make of it",
    # jobs
    "job_state_unknown": "the job's state is none of the six",
    "job_unsealed": "an ended job is not sealed",
    "job_end_time": "an ended job does not say when it ended, or an open one does",
    "job_documents_left": "the job has ended and documents of it are open",
    "job_begun": "a queued job has documents that were begun",
    "job_manifest_early": "an open job claims that its job.json is stored",
    "job_password_kept": "a job that nothing can run again keeps its password",
    "job_totals": "the job's totals are not the sum of its documents'",
    "job_state": "the job's state is not what its documents' states make of it",
    "job_unclosed": "all documents of the job ended long ago and it is still open",
    "job_manifest_late": "the job ended long ago and its job.json has not been written",
    "job_unpurged": "the job was deleted long ago and is not purged",
    "job_purged_rows": "the job is purged and has documents still",
    # stored objects
    "result_missing": "a succeeded page's result is not in the store, or empty",
    "document_files_missing": "a document's document.md or document.json is not in the store, or empty",
    "manifest_missing": "the row says that job.json is stored, and it is not, or empty",
    "manifest_wrong": "job.json tells another state than the job's row",
    "source_missing": "the source of a document that is still to be read is not in the store",
    "source_size": "a stored source has another size than its document's row says",
    "object_orphaned": "an object that no row names, older than an hour (a source: than two days)",
    # workers, leases, rings
    "worker_silent": "a worker counts as living and has no heartbeat",
    "worker_left_work": "a worker ended long ago and holds pages or documents still: nobody takes them back",
    "tick_stopped": "workers live and none of them dispatches and rescues",
    "lease_too_long": "a lease runs longer than anybody takes one for: the database's clock was wrong",
    "ring_old": "rings were lost long ago and are not forgotten",
    # the broker
    "broker_away": "the broker does not answer",
    "queue_too_long": "a queue holds more messages than dispatch can have sent",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that contradicts something else."""

    code: str
    """One of CODES."""
    where: str
    """The row, object or queue: a job's or document's id, `doc_…/7` for a page, a key of the store."""
    expected: str
    actual: str
    fixed: bool = False
    """It was repaired by this run."""

    @property
    def what(self) -> str:
        return CODES[self.code]

    def repaired(self, fixed: bool = True) -> Difference:
        return replace(self, fixed=fixed)
