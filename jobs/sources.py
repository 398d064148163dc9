"""Documents that are named by where they lie: `s3://…`, `https://…`, an upload. Checked here, fetched by workers.

Buckets are reached with the credentials of the service, so a key may name only what it was granted, and never the
service's own store: other tenants' documents lie there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobs.blobs.buckets import Location, parse_location, parse_prefix
from jobs.errors import DocumentError, InvalidRequest, OutputForbidden, SourceForbidden
from jobs.lifecycle import UNKNOWN_TYPE, NewDocument
from jobs.models import KeyGrants
from jobs.names import display_name
from jobs.urls import MAX_URL, parse_http_url


class Source(BaseModel):
    """Where one document lies; of a prefix, all that lie beneath."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = Field(
        default=None, max_length=MAX_URL,
        description="`https://…`, `s3://bucket/key`, or `s3://bucket/prefix/` for all objects beneath.",
        examples=["https://example.org/a.pdf", "s3://scans/2026/a.pdf"],
    )  # fmt: skip
    upload: str | None = Field(default=None, description="`upl_…`: a file that was put by `POST /v1/uploads`.")
    name: str | None = Field(default=None, max_length=1000, description="For display; the URL's last part if absent.")
    etag: str | None = Field(
        default=None, max_length=200, description="Of an object: read only if it is still this one (`source_changed`)."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Source:
        if (self.url is None) == (self.upload is None):
            raise ValueError("either url or upload must be given")
        if self.upload is not None and self.etag is not None:
            raise ValueError("an upload has no etag of yours")
        return self


@dataclass(frozen=True, slots=True)
class Grants:
    """Which buckets and prefixes somebody may use."""

    sources: tuple[Location, ...] = ()
    outputs: tuple[Location, ...] = ()
    own: tuple[Location, ...] = ()
    """Never as a source: the service's own store."""
    kept: tuple[Location, ...] = ()
    """Never as an output: the bucket of the service's own store, and the inboxes."""


def grants_of(key: KeyGrants, *, own: Sequence[Location] = (), inboxes: Sequence[Location] = ()) -> Grants:
    """Raises InvalidRequest for what names no bucket."""
    return Grants(
        sources=tuple(parse_prefix(text, "sources") for text in key.sources or ()),
        outputs=tuple(parse_prefix(text, "outputs") for text in key.outputs or ()),
        own=tuple(own),
        kept=(*(Location(place.kind, place.bucket, "") for place in own), *inboxes),
    )


def check_source(location: Location, grants: Grants) -> None:
    """Raises SourceForbidden."""
    if location.kind != "s3":
        raise SourceForbidden("files of the server are no sources", where=str(location))
    if _touches(location, grants.own):
        raise SourceForbidden("pagemill's own store is no source", where=str(location))
    if not any(granted.covers(location) for granted in grants.sources):
        raise SourceForbidden("this key may not read there (pagemill keys create --source)", where=str(location))


def check_output(location: Location, grants: Grants) -> None:
    """Raises OutputForbidden."""
    if location.kind != "s3":
        raise OutputForbidden("folders of the server are no outputs", where=str(location))
    if _touches(location, grants.kept):
        raise OutputForbidden("pagemill's own store and its inboxes are no outputs", where=str(location))
    if not any(granted.covers(location) for granted in grants.outputs):
        raise OutputForbidden("this key may not write there (pagemill keys create --output)", where=str(location))


def _touches(location: Location, places: Sequence[Location]) -> bool:
    """Whether something may lie in both."""
    return any(place.covers(location) or (location.is_prefix and location.covers(place)) for place in places)


def parse_source(raw: bytes | str, where: str) -> Source:
    """A line of a manifest. Raises InvalidRequest."""
    try:
        return Source.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidRequest(f"{_place(first)}{first['msg'].removeprefix('Value error, ')}", where=where) from None


def _place(complaint: Any) -> str:
    place = ".".join(map(str, complaint["loc"]))
    return f"{place}: " if place else ""


def location_of(source: Source, where: str) -> Location | None:
    """Where the source lies, if it is in a bucket. Raises InvalidRequest, also for a URL that cannot be asked."""
    assert source.url is not None
    if source.url.startswith(("s3://", "file:")):
        return parse_location(source.url, where=where)
    try:
        parse_http_url(source.url)
    except ValueError as error:
        raise InvalidRequest(f"this is no URL that can be asked: {error}", where=where) from None
    if source.etag is not None:
        raise InvalidRequest("an etag is for objects in buckets", where=where)
    return None


def remote_document(
    source: Source, *, document_id: str, source_key: str, where: str, grants: Grants, web: bool = True
) -> NewDocument:
    """A document of this URL, its file still to be fetched; what is wrong with the source is its error.

    `source_key`: where its file will lie; `web`: whether https:// is served at all.
    """
    assert source.url is not None
    shown = source.url.partition("?")[0].partition("#")[0]
    name = display_name(source.name or unquote(shown.rstrip("/").rpartition("/")[2]), "document")
    error: DocumentError | InvalidRequest | None = None
    try:
        location = location_of(source, where)
        if location is not None:
            check_source(location, grants)
        elif not web:
            raise SourceForbidden("this server fetches nothing from the web (PAGEMILL_WEB_SOURCES)", where=shown)
    except (DocumentError, InvalidRequest) as found:
        error = found
    return NewDocument(
        id=document_id,
        name=name,
        source_key=source_key if error is None else "",
        media_type=UNKNOWN_TYPE,
        bytes=0,
        sha256="",
        error=error,
        source_url=source.url if error is None else None,
        source_etag=source.etag,
        origin=shown[:MAX_URL],
    )
