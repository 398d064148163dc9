"""The commands against a server (PAGEMILL_URL): submit, status, cancel, prioritize, retry, jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.text import Text

from api.cli.bars import Bars, OpenDocument, Progress, clock
from api.cli.fetch import JobArgument, failures_of, open_client
from api.cli.listing import colour, plain_lines, table_lines
from api.cli.options import Dpi, Engine, Json, More, Pages, Password, TextFrom, job_options
from api.cli.plan import Failure, Plan, make_plan
from api.cli.report import counted, print_failures
from api.client import Client, Snapshot, Upload
from api.complaints import complaint
from jobs.errors import InvalidRequest, RateLimited, ServiceError
from jobs.models import FINAL, JobPublic, QueuePlace, State
from jobs.options import JobOptions, Priority
from jobs.sources import Source

_LOOK = 5
"""Seconds of one long poll: what is shown tells at least so often that nothing has happened."""
_POLL = 0.5
"""Seconds between tries to reach a server that is away."""
_PATIENCE = 60.0
"""Seconds that a server may be away while it is watched."""

Watch = Annotated[bool, typer.Option("--watch", help="Wait for the end; exit status 1 unless all went well.")]


Places = Annotated[
    list[str],
    typer.Argument(
        metavar="PATHS…",
        help="Files, and folders with all their subfolders; or where documents lie: https://…, s3://bucket/key, "
        "s3://bucket/prefix/.",
    ),
]


def submit(
    places: Places,
    engine: Engine = None,
    pages: Pages = None,
    dpi: Dpi = None,
    text: TextFrom = None,
    password: Password = None,
    priority: Annotated[Priority | None, typer.Option("--priority", help="interactive goes before batch.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", metavar="KEY=VALUE", help="Echoed with the job; may be repeated.")
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="TEXT", help="Sent again with it, it makes no second job."),
    ] = None,
    more: More = None,
    watch: Watch = False,
    as_json: Json = False,
) -> None:
    """Send documents to the server as one job; prints the job's id.

    Examples:

      pagemill submit scan.pdf --watch

      pagemill submit letters/ --pages 1-3 --metadata customer=17

      pagemill submit s3://scans/2026/ https://example.org/a.pdf --options '{"output":{"prefix":"s3://texts/"}}'
    """
    given: dict[str, Any] = {"engine": engine, "pages": pages, "dpi": dpi, "text": text, "password": password}
    options = job_options(more, **given, priority=priority, metadata=_metadata(metadata))
    with open_client() as client:
        job = _sent(client, places, options, idempotency_key)
        if not as_json:
            typer.echo(job.id)
        if watch:
            job = _watched(client, job, quiet=as_json)
        _finish(client, job, as_json=as_json, judge=watch, brief=not watch)


def status(job_id: JobArgument, watch: Watch = False, as_json: Json = False) -> None:
    """Say how a job is.

    Examples:

      pagemill status job_0199… --watch

      pagemill status job_0199… --json | jq .pages
    """
    with open_client() as client:
        job = client.job(job_id)
        if watch:
            job = _watched(client, job, quiet=as_json)
        _finish(client, job, as_json=as_json, judge=watch)


def cancel(job_id: JobArgument, as_json: Json = False) -> None:
    """Cancel a job. Pages that are finished stay readable.

    Example:

      pagemill cancel job_0199…
    """
    with open_client() as client:
        before = client.job(job_id)
        job = client.cancel(job_id)
        if before.state in FINAL:
            typer.echo(f"there was nothing to cancel: the job had ended ({before.state.value})", err=True)
        _finish(client, job, as_json=as_json, judge=False)


def prioritize(
    job_id: JobArgument,
    priority: Annotated[Priority, typer.Argument(help="interactive goes before batch.")],
    as_json: Json = False,
) -> None:
    """Change the priority of a job that waits or runs.

    Example:

      pagemill prioritize job_0199… interactive
    """
    with open_client() as client:
        job = client.prioritize(job_id, priority)
        if job.state in FINAL:
            typer.echo(f"the job has ended ({job.state.value}); its priority counts when it is retried", err=True)
        _finish(client, job, as_json=as_json, judge=False)


def retry(
    job_id: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Id of the job; without it, all jobs.")] = None,
    document: Annotated[str | None, typer.Option("--document", help="Only this document of the job: doc_…")] = None,
    code: Annotated[str | None, typer.Option("--code", help="Only what failed with this code.")] = None,
    watch: Watch = False,
    as_json: Json = False,
) -> None:
    """Run the failed pages and documents of a job again, or of all jobs what failed with one code.

    Examples:

      pagemill retry job_0199… --watch

      pagemill retry job_0199… --document doc_0199… --code page_timeout

      pagemill retry --code page_crashed
    """
    if job_id is None:
        _retry_all(document, code, watch=watch, as_json=as_json)
        return
    with open_client() as client:
        before = client.job(job_id)
        job = client.retry(job_id, document=document, code=code)
        if (reason := _why_no_retry(before, job, chosen=document is not None or code is not None)) is not None:
            typer.echo(f"there was nothing to retry: {reason}", err=True)
        if watch:
            job = _watched(client, job, quiet=as_json)
        _finish(client, job, as_json=as_json, judge=watch)


def _retry_all(document: str | None, code: str | None, *, watch: bool, as_json: bool) -> None:
    if code is None:
        raise typer.BadParameter("without a job, name the code of what to run again", param_hint="--code")
    if document is not None or watch:
        raise typer.BadParameter("needs the job", param_hint="--watch" if watch else "--document")
    with open_client() as client:
        if as_json:
            _print_json(list(client.retry_all(code)))
            return
        retried = 0
        for job in client.retry_all(code):
            typer.echo(job.id)
            retried += 1
        typer.echo(f"{counted(retried, 'job')} of which something had failed with {code}", err=True)


def _why_no_retry(before: JobPublic, after: JobPublic, *, chosen: bool) -> str | None:
    """None where something runs again. A job that does has lost its end, or has found another one already."""
    if before.finished_at is None:
        failed = before.documents.failed + before.documents.partial + before.pages.failed
        return None if failed else f"nothing in the job has failed; it is {before.state.value}"
    if after.finished_at != before.finished_at:
        return None
    if after.state is State.CANCELED:
        return "the job was canceled; submit its documents again"
    if after.state is State.SUCCEEDED:
        return "nothing in the job failed"
    if chosen:
        return "nothing of what was chosen failed, or it was refused when it was submitted"
    return "what failed was refused when it was submitted; submit it again"


def jobs(
    state: Annotated[
        list[State] | None, typer.Option("--state", help="Only jobs in this state; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List jobs, newest first, with what is done of their documents and pages; times are UTC.

    Where the output is no terminal, its columns are separated by tabs.

    Examples:

      pagemill jobs --state running --state queued

      pagemill jobs --limit 100 --json
    """
    with open_client() as client:
        found = list(client.jobs(state or (), limit))
    if as_json:
        _print_json(found)
        return
    console = Console(highlight=False)
    if console.is_terminal:
        for line in table_lines(found, console.width, datetime.now(UTC)):
            console.print(line, soft_wrap=True)
    else:
        for plain in plain_lines(found):
            typer.echo(plain)


# --- sending


_ELSEWHERE = ("https://", "http://", "s3://")


def _sent(client: Client, places: Sequence[str], options: JobOptions | None, key: str | None) -> JobPublic:
    """Files in one request; with sources elsewhere beside them, each is put by a link first."""
    sources = [_source(place) for place in places if place.startswith(_ELSEWHERE)]
    paths = [Path(place) for place in places if not place.startswith(_ELSEWHERE)]
    plan = _plan(paths, client) if paths else None
    uploads = [] if plan is None else [Upload(found.path, _sendable(found.name)) for found in plan.sources]
    if not sources:
        return client.submit(uploads, options, idempotency_key=key)
    if uploads and key is not None:
        # Each file is put anew, under a new id: to the server it would be another request.
        raise typer.BadParameter("needs files alone, or places elsewhere alone", param_hint="--idempotency-key")
    return client.submit_sources([*map(client.upload, uploads), *sources], options, idempotency_key=key)


def _source(place: str) -> Source:
    try:
        return Source(url=place)
    except ValidationError as error:
        raise InvalidRequest(f"{place[:80]!r}: {complaint(error.errors()[0])}", where=place[:80]) from None


def _plan(paths: Sequence[Path], client: Client) -> Plan:
    """What to send. Raises InvalidRequest before anything is sent."""
    plan = make_plan(paths)
    if plan.failures:
        first = plan.failures[0]
        raise InvalidRequest(f"{first.where}: {first.detail}", where=first.where)
    if plan.skipped:
        typer.echo(f"skipped {counted(len(plan.skipped), 'file')} that cannot be read as documents", err=True)
    if not plan.sources:
        raise InvalidRequest("no documents found", where=", ".join(map(str, paths)))
    limits = client.info().limits
    if len(plan.sources) > limits.max_files_per_job:
        raise InvalidRequest(
            "too many files for one job: submit them in parts",
            limit=limits.max_files_per_job,
            actual=len(plan.sources),
        )
    for source in plan.sources:
        _check_readable(source.path)
    return plan


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InvalidRequest(f"{path}: {error.strerror}", where=str(path)) from None


def _sendable(name: str) -> str:
    return name.encode(errors="replace").decode()


def _metadata(pairs: Sequence[str] | None) -> dict[str, str] | None:
    if not pairs:
        return None
    split = [pair.partition("=") for pair in pairs]
    for (key, sign, _), pair in zip(split, pairs, strict=True):
        if not sign or not key:
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--metadata")
    return {key: value for key, _, value in split}


# --- telling


def _watched(client: Client, job: JobPublic, *, quiet: bool) -> JobPublic:
    """The job once it has ended, its progress shown meanwhile on stderr. A server that is away is waited for."""
    console = Console(stderr=True, highlight=False, quiet=quiet)
    patient_until = time.monotonic() + _PATIENCE
    known: Snapshot | None = None
    with Bars(console) as bars:
        while job.state not in FINAL:
            bars.show(_progress(job))
            try:
                known = client.snapshot(job.id) if known is None else client.changed(known, _LOOK)
                job = known.job
                patient_until = time.monotonic() + _PATIENCE
            except (ServiceError, RateLimited) as error:
                if time.monotonic() > patient_until:
                    raise
                time.sleep(_POLL if isinstance(error, ServiceError) else error.retry_after or _POLL)
    return job


def _progress(job: JobPublic) -> Progress:
    counts, pages = job.documents, job.pages
    done = pages.succeeded + pages.failed + pages.canceled
    return Progress(
        documents=counts.total,
        finished=counts.total - counts.unfinished,
        failed=counts.failed + counts.partial,
        pages=done,
        pages_ahead=pages.total - done,
        open=[OpenDocument(job.id, pages.total, done)],
        note=job.state.value if job.state is State.QUEUED else "",
    )


def _finish(client: Client, job: JobPublic, *, as_json: bool, judge: bool, brief: bool = False) -> None:
    """Print the job; with `judge`, exit with 1 unless all went well."""
    if as_json:
        _print_json(job)
    elif not brief:
        console = Console(highlight=False, soft_wrap=True)
        _describe(console, job)
        if job.state in (State.PARTIAL, State.FAILED):
            print_failures(console, list(_failures(client, job)))
    if judge and job.state is not State.SUCCEEDED:
        raise typer.Exit(1)


def _describe(console: Console, job: JobPublic) -> None:
    counts, pages = job.documents, job.pages
    console.print(Text(job.id, style="bold") + Text("  ") + Text(job.state.value, style=colour(job.state)))
    console.print(f"documents  {_counted(counts, ('succeeded', 'partial', 'failed', 'canceled', 'unfinished'))}")
    console.print(f"pages      {_counted(pages, ('succeeded', 'failed', 'canceled', 'running', 'pending'))}")
    if job.queue is not None:
        console.print(f"queue      {_place(job.queue)}")
    console.print(f"engine     {job.engine}")
    console.print(f"created    {job.created_at:%Y-%m-%d %H:%M:%S} UTC")
    if job.finished_at is not None:
        took = (job.finished_at - job.created_at).total_seconds()
        console.print(f"finished   {job.finished_at:%Y-%m-%d %H:%M:%S} UTC, after {clock(took)}")
    if job.error is not None:
        console.print(Text(f"{job.error.code}: {job.error.detail}", style="red"))


def _place(place: QueuePlace) -> str:
    """`120 pages ahead, done in about 0:41`."""
    soon = "" if place.eta_seconds is None else f", done in about {clock(place.eta_seconds)}"
    return f"{counted(place.pages_ahead, 'page')} ahead{soon}"


def _counted(counts: BaseModel, names: Sequence[str]) -> str:
    """`12: 10 succeeded, 2 failed`."""
    values = counts.model_dump()
    parts = [f"{values[name]} {name}" for name in names if values[name]]
    return f"{values['total']}" + (f": {', '.join(parts)}" if parts else "")


def _failures(client: Client, job: JobPublic) -> Iterator[Failure]:
    for document in client.documents(job.id):
        if document.state in (State.FAILED, State.PARTIAL):
            yield from failures_of(client, document)


def _print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    many = [item.model_dump(mode="json") for item in value] if isinstance(value, Sequence) else None
    data = many if many is not None else value.model_dump(mode="json")  # type: ignore[union-attr]
    typer.echo(orjson.dumps(data, option=orjson.OPT_INDENT_2))
