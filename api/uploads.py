"""`POST /v1/jobs`: the request's body as a submission, whichever way it was sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from api.deps import Api
from api.intake import Intake
from api.multipart import Event, FormStream, PartBegin, PartData
from api.names import display_name
from api.problems import invalid
from jobs.errors import FileTooLarge, InvalidRequest, UnsupportedType, UploadIncomplete
from jobs.ids import new_job_id
from jobs.lifecycle import NewDocument
from jobs.options import JobOptions

MAX_OPTIONS_BYTES = 64 * 1024
MAX_METADATA_BYTES = 16 * 1024

# What may stand beside the body of a raw upload. No password: URLs are logged on the way.
QUERY_OPTIONS = frozenset({"engine", "pages", "dpi", "figures", "text", "priority"})


@dataclass(frozen=True, slots=True)
class Submission:
    """What came in and lies in the store, not yet a job."""

    job_id: str
    options: JobOptions
    engine: str
    documents: list[NewDocument]


class Reception:
    """One request. `receive` gives a Submission or leaves nothing behind."""

    def __init__(self, api: Api, request: Request) -> None:
        self._api = api
        self._request = request
        self._job_id = new_job_id()
        self._day = datetime.now(UTC).date()
        self.intake = Intake(api.blobs, api.limits, api.upload_threads)
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
        if kind == "multipart/form-data":
            options = await self._read_form(self._request.stream())
        elif kind in ("", "application/pdf", "application/octet-stream") or kind.startswith("image/"):
            options = self._query_options()
            _accept_options(options, self._api)
            await self._read_raw(self._request.stream(), announced=bool(kind))
        else:
            raise UnsupportedType(
                f"a body of type {kind} is no upload; send multipart/form-data, application/pdf, image/* or "
                "application/octet-stream",
                where="Content-Type",
            )
        return self._submission(options)

    def _submission(self, options: JobOptions) -> Submission:
        documents = self.intake.documents
        if not documents:
            raise InvalidRequest("no file was sent: there is no `file` part", where="file")
        errors = [document.error for document in documents]
        if errors[0] is not None and all(errors):
            raise errors[0]
        return Submission(self._job_id, options, options.engine or self._api.engine, documents)

    # --- multipart

    async def _read_form(self, body: AsyncIterator[bytes]) -> JobOptions:
        if self._request.query_params:
            name = next(iter(self._request.query_params))
            raise InvalidRequest("multipart uploads take their options from the `options` part", where=f"query.{name}")
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
        limit = self._api.limits.max_file_bytes
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


def parse_options(raw: bytes) -> JobOptions:
    """The JSON of an `options` part. Raises InvalidRequest naming the field."""
    try:
        options = JobOptions.model_validate_json(raw)
    except ValidationError as error:
        raise invalid(error, "options") from None
    try:
        size = len(json.dumps(options.metadata, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode())
    except ValueError:
        raise InvalidRequest("metadata holds what JSON has no number for", where="options.metadata") from None
    if size > MAX_METADATA_BYTES:
        raise InvalidRequest("metadata is too long", where="options.metadata", limit=MAX_METADATA_BYTES, actual=size)
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
