"""What reconcile can find: a difference, and the table of codes with what each means (docs/reconcile.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code says is wrong, and what `--fix` does about it; empty where it is only reported."""

    what: str
    fix: str = ""


_RERUN = "the page is read again under a new attempt; its document and job run again"
_ASSEMBLE = "the document is assembled again; its job runs again"
_REMOVE = "the object is deleted"

CODES: dict[str, Meaning] = {
    # pages
    "page_state_unknown": Meaning("the page's state is none of the five"),
    "page_without_holder": Meaning("a running page has no worker or no attempt", "the page is pending again"),
    "page_holder_unknown": Meaning(
        "a running page is held by a worker that has no row: nobody would ever take it back",
        "the page is pending again",
    ),
    "page_end_time": Meaning(
        "an ended page does not say when it ended, or one that has not ended does",
        "the time is noted as now, or removed",
    ),
    "page_rung": Meaning("a page is stamped as rung and is not pending", "the stamp is removed"),
    "page_delayed": Meaning(
        "a pending page may not be claimed for longer than any delay lasts: the database's clock was wrong",
        "it may be claimed now",
    ),
    "page_error_missing": Meaning("a failed page does not say why", "its error says that nobody noted it"),
    "page_error_kept": Meaning("a good page has an error", "the error is removed"),
    "page_without_document": Meaning("pages whose document does not exist", "they are deleted"),
    # documents
    "document_state_unknown": Meaning("the document's state is none of the six"),
    "document_without_job": Meaning("the document's job does not exist", "it is deleted with its pages"),
    "document_counters": Meaning("the document's counters are not a count of its page rows", "they are counted again"),
    "document_pages_left": Meaning(
        "the document has ended and pages of it are pending or running",
        "they end as their document did; of a good document they run, and it is assembled again",
    ),
    "document_end_time": Meaning(
        "an ended document does not say when it ended, or an open one does", "the time is noted as now, or removed"
    ),
    "document_delayed": Meaning(
        "a document may not be split or assembled for longer than any delay lasts: the database's clock was wrong",
        "it may be claimed now",
    ),
    "document_unsealed": Meaning("an ended document is not sealed", "it is sealed"),
    "document_begun": Meaning("a queued document has pages, an attempt or a worker", "its state is running"),
    "document_held": Meaning("a document is held that is neither running nor canceled", "it is let go"),
    "document_holder_unknown": Meaning(
        "a document is held by a worker that has no row: nobody would ever take it back", "it is free again"
    ),
    "document_rung": Meaning("an ended document is stamped as rung", "the stamp is removed"),
    "document_uncounted": Meaning("a good document does not say how many pages its file has"),
    "document_result_unnamed": Meaning(
        "a good document names no result, or a failed one names one", f"{_ASSEMBLE}; a failed one names none"
    ),
    "document_state": Meaning("the document's state is not what its pages' states make of it", _ASSEMBLE),
    # jobs
    "job_state_unknown": Meaning("the job's state is none of the six"),
    "job_unsealed": Meaning("an ended job is not sealed", "it is sealed"),
    "job_end_time": Meaning(
        "an ended job does not say when it ended, or an open one does", "the time is noted as now, or removed"
    ),
    "job_documents_left": Meaning(
        "the job has ended and documents of it are open", "of a canceled job they are canceled; else the job runs again"
    ),
    "job_begun": Meaning("a queued job has documents that were begun", "its state is running"),
    "job_manifest_early": Meaning("an open job claims that its job.json is stored", "the claim is removed"),
    "job_password_kept": Meaning("a job that nothing can run again keeps its password", "it is removed"),
    "job_totals": Meaning("the job's totals are not the sum of its documents'", "they are summed again"),
    "job_state": Meaning("the job's state is not what its documents' states make of it", "it is closed anew"),
    "job_unclosed": Meaning("all documents of the job ended long ago and it is still open", "it is closed"),
    "job_manifest_late": Meaning("the job ended long ago and its job.json has not been written", "job.json is written"),
    "job_unpurged": Meaning("the job was deleted long ago, nobody holds it, and it is not purged", "it is purged"),
    "job_purged_rows": Meaning("the job is purged and has documents still", "it is purged again"),
    # stored objects
    "result_missing": Meaning("a succeeded page's result is not in the store, or empty", _RERUN),
    "result_broken": Meaning("(--deep) a succeeded page's stored result is not a result of that page", _RERUN),
    "document_files_missing": Meaning(
        "a good document's document.md or document.json is not in the store, or its JSON is empty", _ASSEMBLE
    ),
    "document_files_broken": Meaning("(--deep) document.json tells another document, state or pages", _ASSEMBLE),
    "manifest_missing": Meaning("the row says that job.json is stored, and it is not, or empty", "it is written again"),
    "manifest_broken": Meaning("(--deep) job.json tells another state or other documents", "it is written again"),
    "source_missing": Meaning("the source of a document that is still to be read is not in the store"),
    "source_size": Meaning("a stored source has another size than its document's row says"),
    "source_hash": Meaning("(--deep) a stored source has another SHA-256 than its document's row says"),
    "object_orphaned": Meaning("an object that no row names, older than an hour", _REMOVE),
    "object_foreign": Meaning("an object under jobs/ or uploads/ whose key is none of pagemill's"),
    "upload_unfinished": Meaning("an upload older than two days whose job never came to be", _REMOVE),
    # workers, leases, rings
    "worker_silent": Meaning(
        "a worker counts as living and has had no heartbeat for long: nobody judges",
        "it is declared dead, and what it holds is taken back",
    ),
    "worker_left_work": Meaning(
        "a worker ended and holds pages or documents still: nobody takes them back", "they are taken back"
    ),
    "worker_unforgotten": Meaning("a worker ended long ago, holds nothing and still has a row", "the row is deleted"),
    "tick_stopped": Meaning("workers live and none of them dispatches and rescues"),
    "lease_too_long": Meaning("a lease runs longer than anybody takes one for", "it is given back"),
    "ring_old": Meaning("rings were lost long ago and are not forgotten", "they are forgotten, and rung anew"),
    "unrung": Meaning(
        "work is ready and its owner not paused, workers live that are not to drain, nothing is rung", "it is rung"
    ),
    # the broker
    "message_stale": Meaning(
        "a message whose pages, document or job have all ended lies in a queue that nobody empties",
        "it is removed",
    ),
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
        return CODES[self.code].what

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same difference at a second look."""
        return self.code, self.where

    def repaired(self, fixed: bool = True) -> Difference:
        return replace(self, fixed=fixed)
