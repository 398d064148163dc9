"""`POST /v1/jobs`: the request's body as a submission, whichever way it was sent."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import ClientDisconnect

from api.auth import Principal
from api.bodies import read_body
from api.deps import Api
from api.intake import Intake
from api.multipart import Event, FormStream, PartBegin, PartData
from api.problems import invalid
from api.shapes import JsonSubmission
from jobs import lifecycle
from jobs.blobs import BlobStore, BlobWriter, upload_key
from jobs.blobs.buckets import Location, parse_prefix
from jobs.errors import FileTooLarge, InvalidRequest, NotFound, RequestError, UnsupportedType, UploadIncomplete
from jobs.ids import day_of, is_id, new_document_id, new_job_id
from jobs.lifecycle import UNKNOWN_TYPE, NewDocument, NewListing
from jobs.models import KeyLimits
from jobs.names import display_name
from jobs.options import JobOptions
from jobs.settings import LimitSettings
from jobs.sources import (
    BOM,
    Grants,
    Source,
    check_output,
    check_source,
    grants_of,
    is_options,
    location_of,
    remote_document,
)
from jobs.store import uploads

MAX_OPTIONS_BYTES = 64 * 1024
MAX_JSON_BYTES = 1024 * 1024
"""Of a submission that names its sources; more go into a manifest."""
MAX_MANIFEST_BYTES = 256 * 1024 * 1024
MANIFESTS = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})

_OPTIONS_INSIDE = {"multipart/form-data": "the `options` part", "application/json": "`options`"} | dict.fromkeys(
    MANIFESTS, "the first line"
)

# What may stand beside the body of a raw upload. No password: URLs are logged on the way.
QUERY_OPTIONS = frozenset({"engine", "pages", "dpi", "figures", "text", "priority", "cache"})


@dataclass(frozen=True, slots=True)
class Submission:
    """What came in and lies in the store, not yet a job."""

    job_id: str
    options: JobOptions
    engine: str
    documents: list[NewDocument]
    listings: list[NewListing]
    fingerprint: str
    """SHA-256 of what was sent: the same for a request that is sent again."""


class _OptionsLine(BaseModel):
    """The first line of a manifest, where it has options."""

    model_config = ConfigDict(extra="forbid")

    options: JobOptions


class Reception:
    """One request. `receive` gives a Submission or leaves nothing behind."""

    def __init__(self, api: Api, request: Request, principal: Principal) -> None:
        """Raises InvalidRequest where the key was granted what is no bucket."""
        self._api = api
        self._owner = principal.owner
        self._limits = limits_of(api, principal.limits)
        self._request = request
        self._job_id = new_job_id()
        self._day = day_of(self._job_id)
        self._hash = hashlib.sha256()
        self._listings: list[NewListing] = []
        inboxes = [place for inbox in api.inboxes for place in (inbox.location, inbox.output, inbox.done, inbox.failed)]
        self._grants = grants_of(principal.grants, own=api.own_places, inboxes=inboxes)
        self.intake = Intake(api.blobs, self._limits, api.upload_threads)
        self._options: bytearray | None = None
        self._part = ""

    async def receive(self) -> Submission:
        """Raises the first file's error when every file is bad, InvalidRequest, UploadIncomplete, ServiceError."""
        try:
            return await self._receive()
        except ClientDisconnect as gone:
            await self.intake.discard(gone)
            raise UploadIncomplete("the client went away in the middle of the upload") from None
        except BaseException as error:
            await self.intake.discard(error)
            raise

    async def _receive(self) -> Submission:
        kind = self._request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in _OPTIONS_INSIDE and self._request.query_params:
            name = next(iter(self._request.query_params))
            raise InvalidRequest(
                f"only raw bodies take options from the query; say them in {_OPTIONS_INSIDE[kind]}",
                where=f"query.{name[:80]}",
            )
        if kind == "multipart/form-data":
            options = await self._read_form(self._request.stream())
        elif kind in ("", "application/pdf", "application/octet-stream") or kind.startswith("image/"):
            options = self._query_options()
            _accept_options(options, self._api)
            await self._read_raw(self._request.stream(), announced=bool(kind))
        elif kind == "application/json":
            options = await self._read_json()
        elif kind in MANIFESTS:
            options = await self._read_manifest()
        else:
            raise UnsupportedType(
                f"a body of type {kind} is no submission; send multipart/form-data, application/json, "
                "application/x-ndjson, application/pdf, image/* or application/octet-stream",
                where="Content-Type",
            )
        await self.intake.settle()
        return self._submission(kind, options)

    def _submission(self, kind: str, options: JobOptions) -> Submission:
        documents = self.intake.documents
        if not documents and not self._listings:
            raise InvalidRequest("no file was sent: there is no `file` part", where="file")
        errors = [document.error for document in documents]
        if errors and errors[0] is not None and all(errors) and not self._listings:
            raise errors[0]
        if options.output is not None:
            prefix = parse_prefix(options.output.prefix, "options.output.prefix")
            check_output(prefix, self._grants)
        engine = options.engine or self._api.engine
        return Submission(self._job_id, options, engine, documents, self._listings, self._fingerprint(kind, options))

    def _fingerprint(self, kind: str, options: JobOptions) -> str:
        """Of options and files, or of a body that names sources, as it came."""
        if kind not in MANIFESTS and kind != "application/json":
            self._hash.update(options.model_dump_json().encode())
            for document in self.intake.documents:
                self._hash.update(f"\0{document.name}\0{document.sha256}".encode("utf-8", "surrogatepass"))
        return self._hash.hexdigest()

    # --- sources elsewhere

    async def _read_json(self) -> JobOptions:
        body = await read_body(self._request, MAX_JSON_BYTES)
        self._hash.update(body)
        try:
            sent = JsonSubmission.model_validate_json(body)
        except ValidationError as error:
            raise invalid(error, "body") from None
        _accept_options(check_metadata(sent.options), self._api)
        if len(sent.sources) > (limit := self._limits.max_files_per_job):
            raise InvalidRequest(
                f"more than {limit} sources; send a manifest (application/x-ndjson)",
                where="body.sources", limit=limit, actual=len(sent.sources),
            )  # fmt: skip
        if self._request.query_params:
            name = next(iter(self._request.query_params))
            raise InvalidRequest("JSON takes its options from `options`", where=f"query.{name[:80]}")
        await anyio.to_thread.run_sync(self._resolve, sent.sources, limiter=self._api.source_threads)
        return sent.options

    def _resolve(self, sources: Sequence[Source]) -> None:
        """Documents and listings of these sources. Raises SourceForbidden for a prefix that is not granted."""
        grants = self._grants
        found: dict[str, _Put] = {}
        for number, source in enumerate(sources):
            where = f"body.sources.{number}"
            if source.upload is not None:
                if source.upload not in found:
                    found[source.upload] = self._look_up(source.upload, f"{where}.upload")
                self.intake.documents.append(self._uploaded(source, found[source.upload]))
            elif (location := _prefix(source, where)) is not None:
                check_source(location, grants)
                self._listings.append(NewListing("prefix", str(location)))
            else:
                self.intake.documents.append(self._remote(source, where, grants))

    def _remote(self, source: Source, where: str, grants: Grants) -> NewDocument:
        document = new_document_id()
        key = upload_key(self._day, self._job_id, document)
        return remote_document(
            source, document_id=document, source_key=key, where=where, grants=grants, web=self._api.web_sources
        )

    def _look_up(self, upload: str, where: str) -> _Put:
        """What lies there now, or why nothing of it can be read."""
        try:
            if not is_id(upload, "upl"):
                raise NotFound(f"there is no upload {upload[:80]!r}")
            with self._api.database.read() as session:
                place = uploads.get(session, upload, self._owner)
            stat = self._api.blobs.stat(place.key)
            if stat is None:
                raise UploadIncomplete("nothing was put there yet")
        except RequestError as error:
            return _Put(error=error.at(where))
        return _Put(place.name, place.key, stat.etag)

    def _uploaded(self, source: Source, put: _Put) -> NewDocument:
        document = new_document_id()
        return NewDocument(
            id=document,
            name=display_name(source.name or put.name, "document"),
            source_key=upload_key(self._day, self._job_id, document) if put.error is None else "",
            media_type=UNKNOWN_TYPE,
            bytes=0,
            sha256="",
            error=put.error,
            source_url=f"upload:{put.key}" if put.error is None else None,
            source_etag=put.etag,
        )

    async def _read_manifest(self) -> JobOptions:
        """Into the store, to be entered in the background: what a line says is known when it is its turn."""
        if self._request.query_params:
            name = next(iter(self._request.query_params))
            raise InvalidRequest("manifests take their options from their first line", where=f"query.{name[:80]}")
        key = upload_key(self._day, self._job_id, new_document_id())
        manifest = _Manifest(self._api.blobs, key, self._api.limits.max_documents)
        try:
            async for chunk in self._request.stream():
                self._hash.update(chunk)
                await anyio.to_thread.run_sync(manifest.write, chunk, limiter=self._api.upload_threads)
            options = manifest.options()
            _accept_options(options, self._api)
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(manifest.abort, error)
            raise
        await anyio.to_thread.run_sync(manifest.close, limiter=self._api.upload_threads)
        self.intake.manifests.append(key)
        self._listings.append(NewListing("manifest", key))
        return options

    # --- multipart

    async def _read_form(self, body: AsyncIterator[bytes]) -> JobOptions:
        form = FormStream(self._request.headers["content-type"])
        options = JobOptions()
        async for chunk in body:
            for event in form.feed(chunk):
                options = await self._on_event(event) or options
            if form.ended:
                break
        form.finish()
        _accept_options(options, self._api)
        return options

    async def _on_event(self, event: Event) -> JobOptions | None:
        """The options, when this event completes them."""
        if isinstance(event, PartBegin):
            await self._begin_part(event)
        elif isinstance(event, PartData):
            await self._part_data(event.data)
        elif self._part == "file":
            await self.intake.end()
        else:
            options = parse_options(bytes(self._options or b""))
            _accept_options(options, self._api)
            return options
        return None

    async def _begin_part(self, part: PartBegin) -> None:
        self._part = part.name
        if part.name == "file":
            number = len(self.intake.documents) + 1
            name = display_name(part.filename or "", f"document-{number}")
            await self.intake.begin(self._job_id, self._day, name)
        elif part.name != "options":
            raise InvalidRequest(
                f"there is no part {part.name[:80]!r}; send `file` parts and one `options` part", where=part.name[:80]
            )
        elif self._options is not None:
            raise InvalidRequest("there is more than one `options` part", where="options")
        else:
            self._options = bytearray()

    async def _part_data(self, data: bytes) -> None:
        if self._part == "file":
            await self.intake.write(data)
            return
        assert self._options is not None
        self._options += data
        if len(self._options) > MAX_OPTIONS_BYTES:
            raise InvalidRequest("the `options` part is too long", where="options", limit=MAX_OPTIONS_BYTES)

    # --- raw body

    async def _read_raw(self, body: AsyncIterator[bytes], *, announced: bool) -> None:
        """`announced`: the client named a type, so that no bytes are an empty file and not the lack of one."""
        limit = self._limits.max_file_bytes
        length = self._request.headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise FileTooLarge(f"larger than {limit} bytes", limit=limit, actual=int(length))
        name = display_name(self._request.query_params.get("name", ""), "document")
        await self.intake.begin(self._job_id, self._day, name)
        async for chunk in body:
            announced = announced or bool(chunk)
            await self.intake.write(chunk)
        if not announced:
            raise InvalidRequest(
                "no file was sent: send one as the body, or several as `file` parts of multipart/form-data",
                where="body",
            )
        await self.intake.end()

    def _query_options(self) -> JobOptions:
        query = self._request.query_params
        values: dict[str, Any] = {}
        for key, value in query.multi_items():
            if key == "name":
                continue
            if key == "password":
                raise InvalidRequest(
                    "send passwords in the `options` part of a multipart upload", where="query.password"
                )
            if key not in QUERY_OPTIONS:
                raise InvalidRequest(f"there is no parameter {key[:80]!r}", where=f"query.{key[:80]}")
            values[key] = value
        try:
            return JobOptions.model_validate(values)
        except ValidationError as error:
            raise invalid(error, "query") from None


@dataclass(frozen=True, slots=True)
class _Put:
    """What was put by a link."""

    name: str = ""
    key: str = ""
    etag: str | None = None
    error: RequestError | None = None


class _Manifest:
    """A manifest on its way into the store. Blocking; used by one thread at a time."""

    def __init__(self, blobs: BlobStore, key: str, max_lines: int) -> None:
        self._writer = blobs.writer(key, "application/x-ndjson")
        self._opened: BlobWriter | None = None
        self._max_lines = max_lines
        self._head = b""
        self._size = 0
        self._lines = 0

    def write(self, chunk: bytes) -> None:
        """Raises InvalidRequest, ServiceError."""
        self._size += len(chunk)
        self._lines += chunk.count(b"\n")
        if self._size > MAX_MANIFEST_BYTES:
            raise InvalidRequest("the manifest is too long", where="body", limit=MAX_MANIFEST_BYTES)
        if self._lines > self._max_lines + 1:
            raise InvalidRequest(f"more than {self._max_lines} lines", where="body", limit=self._max_lines)
        if len(self._head) <= MAX_OPTIONS_BYTES:
            self._head += chunk[: MAX_OPTIONS_BYTES + 1]
        if self._opened is None:
            self._opened = self._writer.__enter__()
        self._opened.write(chunk)

    def options(self) -> JobOptions:
        """Of the first line, where it is `{"options": …}`. Raises InvalidRequest, also for a manifest without lines."""
        if not self._head.strip():
            raise InvalidRequest("the manifest is empty", where="body")
        first = self._head.partition(b"\n")[0].removeprefix(BOM)
        if len(first) > MAX_OPTIONS_BYTES - len(BOM):
            raise InvalidRequest("the first line is too long", where="line 1", limit=MAX_OPTIONS_BYTES)
        if not is_options(first):
            return JobOptions()
        try:
            return check_metadata(_OptionsLine.model_validate_json(first).options)
        except ValidationError as error:
            raise invalid(error, "line 1") from None

    def close(self) -> None:
        self._opened = None
        self._writer.__exit__(None, None, None)

    def abort(self, reason: BaseException) -> None:
        if self._opened is not None:
            self._writer.__exit__(type(reason), reason, None)


def _prefix(source: Source, where: str) -> Location | None:
    """The location, where the source is all that lies beneath it. Raises nothing: what is wrong with a URL is the error
    of its document."""
    try:
        location = location_of(source, where)
    except InvalidRequest:
        return None
    return location if location is not None and location.is_prefix else None


def limits_of(api: Api, key: KeyLimits) -> LimitSettings:
    """The server's limits, with the key's own for the size of files where that is smaller."""
    if key.file_bytes is None or key.file_bytes >= api.limits.max_file_bytes:
        return api.limits
    return api.limits.model_copy(update={"max_file_bytes": key.file_bytes})


def parse_options(raw: bytes) -> JobOptions:
    """The JSON of an `options` part. Raises InvalidRequest naming the field."""
    try:
        options = JobOptions.model_validate_json(raw)
    except ValidationError as error:
        raise invalid(error, "options") from None
    return check_metadata(options)


def check_metadata(options: JobOptions) -> JobOptions:
    """The options, asked before files are received. Raises InvalidRequest for metadata that cannot be kept."""
    lifecycle.check_metadata(options)
    return options


def _accept_options(options: JobOptions, api: Api) -> None:
    """What only the server knows: its engines, and whether it can keep a secret."""
    if options.engine is not None and options.engine not in api.engines:
        raise InvalidRequest(
            f"there is no engine {options.engine!r} here; offered: {', '.join(api.engines)}",
            where="options.engine",
            actual=options.engine,
        )
    if options.password is not None and api.vault is None:
        raise InvalidRequest(
            "passwords cannot be kept: the server has no PAGEMILL_SECRET_KEY", where="options.password"
        )
    if options.webhook is not None and api.vault is None:
        raise InvalidRequest(
            "webhooks cannot be signed: the server has no PAGEMILL_SECRET_KEY", where="options.webhook"
        )
