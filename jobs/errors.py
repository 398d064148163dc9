"""Every error pagemill tells a user about, as one tree.

    PagemillError
    ├── RequestError          the request cannot be served as asked; nothing was changed
    │   ├── InvalidRequest        400 invalid_request
    │   ├── Unauthorized          401 unauthorized
    │   ├── Forbidden             403 forbidden
    │   ├── NotFound              404 not_found
    │   ├── NotAcceptable         406 not_acceptable
    │   ├── ResultNotReady        409 result_not_ready        (retryable)
    │   ├── Gone                  410 gone
    │   ├── UploadIncomplete      422 upload_incomplete       (retryable)
    │   ├── IdempotencyMismatch   422 idempotency_mismatch
    │   ├── RateLimited           429 rate_limited            (retryable)
    │   └── QueueFull             429 queue_full              (retryable)
    ├── DocumentError         this document cannot be read; its neighbours are not touched
    │   ├── FileTooLarge          413 file_too_large
    │   ├── UnsupportedType       415 unsupported_type
    │   ├── EmptyFile             422 empty_file
    │   ├── CorruptFile           422 corrupt_file
    │   ├── PasswordRequired      422 password_required
    │   ├── PasswordIncorrect     422 password_incorrect
    │   ├── TooManyPages          422 too_many_pages
    │   ├── InvalidPageRange      422 invalid_page_range
    │   ├── DeadlineExceeded      422 deadline_exceeded
    │   ├── SourceUnreachable     422 source_unreachable      (retryable)
    │   ├── SourceForbidden       422 source_forbidden
    │   ├── SourceChanged         422 source_changed
    │   ├── OutputForbidden       422 output_forbidden
    │   └── QuotaExceeded         429 quota_exceeded          (retryable)
    ├── PageError             this page cannot be read; its neighbours are not touched
    │   ├── PageTooLarge          422 page_too_large
    │   ├── PageTimeout           422 page_timeout            (retryable)
    │   ├── PageRenderFailed      422 page_render_failed
    │   ├── PageCrashed           422 page_crashed
    │   ├── TextLayerMissing      422 text_layer_missing
    │   └── EngineError           422 engine_error            (retryable)
    └── ServiceError          a part of the service is ill; says nothing about any page
        ├── InternalError         500 internal_error
        ├── EngineUnavailable     503 engine_unavailable      (retryable)
        ├── StorageUnavailable    503 storage_unavailable     (retryable)
        ├── StorageFull           503 storage_full            (retryable)
        └── DatabaseUnavailable   503 database_unavailable    (retryable)

`code`, `status` and `retryable` are data on the classes. `problem()` gives the RFC 9457 object that is the HTTP body
and, unchanged, `job.error`, `document.error` and `page.error`. A bad page is a value: stages turn a PageError into the
page's `error`; a ServiceError is an exception that sends pages back (docs/states.md).
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict


class Problem(BaseModel):
    """An RFC 9457 problem. `where` names the input, `limit` and `actual` the rule that was broken."""

    model_config = ConfigDict(frozen=True)

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    where: str | None = None
    limit: int | float | str | None = None
    actual: int | float | str | None = None


class PagemillError(Exception):
    """Root of the tree. The docstring's first line of each class is the problem's title."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str = "",
        *,
        where: str | None = None,
        limit: float | str | None = None,
        actual: float | str | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.detail = detail or self.title()
        super().__init__(self.detail)
        self.where = where
        self.limit = limit
        self.actual = actual
        self.retry_after = retry_after
        """Seconds for the Retry-After header, where the server knows better than the client."""

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross from render processes to the worker by pickle; keyword arguments must survive.
        return (_rebuild, (type(self), self.detail, self.where, self.limit, self.actual, self.retry_after))

    @classmethod
    def title(cls) -> str:
        return (cls.__doc__ or cls.code).strip().splitlines()[0].rstrip(".")

    def problem(self) -> Problem:
        return Problem(
            type=f"urn:pagemill:error:{self.code}",
            title=self.title(),
            status=self.status,
            detail=storable(self.detail),
            code=self.code,
            retryable=self.retryable,
            where=self.where,
            limit=self.limit,
            actual=self.actual,
        )

    def at(self, where: str) -> Self:
        """The same error, naming the input it is about, if it does not already."""
        if self.where is None:
            self.where = where
        return self


def storable(text: str) -> str:
    """Foreign libraries say anything; PostgreSQL takes no NUL, and no encoder half a surrogate pair."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _rebuild(
    cls: type[PagemillError],
    detail: str,
    where: str | None,
    limit: float | str | None,
    actual: float | str | None,
    retry_after: int | None,
) -> PagemillError:
    return cls(detail, where=where, limit=limit, actual=actual, retry_after=retry_after)


class RequestError(PagemillError):
    """The request cannot be served."""


class InvalidRequest(RequestError):
    """The request is not valid."""

    code, status = "invalid_request", 400


class Unauthorized(RequestError):
    """A valid API key is needed."""

    code, status = "unauthorized", 401


class Forbidden(RequestError):
    """This key may not do that."""

    code, status = "forbidden", 403


class NotFound(RequestError):
    """There is nothing under this id."""

    code, status = "not_found", 404


class NotAcceptable(RequestError):
    """None of the accepted formats can be produced."""

    code, status = "not_acceptable", 406


class ResultNotReady(RequestError):
    """The result is not ready yet."""

    code, status, retryable = "result_not_ready", 409, True


class Gone(RequestError):
    """This was deleted."""

    code, status = "gone", 410


class UploadIncomplete(RequestError):
    """The upload ended before its end."""

    code, status, retryable = "upload_incomplete", 422, True


class IdempotencyMismatch(RequestError):
    """This Idempotency-Key was used for another request."""

    code, status = "idempotency_mismatch", 422


class RateLimited(RequestError):
    """Too many requests with this key."""

    code, status, retryable = "rate_limited", 429, True


class QueueFull(RequestError):
    """The queue takes no more work now."""

    code, status, retryable = "queue_full", 429, True


class DocumentError(PagemillError):
    """The document cannot be read."""

    code, status = "corrupt_file", 422


class FileTooLarge(DocumentError):
    """The file is larger than allowed."""

    code, status = "file_too_large", 413


class UnsupportedType(DocumentError):
    """The file is of no supported type."""

    code, status = "unsupported_type", 415


class EmptyFile(DocumentError):
    """The file is empty."""

    code = "empty_file"


class CorruptFile(DocumentError):
    """The file is damaged."""

    code = "corrupt_file"


class PasswordRequired(DocumentError):
    """The document is encrypted and no password was given."""

    code = "password_required"


class PasswordIncorrect(DocumentError):
    """The document is encrypted and the password does not open it."""

    code = "password_incorrect"


class TooManyPages(DocumentError):
    """The document has more pages than allowed."""

    code = "too_many_pages"


class InvalidPageRange(DocumentError):
    """The page range selects nothing in this document."""

    code = "invalid_page_range"


class DeadlineExceeded(DocumentError):
    """The deadline passed before the work was done."""

    code = "deadline_exceeded"


class SourceUnreachable(DocumentError):
    """The source cannot be fetched."""

    code, retryable = "source_unreachable", True


class SourceForbidden(DocumentError):
    """The source may not be read."""

    code = "source_forbidden"


class SourceChanged(DocumentError):
    """The source is not what it was when it was submitted."""

    code = "source_changed"


class OutputForbidden(DocumentError):
    """The result may not be written there."""

    code = "output_forbidden"


class QuotaExceeded(DocumentError):
    """The key's pages of the day are used up."""

    code, status, retryable = "quota_exceeded", 429, True


class PageError(PagemillError):
    """The page cannot be read."""

    code, status = "engine_error", 422


class PageTooLarge(PageError):
    """The page is too large to be read even at the lowest resolution."""

    code = "page_too_large"


class PageTimeout(PageError):
    """The page took longer than its deadline."""

    code, retryable = "page_timeout", True


class PageRenderFailed(PageError):
    """The page could not be rendered."""

    code = "page_render_failed"


class PageCrashed(PageError):
    """The page ended the process that read it, again and again."""

    code = "page_crashed"


class TextLayerMissing(PageError):
    """The page shows text and has no text layer."""

    code = "text_layer_missing"


class EngineError(PageError):
    """The engine could not read this page."""

    code, retryable = "engine_error", True


class ServiceError(PagemillError):
    """A part of the service is not available."""


class InternalError(ServiceError):
    """Something is broken in pagemill itself."""

    code, status = "internal_error", 500


class EngineUnavailable(ServiceError):
    """The engine is not available."""

    code, status, retryable = "engine_unavailable", 503, True


class StorageUnavailable(ServiceError):
    """The object store is not available."""

    code, status, retryable = "storage_unavailable", 503, True


class StorageFull(ServiceError):
    """The object store or disk is full."""

    code, status, retryable = "storage_full", 503, True


class DatabaseUnavailable(ServiceError):
    """The database is not available."""

    code, status, retryable = "database_unavailable", 503, True


def failure_codes() -> frozenset[str]:
    """Every code that a document or page can have ended with."""
    return frozenset(_codes_of(DocumentError) | _codes_of(PageError) | _codes_of(ServiceError))


def _codes_of(branch: type[PagemillError]) -> set[str]:
    return {branch.code}.union(*map(_codes_of, branch.__subclasses__()))
