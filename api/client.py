"""A typed client of the HTTP API. Errors come back as the exceptions they were (jobs.errors), by their code."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar, cast
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from api.shapes import (
    DocumentList,
    JobList,
    JsonSubmission,
    KeyUsage,
    NewUpload,
    PageList,
    PauseList,
    ServiceInfo,
    UploadPlace,
    WebhookList,
    WorkerList,
)
from jobs.errors import InternalError, InvalidRequest, PagemillError, Problem, ServiceError, StorageUnavailable
from jobs.models import DocumentPublic, JobPublic, PagePublic, PausePublic, State, WebhookPublic, WorkerPublic
from jobs.options import JobOptions, Priority
from jobs.results import PageEntry, PageResult
from jobs.settings import ClientSettings
from jobs.sources import Source

M = TypeVar("M", bound=BaseModel)

# Writing has no limit of its own: an upload waits as long as the store takes its pieces.
TIMEOUT = httpx.Timeout(30.0, connect=10.0, read=300.0)
LONGEST_WAIT = 60
"""Seconds that a server lets one request wait."""
SILENCE = 45.0
"""Seconds without a byte after which a stream of events is dead: three of the server's keep-alives."""
COME_BACK = 2.0
"""Seconds before a stream that was cut is opened again."""
PATIENCE = 60.0
"""Seconds for which a server may be away while a job is followed."""
_UNTAGGED = 0.5
"""Seconds between looks at a server that does not wait for us."""


class NotPagemill(ServiceError):
    """What answers there is not pagemill."""

    code, status = "not_pagemill", 502


class ServerUnreachable(ServiceError):
    """The server cannot be reached."""

    code, status, retryable = "server_unreachable", 503, True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job as it was, and the tag by which the server knows that."""

    job: JobPublic
    tag: str


@dataclass(frozen=True, slots=True)
class _Event:
    """A server-sent event."""

    kind: str
    id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to send, and the name it is shown under."""

    path: Path
    name: str

    @classmethod
    def of(cls, path: Path) -> Upload:
        return cls(path, path.name)


class Client:
    """One server. Thread-safe, as httpx is. Every call raises PagemillError; ServerUnreachable where nobody answers."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        """Raises InvalidRequest for what is no address of a server."""
        headers = {"Accept": "application/json"}
        if api_key is not None:
            headers["Authorization"] = f"Bearer {api_key}"
        self._http = httpx.Client(base_url=_checked_url(url) + "/v1/", headers=headers, timeout=TIMEOUT)

    @classmethod
    def of(cls, settings: ClientSettings) -> Client:
        key = settings.api_key
        return cls(settings.url, None if key is None else key.get_secret_value())

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the service

    def info(self) -> ServiceInfo:
        return self._get(ServiceInfo, str(self._http.base_url).rstrip("/"))  # a relative "" would ask for /v1/

    def is_ready(self) -> bool:
        """Whether the server takes work now."""
        try:
            self._request("GET", "health/ready")
        except ServiceError:
            return False
        return True

    def workers(self) -> list[WorkerPublic]:
        """Those that live or ended lately, the oldest first."""
        return list(self._all(WorkerList, "workers", {}))

    def drain(self, worker: str) -> WorkerPublic:
        return _parsed(WorkerPublic, self._request("POST", f"workers/{worker}/drain"))

    def pauses(self) -> list[PausePublic]:
        return self._get(PauseList, "pauses").items

    def pause(self, owner: str) -> PausePublic:
        return _parsed(PausePublic, self._request("PUT", f"pauses/{quote(owner, safe='')}"))

    def resume(self, owner: str) -> None:
        self._request("DELETE", f"pauses/{quote(owner, safe='')}")

    # --- jobs

    def submit(
        self, uploads: Sequence[Upload], options: JobOptions | None = None, *, idempotency_key: str | None = None
    ) -> JobPublic:
        """Send files as one job. They are read while they are sent, one at a time. Raises OSError for those.

        With an `idempotency_key` it may be called again where no answer came: it makes one job.
        """
        if not uploads:
            raise InvalidRequest("a job needs at least one file", where="file")
        parts: list[tuple[str, tuple[str | None, Any, str]]] = []
        if options is not None:
            parts.append(
                ("options", (None, options.model_dump_json(exclude_defaults=True).encode(), "application/json"))
            )
        files = [_LateFile(upload.path) for upload in uploads]
        parts += [
            ("file", (upload.name, cast("IO[bytes]", file), "application/octet-stream"))
            for upload, file in zip(uploads, files, strict=True)
        ]
        try:
            headers = _idempotent(idempotency_key)
            return _parsed(JobPublic, self._request("POST", "jobs", files=parts, headers=headers))
        finally:
            for file in files:
                file.close()

    def submit_sources(
        self, sources: Sequence[Source], options: JobOptions | None = None, *, idempotency_key: str | None = None
    ) -> JobPublic:
        """A job of documents that lie elsewhere, or were put by `upload`."""
        body = JsonSubmission(sources=list(sources), options=options or JobOptions())
        headers = _idempotent(idempotency_key) | {"Content-Type": "application/json"}
        content = body.model_dump_json(exclude_defaults=True).encode()
        return _parsed(JobPublic, self._request("POST", "jobs", content=content, headers=headers))

    def submit_manifest(
        self, sources: Iterable[Source], options: JobOptions | None = None, *, idempotency_key: str | None = None
    ) -> JobPublic:
        """A job of many such documents, which are sent as they come; no prefixes."""

        def lines() -> Iterator[bytes]:
            if options is not None:
                yield b'{"options":%b}\n' % options.model_dump_json(exclude_defaults=True).encode()
            for source in sources:
                yield source.model_dump_json(exclude_none=True).encode() + b"\n"

        headers = _idempotent(idempotency_key) | {"Content-Type": "application/x-ndjson"}
        return _parsed(JobPublic, self._request("POST", "jobs", content=lines(), headers=headers))

    def upload(self, upload: Upload) -> Source:
        """Put a file by a link, past the server where its store can make links; then submit the source that this
        returns. Raises OSError."""
        wanted = NewUpload(bytes=upload.path.stat().st_size, name=upload.name)
        place = _parsed(UploadPlace, self._request("POST", "uploads", json=wanted.model_dump()))
        with upload.path.open("rb") as file:
            self._put(place, file)
        return Source(upload=place.id)

    def _put(self, place: UploadPlace, file: IO[bytes]) -> None:
        if place.url.startswith("/"):
            self._request(
                "PUT", str(self._http.base_url.copy_with(path=place.url)), content=file, headers=place.headers
            )
            return
        # Without our key: the link is for a store, which is somebody else.
        try:
            answer = httpx.put(place.url, content=file, headers=place.headers, timeout=TIMEOUT)
        except httpx.TransportError as error:
            raise StorageUnavailable(f"the object store cannot be reached ({type(error).__name__})") from error
        if answer.is_error:
            raise StorageUnavailable(f"the object store answers {answer.status_code} to a link that it was made for")

    def key(self) -> KeyUsage:
        """The key that asks, its limits, and what it has used up."""
        return self._get(KeyUsage, "key")

    def webhooks(self, job: str) -> list[WebhookPublic]:
        """What its receiver was told of the job's ends, and what came of it."""
        return self._get(WebhookList, f"jobs/{job}/webhooks").items

    def replay(self, job: str, event: str) -> WebhookPublic:
        """Deliver it once more, soon."""
        return _parsed(WebhookPublic, self._request("POST", f"jobs/{job}/webhooks/{event}/replay"))

    def job(self, job: str) -> JobPublic:
        return self._get(JobPublic, f"jobs/{job}")

    def snapshot(self, job: str) -> Snapshot:
        """The job, to be waited for with `changed`."""
        response = self._request("GET", f"jobs/{job}")
        return Snapshot(_parsed(JobPublic, response), response.headers.get("etag", ""))

    def changed(self, known: Snapshot, seconds: float) -> Snapshot:
        """The job once it is no longer as it is known, or after so many seconds, at most `LONGEST_WAIT`: one long
        poll."""
        wait = max(1, min(round(seconds), LONGEST_WAIT))
        headers = {"If-None-Match": known.tag, "Prefer": f"wait={wait}"}
        timeout = httpx.Timeout(30.0, connect=10.0, read=wait + 30.0)
        with self._reaching():
            response = self._http.get(f"jobs/{known.job.id}", headers=headers, timeout=timeout)
        if "preference-applied" not in response.headers and not response.is_error:
            time.sleep(_UNTAGGED)
        if response.status_code == 304:
            return known
        return Snapshot(_parsed(JobPublic, _checked(response)), response.headers.get("etag", ""))

    def follow(self, job: str, *, patience: float = PATIENCE) -> Iterator[JobPublic]:
        """The job now and whenever it has changed, at most once a second, until it has ended. A stream that is cut is
        taken up again where it was; raises ServerUnreachable where that does not succeed for `patience` seconds, Gone
        when the job is deleted meanwhile."""
        last = ""
        patient_until = time.monotonic() + patience
        while True:
            pause = COME_BACK
            try:
                for event in self._events(f"jobs/{job}/events", last):
                    patient_until = time.monotonic() + patience
                    last = event.id or last
                    if event.kind == "job":
                        yield JobPublic.model_validate_json(event.data)
                    elif event.kind == "end":
                        return
                    elif event.kind == "gone":
                        raise _error(Problem.model_validate_json(event.data), "")
            except PagemillError as error:
                if not error.retryable or time.monotonic() > patient_until:
                    raise
                pause = max(pause, error.retry_after or 0)
            time.sleep(pause)

    def jobs(self, states: Sequence[State] = (), limit: int | None = None) -> Iterator[JobPublic]:
        """Newest first, at most `limit`."""
        query = {"state": [state.value for state in states], "limit": min(limit or 200, 200)}
        for count, job in enumerate(self._all(JobList, "jobs", query)):
            if count == limit:
                return
            yield job

    def cancel(self, job: str) -> JobPublic:
        return _parsed(JobPublic, self._request("POST", f"jobs/{job}/cancel"))

    def prioritize(self, job: str, priority: Priority) -> JobPublic:
        return _parsed(JobPublic, self._request("PATCH", f"jobs/{job}", json={"priority": priority}))

    def retry(self, job: str, *, document: str | None = None, code: str | None = None) -> JobPublic:
        """What failed in the job runs again: all of it, or of one document, or with one code."""
        query = {} if code is None else {"code": code}
        if document is None:
            return _parsed(JobPublic, self._request("POST", f"jobs/{job}/retry", params=query))
        self._request("POST", f"jobs/{job}/documents/{document}/retry", params=query)
        return self.job(job)

    def retry_all(self, code: str) -> Iterator[JobPublic]:
        """Everything that failed with this code runs again; its jobs as they are reopened, newest first."""
        return self._all(JobList, "jobs/retry", {"code": code, "limit": 100}, method="POST")

    def delete(self, job: str) -> None:
        self._request("DELETE", f"jobs/{job}")

    # --- documents, pages, results

    def documents(self, job: str) -> Iterator[DocumentPublic]:
        return self._all(DocumentList, f"jobs/{job}/documents", {"limit": 500})

    def document(self, job: str, document: str) -> DocumentPublic:
        return self._get(DocumentPublic, f"jobs/{job}/documents/{document}")

    def pages(self, job: str, document: str) -> Iterator[PagePublic]:
        return self._all(PageList, f"jobs/{job}/documents/{document}/pages", {"limit": 500})

    def page(self, job: str, document: str, number: int) -> PageResult:
        return self._get(PageResult, f"jobs/{job}/documents/{document}/pages/{number}")

    def finished_pages(self, job: str, document: str, *, after: int = 0, follow: bool = False) -> Iterator[PageEntry]:
        """Pages as they finish; with `follow` until the document has ended."""
        query = {"after": after, "follow": follow}
        with self._stream(f"jobs/{job}/documents/{document}/pages.ndjson", query) as response:
            for line in _lines(response):
                if line:
                    yield PageEntry.model_validate_json(line)

    def figure(self, job: str, document: str, name: str) -> bytes:
        return self._request("GET", f"jobs/{job}/documents/{document}/figures/{name}").content

    @contextmanager
    def result(self, job: str, document: str | None = None, *, format: str) -> Iterator[Iterator[bytes]]:  # noqa: A002
        """The result as a stream of bytes; `format`: markdown, json, text, zip."""
        place = f"jobs/{job}/result" if document is None else f"jobs/{job}/documents/{document}/result"
        with self._stream(place, {"format": format}) as response:
            yield response.iter_bytes()

    # --- transport

    def _get(self, model: type[M], place: str) -> M:
        return _parsed(model, self._request("GET", place))

    def _all(self, model: type[Any], place: str, query: dict[str, Any], *, method: str = "GET") -> Iterator[Any]:
        cursor: str | None = ""
        while cursor is not None:
            more = {"cursor": cursor} if cursor else {}
            piece = _parsed(model, self._request(method, place, params=query | more))
            yield from piece.items
            cursor = piece.next_cursor

    def _request(self, method: str, place: str, **values: Any) -> httpx.Response:
        with self._reaching():
            response = self._http.request(method, place, **values)
        return _checked(response)

    def _events(self, place: str, last: str) -> Iterator[_Event]:
        """Events as they come; an empty one for a comment. An end that the server told before is told again."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        timeout = httpx.Timeout(30.0, connect=10.0, read=SILENCE)
        with self._stream(place, {}, headers=headers, timeout=timeout) as response:
            if response.status_code == 204:
                yield _Event("end", last, b"")
            fields: dict[bytes, bytes] = {}
            for line in _lines(response):
                name, _, value = line.partition(b":")
                fields[name] = value.removeprefix(b" ")
                if line:
                    continue
                yield _Event(
                    fields.get(b"event", b"").decode(), fields.get(b"id", b"").decode(), fields.get(b"data", b"")
                )
                fields = {}

    @contextmanager
    def _stream(self, place: str, query: dict[str, Any], **values: Any) -> Iterator[httpx.Response]:
        values = {"headers": {"Accept": "*/*"}} | values
        with self._reaching(), self._http.stream("GET", place, params=query, **values) as response:
            if response.is_error:
                response.read()
            yield _checked(response)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise ServerUnreachable(f"{self._http.base_url.copy_with(path='')}: {reason}") from error


def _idempotent(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def _lines(response: httpx.Response) -> Iterator[bytes]:
    """Lines as JSON and events end them. (httpx's own also end at what Unicode calls a line end: text has some.)"""
    rest = b""
    for chunk in response.iter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")
    if rest:
        yield rest


class _LateFile:
    """A file that is open only while it is read: a job may have more files than a process may hold open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._size = path.stat().st_size
        self._at_end = False

    def read(self, size: int = -1) -> bytes:
        if self._at_end:
            return b""
        if self._file is None:
            self._file = self._path.open("rb")
        data = self._file.read(size)
        if not data:
            self._at_end = True
            self.close()
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """httpx seeks to the end and back to learn the size, and to the start to send."""
        if offset == 0 and whence == 0:
            self._at_end = False
            self.close()
            return 0
        return self._size

    def tell(self) -> int:
        return 0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _checked_url(url: str) -> str:
    try:
        parts = httpx.URL(url.rstrip("/"))
    except httpx.InvalidURL:
        parts = httpx.URL()
    if parts.scheme not in ("http", "https") or not parts.host:
        detail = f"{url!r} is no address of a server; write it like http://127.0.0.1:8470"
        raise InvalidRequest(detail, where="PAGEMILL_URL")
    return str(parts)


def _parsed(model: type[M], response: httpx.Response) -> M:
    try:
        return model.model_validate_json(response.content)
    except ValidationError:
        raise _not_pagemill(response) from None


def _checked(response: httpx.Response) -> httpx.Response:
    if not response.is_error and not response.is_redirect:
        return response
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        raise _not_pagemill(response) from None
    raise _error(problem, response.headers.get("retry-after", ""))


def _not_pagemill(response: httpx.Response) -> ServiceError:
    """An answer without our words in it. Those of gateways (502 to 504) say that the server behind them is away."""
    request = response.request
    address, answer = (
        request.url.copy_with(raw_path=b"/"),
        f"{response.status_code} to {request.method} {request.url.path}",
    )
    if response.status_code in (502, 503, 504):
        return ServerUnreachable(f"{address}: a gateway answers {answer}")
    elsewhere = f"; it points to {response.headers.get('location', '')[:200]}" if response.is_redirect else ""
    return NotPagemill(f"{address} is not a pagemill server: it answers {answer}{elsewhere}", where="PAGEMILL_URL")


def _error(problem: Problem, retry_after: str) -> PagemillError:
    kind = _by_code().get(problem.code, InternalError)
    return kind(
        problem.detail,
        where=problem.where,
        limit=problem.limit,
        actual=problem.actual,
        retry_after=int(retry_after) if retry_after.isdigit() else None,
    )


def _by_code() -> dict[str, type[PagemillError]]:
    """The error tree by code; the nearest to the leaves wins, abstract classes share their children's codes."""
    found: dict[str, type[PagemillError]] = {}
    queue: list[type[PagemillError]] = [PagemillError]
    for kind in queue:
        queue.extend(kind.__subclasses__())
        found[kind.code] = kind
    return found
