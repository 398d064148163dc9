"""Submit, cancel, retry, close: the only way jobs change state from outside a worker's own work. Priorities,
pauses and drains are asked for here too. How jobs go away: jobs/deletion.py."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from jobs import publishing, tracing, webhooks
from jobs.blobs import BlobStore, job_prefix, manifest_key, result_key
from jobs.blobs.buckets import parse_prefix
from jobs.errors import (
    Gone,
    IdempotencyMismatch,
    InvalidRequest,
    NotFound,
    PagemillError,
    Problem,
    SourceUnreachable,
    failure_codes,
)
from jobs.fairness import BATCH, INTERACTIVE
from jobs.ids import new_document_id
from jobs.models import JobPublic, PausePublic, State, WorkerPublic
from jobs.names import display_name
from jobs.options import JobOptions, OutputOptions, Priority
from jobs.results import JobDocument, JobManifest, ManifestUsage
from jobs.spending import Price, Spent
from jobs.store import (
    closing,
    ending,
    entering,
    idempotency,
    pausing,
    priorities,
    reading,
    submitting,
    workers,
)
from jobs.store.database import Database, Session
from jobs.vault import Vault

log = logging.getLogger(__name__)

MAX_METADATA_BYTES = 16 * 1024
UNKNOWN_TYPE = "application/octet-stream"
"""Of a file that nobody has looked at."""
NOBODY = "-"
"""How an empty owner is written where people name it: a path cannot end in nothing."""
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_CLASSES: dict[Priority, int] = {"interactive": INTERACTIVE, "batch": BATCH}


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document whose bytes are in the store. With an `error` it is entered as failed; its neighbours go on."""

    id: str
    name: str
    source_key: str
    media_type: str
    bytes: int
    sha256: str
    error: PagemillError | None = None
    source_url: str | None = None
    """Where its file is still to be fetched from, to lie under `source_key` then (workers/fetch.py)."""
    source_etag: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class NewListing:
    """Further documents of a job that are entered in the background: a prefix of a bucket, or a stored manifest."""

    kind: Literal["prefix", "manifest"]
    location: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What the server says where a job's options say nothing. Seconds; None: never."""

    deadline: float | None = None
    retention: float | None = None
    source_retention: float | None = None


@dataclass(frozen=True, slots=True)
class RequestKey:
    """An Idempotency-Key, and the SHA-256 of what was sent with it."""

    key: str
    fingerprint: str


NO_TERMS = Terms()


def submit(
    db: Database,
    *,
    job_id: str,
    options: JobOptions,
    engine: str,
    documents: Sequence[NewDocument],
    vault: Vault | None,
    owner: str = "",
    terms: Terms = NO_TERMS,
    listings: Sequence[NewListing] = (),
    within: Callable[[Session], None] | None = None,
) -> JobPublic:
    """Enter a job in one transaction; when this returns, nothing acknowledged can be lost. Jobs of one `owner` take
    turns as one (jobs/fairness.py). What has not ended `options.deadline_seconds` later fails
    (jobs/store/deadlines.py). With listings the job is not sealed: more documents come (workers/listing.py).
    `within`: what else belongs into the transaction; where it raises, there is no job.

    Raises InvalidRequest (no documents, metadata too large, a password or webhook without PAGEMILL_SECRET_KEY) and
    DatabaseUnavailable.
    """
    job = _new_job(job_id, options, engine, owner, vault, terms, sealed=not listings)
    _check_documents(documents, listings)
    if options.webhook is not None:
        webhooks.ensure_secret(db, vault, owner, where="options.webhook")
    with db.write() as session:
        _enter(session, job, documents, listings, options)
        if within is not None:
            within(session)
        return reading.get_job(session, job_id)


def submit_once(
    db: Database,
    request: RequestKey,
    *,
    job_id: str,
    options: JobOptions,
    engine: str,
    documents: Sequence[NewDocument],
    vault: Vault | None,
    owner: str = "",
    terms: Terms = NO_TERMS,
    listings: Sequence[NewListing] = (),
) -> JobPublic:
    """The same for a request that may come twice: of those with one key, one makes its job, in whose transaction the
    key is noted (rule 11), and all others get that job: its id is then another than `job_id`.

    Raises IdempotencyMismatch where the key came with another request, Gone where its job was deleted.
    """
    job = _new_job(job_id, options, engine, owner, vault, terms, sealed=not listings)
    _check_documents(documents, listings)
    if options.webhook is not None:
        webhooks.ensure_secret(db, vault, owner, where="options.webhook")
    with db.write() as session:
        if idempotency.note(session, owner, request.key, request.fingerprint, job_id):
            _enter(session, job, documents, listings, options)
            return reading.get_job(session, job_id)
        winner, fingerprint = idempotency.winner(session, owner, request.key)
        if fingerprint != request.fingerprint:
            raise IdempotencyMismatch(
                f"{request.key!r} came with another request before", where="Idempotency-Key", actual=request.key
            )
        return reading.get_job(session, winner)


def _enter(
    session: Session,
    job: dict[str, Any],
    documents: Sequence[NewDocument],
    listings: Sequence[NewListing],
    options: JobOptions,
) -> None:
    entering.enter(session, job, list(map(_row, documents)), _listings(listings))
    if options.output is not None:
        _plan_outputs(session, str(job["id"]), options.output, 0, [(new.id, new.name) for new in documents])


def _plan_outputs(
    session: Session, job_id: str, output: OutputOptions, first: int, documents: Sequence[tuple[str, str]]
) -> None:
    """Of documents (id, name) from position `first` on. Raises InvalidRequest for what is no prefix."""
    location = parse_prefix(output.prefix, "options.output.prefix")

    def path(position: int, name: str) -> str:
        folder = publishing.folder_of(name, location)
        return folder if output.layout == "name" else f"{job_id}/{position}/{folder}"

    planned = [(document, path(position, name)) for position, (document, name) in enumerate(documents, first)]
    publishing.plan(session, location, planned)


def _listings(new: Sequence[NewListing]) -> list[tuple[str, str]]:
    return [(listing.kind, listing.location) for listing in new]


def _check_documents(documents: Sequence[NewDocument], listings: Sequence[NewListing]) -> None:
    if not documents and not listings:
        raise InvalidRequest("a job needs at least one document", where="file", limit=1, actual=0)


def _new_job(
    job_id: str, options: JobOptions, engine: str, owner: str, vault: Vault | None, terms: Terms, *, sealed: bool
) -> dict[str, Any]:
    return {
        "id": job_id,
        "state": State.QUEUED.value,
        "sealed": sealed,
        "engine": engine,
        "priority": _CLASSES[options.priority],
        "owner": owner,
        "options": options.stored(),
        "metadata": check_metadata(options),
        "password": _sealed_password(options, vault),
        "deadline_seconds": options.deadline_seconds or terms.deadline,
        "retention_seconds": options.retention_seconds or terms.retention,
        "source_retention_seconds": terms.source_retention,
    }


def check_metadata(options: JobOptions) -> dict[str, object]:
    """The metadata. Raises InvalidRequest where it cannot be kept."""
    try:
        json.dumps(options.metadata, allow_nan=False)  # orjson would write null
    except ValueError:
        raise InvalidRequest("metadata holds what JSON has no number for", where="options.metadata") from None
    try:
        size = len(orjson.dumps(options.metadata))
    except (TypeError, ValueError) as error:  # orjson: integers beyond 64 bits, too deep
        raise InvalidRequest(f"metadata cannot be kept: {error}", where="options.metadata") from None
    if size > MAX_METADATA_BYTES:
        raise InvalidRequest("metadata is too large", where="options.metadata", limit=MAX_METADATA_BYTES, actual=size)
    return options.metadata


def _sealed_password(options: JobOptions, vault: Vault | None) -> str | None:
    if options.password is None:
        return None
    if vault is None:
        raise InvalidRequest("passwords need PAGEMILL_SECRET_KEY on the server", where="options.password")
    return vault.seal(options.password)


def enter_listed(
    db: Database, step: entering.Step, documents: Sequence[NewDocument], *, limit: int
) -> entering.Progress:
    """Enter the next documents of a listing in one transaction with its progress: whoever runs it at the same time
    enters none of them. `limit`: documents that the job may have; beyond, a failed one says so and nothing more is
    entered. A job that has none when all its listings have ended gets one that says that there are none."""
    too_many = _refused_listing(step, InvalidRequest(f"more than {limit} documents", limit=limit))
    nothing = _refused_listing(step, SourceUnreachable("no document lies there"))
    with db.write() as session:
        progress = entering.advance(
            session, step, list(map(_row, documents)), limit=limit, too_many=_row(too_many), nothing=_row(nothing)
        )
        output = (progress.options or {}).get("output")
        if progress.entered and output is not None:
            planned = OutputOptions.model_validate(output)
            _plan_outputs(session, step.job, planned, progress.first, progress.entered)
    return progress


def _refused_listing(step: entering.Step, error: PagemillError) -> NewDocument:
    """What goes wrong with a listing as a document that failed: the job then ends as any other."""
    return NewDocument(
        id=new_document_id(), name=display_name(step.location, "listing"), source_key="", media_type=UNKNOWN_TYPE,
        bytes=0, sha256="", error=error.at(step.location), origin=step.location,
    )  # fmt: skip


def refuse_listing(db: Database, step: entering.Step, error: PagemillError, *, limit: int) -> entering.Progress:
    """End a listing that cannot go on with a failed document that says why."""
    return enter_listed(db, replace(step, ended=True), [_refused_listing(step, error)], limit=limit)


def _row(new: NewDocument) -> submitting.NewRow:
    error = None if new.error is None else new.error.problem().model_dump(exclude_none=True)
    return submitting.NewRow(
        new.id, new.name, new.source_key, new.media_type, new.bytes, new.sha256, error,
        new.source_url, new.source_etag, new.origin,
    )  # fmt: skip


def cancel(db: Database, job_id: str) -> JobPublic:
    """End what is pending and running; finished pages stay readable. An ended job stays as it is."""
    with db.write() as session:
        reading.get_job(session, job_id)
        ending.cancel_job(session, job_id)
        session.expire_all()
        return reading.get_job(session, job_id)


def prioritize(db: Database, job_id: str, priority: Priority) -> JobPublic:
    """Change a job's class at any time. Pages in flight stay in their place, a job that has ended keeps it for a
    retry."""
    with db.write() as session:
        reading.get_job(session, job_id)
        priorities.set_priority(session, job_id, _CLASSES[priority])
        session.expire_all()
        return reading.get_job(session, job_id)


def retry(
    db: Database, blobs: BlobStore, job_id: str, *, document: str | None = None, code: str | None = None
) -> JobPublic:
    """Run the failed pages and failed documents of a job again: all, or those of one document, or those that failed
    with this code. Raises NotFound, and InvalidRequest for a code that nothing fails with.

    job.json is deleted while the job's row is locked, and its absence is noted and committed before: whoever dies in
    between leaves a job whose manifest rescue writes again (docs/decisions/0002).
    """
    _check_code(code)
    while not _reopened(db, blobs, job_id, document, code):
        pass
    with db.read() as session:
        return reading.get_job(session, job_id)


def retry_all(
    db: Database, blobs: BlobStore, code: str, *, limit: int, before: str | None = None, owner: str | None = None
) -> tuple[list[JobPublic], str | None]:
    """Run what failed with this code again, in all jobs or those of one owner: a transaction for each, newest first,
    `limit` of them at a time. Returns them and `before` for the next call, None where there are no more.

    What a job's owner canceled or deleted meanwhile is left alone. Raises InvalidRequest for an unknown code.
    """
    _check_code(code)
    with db.read() as session:
        found = ending.jobs_with(session, code, limit=limit + 1, before=before, owner=owner)
    retried = []
    for job in found[:limit]:
        with suppress(NotFound, Gone):
            retried.append(retry(db, blobs, job, code=code))
    return retried, found[limit - 1] if len(found) > limit else None


def _check_code(code: str | None) -> None:
    known = failure_codes()
    if code is not None and code not in known:
        raise InvalidRequest(
            f"no document or page fails with {code[:80]!r}; codes are {', '.join(sorted(known))}", where="code"
        )


def _reopened(db: Database, blobs: BlobStore, job_id: str, document: str | None, code: str | None) -> bool:
    """One step of a retry. False where all it did was to note that job.json is about to go: the next step deletes it,
    unless rescue was faster and wrote it again."""
    with db.write() as session:
        reading.get_job(session, job_id)
        if document is not None:
            reading.get_document(session, job_id, document)
        documents = ending.lock_retriable(session, job_id, document, code)
        if not documents:
            return True
        if ending.forget_manifest(session, job_id):
            return False
        blobs.delete([manifest_key(job_id)])
        ending.reopen(session, job_id, documents, code)
    return True


def close(db: Database, blobs: BlobStore, job_id: str, price: Price | None = None) -> bool:
    """Close the job if all its documents have ended: job.json first, then the row, while the row is locked. With a
    `price` job.json tells what it cost.

    Safe to call at any time and by several at once; returns whether this call closed it.
    """
    with db.read() as session:
        if closing.has_unfinished(session, job_id):
            return False
    with db.write() as session:
        end = closing.lock_ended(session, job_id)
        if end is None:
            return False
        blobs.put(manifest_key(job_id), _manifest(end, price), "application/json")
        closing.close_job(session, end)
    log.info("job %s ended: %s", end.id, end.state.value, extra={"action": "job_ended", "job": end.id})
    tracing.job_ended(end.id, end.state.value, end.created_at, end.finished_at)
    return True


def _manifest(end: closing.JobEnd, price: Price | None) -> bytes:
    manifest = JobManifest(
        id=end.id,
        state=end.state.value,
        engine=end.engine,
        options=end.options,
        metadata=end.metadata,
        created_at=end.created_at,
        finished_at=end.finished_at,
        documents=tuple(_manifest_line(end.id, document) for document in end.documents),
        usage=_manifest_usage(end.spent, price),
    )
    return orjson.dumps(manifest.model_dump(mode="json", by_alias=True, exclude_none=True))


def _manifest_usage(spent: Spent, price: Price | None) -> ManifestUsage:
    return ManifestUsage(
        engine_seconds=spent.engine_seconds,
        tokens_in=spent.tokens_in,
        tokens_out=spent.tokens_out,
        cost=price.of(spent) if price else None,
        currency=price.currency if price else None,
    )


def _manifest_line(job_id: str, document: closing.DocumentEnd) -> JobDocument:
    attempt = document.result_attempt
    prefix = job_prefix(job_id)

    def key(filename: str) -> str | None:
        return None if attempt is None else result_key(job_id, document.id, attempt, filename).removeprefix(prefix)

    return JobDocument(
        id=document.id,
        name=document.name,
        state=document.state.value,
        pages=document.pages,
        markdown=key("document.md"),
        json=key("document.json"),
        error=None if document.error is None else Problem.model_validate(document.error),
    )


def pause(db: Database, owner: str) -> PausePublic:
    """Ring nothing more of this owner's jobs, present and future ones, until resumed; survives restarts. Twice is as
    good as once, and keeps the first time. Raises InvalidRequest for what can name no owner."""
    name = _owner(owner)
    with db.write() as session:
        pausing.pause(session, name)
        return PausePublic(owner=owner, since=dict(pausing.paused(session))[name])


def resume(db: Database, owner: str) -> None:
    """Its turn comes with the next round of dispatch. Raises NotFound where it is not paused."""
    name = _owner(owner)
    with db.write() as session:
        if not pausing.resume(session, name):
            raise NotFound(f"{owner!r} is not paused", where="owner")


def pauses(db: Database) -> list[PausePublic]:
    with db.read() as session:
        return [PausePublic(owner=owner or NOBODY, since=since) for owner, since in pausing.paused(session)]


def _owner(name: str) -> str:
    """As it stands in the rows."""
    if name == NOBODY:
        return ""
    if not _OWNER.fullmatch(name):
        raise InvalidRequest(
            f"{name[:80]!r} can be no owner: a letter or digit, then up to 99 of letters, digits and _.:-"
            f" ({NOBODY} alone: jobs that nobody owns)",
            where="owner",
        )
    return name


def drain(db: Database, worker_id: str) -> WorkerPublic:
    """Ask a worker to end when it has finished what it holds. Raises NotFound."""
    with db.write() as session:
        workers.request_drain(session, worker_id)
        return reading.get_worker(session, worker_id)
