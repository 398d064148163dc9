"""`pagemill fetch`: results from a server, laid out as `pagemill run` lays them out."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
import zipfile
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated

import typer

from api.cli.earlier import is_plain_file
from api.cli.output import Staging, Target
from api.cli.plan import Failure
from api.cli.report import document_failures, failure_line
from api.client import Client
from api.names import UniqueNames, archive_name
from jobs.errors import InvalidRequest, OutputForbidden
from jobs.models import FINAL, DocumentPublic, PageState, State
from jobs.settings import ClientSettings, load

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job: job_…")]


class Format(StrEnum):
    ALL = "all"
    MARKDOWN = "markdown"
    JSON = "json"
    TEXT = "text"
    ZIP = "zip"


_ENDINGS = {Format.MARKDOWN: ".md", Format.JSON: ".json", Format.TEXT: ".txt", Format.ZIP: ".zip"}


_READABLE = (State.SUCCEEDED, State.PARTIAL)


def open_client() -> Client:
    """The server of PAGEMILL_URL."""
    return Client.of(load(ClientSettings))


def fetch(
    job_id: JobArgument,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the results, or - for standard output.")
    ] = Path(),
    wanted: Annotated[
        Format, typer.Option("--format", help="all: Markdown, JSON and figures; Markdown on -.")
    ] = Format.ALL,
    force: Annotated[
        bool, typer.Option("--force", help="With a single format: replace files that say something else.")
    ] = False,
) -> None:
    """Write the results of a finished job below OUT: x.pdf.md, x.pdf.json, x.pdf.figures/.

    On standard output several documents come one after the other as Markdown
    or text, each below its name; as JSON, the list of them (job.json).

    Examples:

      pagemill fetch job_0199… -o text/

      pagemill fetch job_0199… -o - --format markdown
    """
    with open_client() as client:
        failures = (
            _to_stdout(client, job_id, wanted) if str(out) == "-" else _to_folder(client, job_id, out, wanted, force)
        )
    for failure in failures:
        typer.echo(failure_line(failure), err=True)
    raise typer.Exit(1 if failures else 0)


def _to_stdout(client: Client, job_id: str, wanted: Format) -> list[Failure]:
    """One stream of bytes. Returns why something of several documents is missing."""
    wanted = Format.MARKDOWN if wanted is Format.ALL else wanted
    out = typer.get_binary_stream("stdout")
    failures: list[Failure] = []
    if wanted in (Format.JSON, Format.ZIP) or client.job(job_id).documents.total == 1:
        _copy(client, job_id, None, wanted, out)
    else:
        gap = b""
        for document in client.documents(job_id):
            failures += _missing(client, document)
            if document.state in _READABLE:
                out.write(gap + heading(document.name).encode())
                _copy(client, job_id, document.id, wanted, out)
                gap = b"\n"
    out.flush()
    return failures


def heading(name: str) -> str:
    """Which document begins here: a comment, in Markdown not seen, that no name can end early."""
    return f"<!-- {name.replace('--', '- -')} -->\n\n"


def _copy(client: Client, job_id: str, document: str | None, wanted: Format, out: IO[bytes]) -> None:
    with client.result(job_id, document, format=wanted.value) as chunks:
        out.writelines(chunks)


def _to_folder(client: Client, job_id: str, out: Path, wanted: Format, force: bool) -> list[Failure]:
    try:
        return _fetch_all(client, job_id, out, wanted, force)
    except OSError as error:
        raise InvalidRequest(f"OUT cannot be written: {error.strerror}", where=str(error.filename or out)) from None


def _missing(client: Client, document: DocumentPublic) -> list[Failure]:
    """Why a document, or some pages of it, cannot be fetched."""
    failures = failures_of(client, document)
    if document.state not in FINAL:
        failures.append(Failure(document.name, "result_not_ready", f"The document is {document.state.value}"))
    elif document.state is State.CANCELED and not failures:
        failures.append(Failure(document.name, "canceled", "The document was canceled"))
    return failures


def _fetch_all(client: Client, job_id: str, out: Path, wanted: Format, force: bool) -> list[Failure]:
    """Write everything there is. Returns why the rest is missing."""
    out.mkdir(parents=True, exist_ok=True)
    if wanted is Format.ZIP:
        _save(client, job_id, None, wanted, out / f"{job_id}.zip", force)
        return []
    names, failures = UniqueNames(), []
    for document in client.documents(job_id):
        # The name comes from whoever submitted: it stays below OUT, and two equal ones do not meet.
        target = Target(out / names.take(archive_name(document.name)))
        failures += _missing(client, document)
        if document.state not in _READABLE:
            continue
        try:
            _fetch_document(client, document, target, wanted, force)
        except OutputForbidden as error:
            failures.append(Failure(document.name, error.code, error.detail))
    return failures


def _fetch_document(client: Client, document: DocumentPublic, target: Target, wanted: Format, force: bool) -> None:
    target.base.parent.mkdir(parents=True, exist_ok=True)
    if wanted is Format.ALL:
        _unpack(client, document, target)
    else:
        _save(client, document.job_id, document.id, wanted, Path(f"{target.base}{_ENDINGS[wanted]}"), force)


def _save(client: Client, job_id: str, document: str | None, wanted: Format, path: Path, force: bool) -> None:
    """Raises OutputForbidden, unless `force`, where something else lies: a single format does not say who wrote it."""
    draft = path.with_name(f".{path.name[-200:]}.part")
    try:
        with client.result(job_id, document, format=wanted.value) as chunks, draft.open("wb") as file:
            file.writelines(chunks)
        if os.path.lexists(path) and not force and not (is_plain_file(path) and filecmp.cmp(draft, path, False)):
            detail = f"{path} is in the way and says something else: move it, choose another OUT, or use --force"
            raise OutputForbidden(detail, where=str(path))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    typer.echo(path)


def _unpack(client: Client, document: DocumentPublic, target: Target) -> None:
    """The document's archive, taken apart into its places."""
    with tempfile.TemporaryFile() as packed:
        with client.result(document.job_id, document.id, format=Format.ZIP.value) as chunks:
            packed.writelines(chunks)
        with zipfile.ZipFile(packed) as archive, Staging(target) as staging:
            results = {"md": staging.markdown, "json": staging.json}
            for info in archive.infolist():
                folder, _, name = info.filename.rpartition("/")
                path = staging.figure(name) if folder else results.get(name.rpartition(".")[2])
                if path is not None:
                    with archive.open(info) as source, path.open("wb") as file:
                        shutil.copyfileobj(source, file)
            staging.publish()
    typer.echo(target.markdown)


def failures_of(client: Client, document: DocumentPublic) -> list[Failure]:
    """The document's own error, or its failed pages by what ails them."""
    pages = client.pages(document.job_id, document.id) if document.pages.failed else ()
    failed = [(p.number, p.error) for p in pages if p.state is PageState.FAILED and p.error is not None]
    return document_failures(document.name, failed, document.error)
