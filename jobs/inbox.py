"""Drop folders: which there are, and which objects in them are documents."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from jobs.blobs import Location, ObjectStat, parse_location
from jobs.engines import ENGINE_NAMES
from jobs.errors import InvalidRequest
from jobs.options import JobOptions
from jobs.settings import BlobSettings, InboxSettings
from jobs.store.inbox import Found

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Inbox:
    """One drop folder and what lies beside it."""

    owner: str
    """Of its jobs: takes turns in dispatch, and can be paused."""
    location: Location
    output: Location
    done: Location
    failed: Location
    originals: Literal["leave", "tag", "move"]
    ours: tuple[str, ...]
    """How keys begin that pagemill writes itself."""

    def holds(self, bucket: str, key: str) -> bool:
        """Whether an event about this key of an S3 bucket is about something in here."""
        return self.location.kind == "s3" and bucket == self.location.bucket and key.startswith(self.location.path)

    def accepts(self, found: ObjectStat) -> bool:
        """Whether it is somebody's document: no folder, and nothing that pagemill put there."""
        name = found.key.removeprefix(self.location.path)
        is_folder = not name or (name.endswith("/") and not found.size)
        # A database keeps no NUL; S3 allows none in its XML either, some servers do.
        return not is_folder and "\0" not in name and not found.key.startswith(self.ours)

    def found(self, stat: ObjectStat) -> Found:
        """How the object is known in the table. Two that differ in nothing are one: a listing knows no versions."""
        name = stat.key.removeprefix(self.location.path)
        modified = f"{stat.modified:%Y-%m-%dT%H:%M:%S}Z"
        identity = "\0".join((str(self.location), name, stat.etag, modified))
        return Found(sha256(identity.encode()).hexdigest()[:40], name, stat.etag, modified, stat.version, stat.size)

    def key(self, name: str) -> str:
        return self.location.path + name


def open_inboxes(settings: InboxSettings, store: BlobSettings) -> tuple[Inbox, ...]:
    """The inboxes that the settings name. Raises InvalidRequest: a wrong location, one inbox within another or within
    pagemill's own objects, results that would fall into an inbox or upon those of another one, tags for files."""
    locations = [_prefix(text, "PAGEMILL_INBOX") for text in _texts(settings.inbox)]
    outputs = _outputs(settings, locations)
    own = [*outputs, *_store_prefixes(store)]
    if settings.inbox_originals == "move":
        own += [location.beside(name) for location in locations for name in ("done", "failed")]
    _check_apart(locations, outputs, own, settings)
    return tuple(
        Inbox(
            owner=owner_of(location),
            location=location,
            output=output,
            done=location.beside("done"),
            failed=location.beside("failed"),
            originals=settings.inbox_originals,
            ours=tuple(_beneath(location, other) for other in own if location.covers(other)),
        )
        for location, output in zip(locations, outputs, strict=True)
    )


def open_options(settings: InboxSettings) -> JobOptions:
    """Raises InvalidRequest for what are no options, for an engine that does not exist (its jobs would wait for ever),
    and for options that only a key's jobs can have."""
    where = "PAGEMILL_INBOX_OPTIONS"
    try:
        options = JobOptions.model_validate_json(settings.inbox_options)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        path = ".".join(map(str, first["loc"]))
        raise InvalidRequest(f"{path}: {first['msg']}", where=where) from None
    if options.output is not None:
        raise InvalidRequest("output: results of inboxes go to PAGEMILL_INBOX_OUTPUT", where=where)
    if options.webhook is not None:
        raise InvalidRequest("webhook: jobs of inboxes have none; watch PAGEMILL_INBOX_OUTPUT", where=where)
    if options.engine is not None and options.engine not in ENGINE_NAMES:
        raise InvalidRequest(f"there is no engine {options.engine!r}; known: {', '.join(ENGINE_NAMES)}", where=where)
    return options


def owner_of(location: Location) -> str:
    """`inbox:s3.bucket.incoming`: how an inbox is called where owners are named. A hash tells apart what would look
    the same, or is too long."""
    text = f"{location.bucket}/{location.path}".strip("/")
    plain = _UNFIT.sub(".", text)
    if plain.replace(".", "/") == text and len(plain) <= 60:
        return f"inbox:{location.kind}.{plain}"
    return f"inbox:{location.kind}.{plain[:60]}.{sha256(str(location).encode()).hexdigest()[:8]}"


def _texts(text: str) -> list[str]:
    return [part for part in (piece.strip() for piece in text.split(",")) if part]


def _prefix(text: str, where: str) -> Location:
    location = parse_location(text, where=where)
    if not location.is_prefix:
        raise InvalidRequest(f"{text!r} must end with a slash: everything beneath it is meant", where=where)
    return location


def _outputs(settings: InboxSettings, locations: list[Location]) -> list[Location]:
    where = "PAGEMILL_INBOX_OUTPUT"
    if settings.inbox_output is None:
        return [location.beside("outgoing") for location in locations]
    outputs = [_prefix(text, where) for text in _texts(settings.inbox_output)]
    if len(outputs) != len(locations):
        raise InvalidRequest(
            "there must be one output for each inbox", where=where, limit=len(locations), actual=len(outputs)
        )
    return outputs


def _store_prefixes(store: BlobSettings) -> list[Location]:
    """What pagemill's own store writes, wherever it lies."""
    if store.store_url.startswith("file:"):
        root = Path(
            "/", *Path.cwd().parts[1:], re.sub(r"^//(localhost)?(?=/)", "", store.store_url.removeprefix("file:"))
        )
        return [Location("file", f"{root}/{name}", "") for name in ("uploads", "jobs")]
    bucket, _, prefix = store.store_url.removeprefix("s3://").partition("/")
    beginning = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    return [Location("s3", bucket, f"{beginning}{name}/") for name in ("uploads", "jobs")]


def _check_apart(
    locations: list[Location], outputs: list[Location], own: Iterable[Location], settings: InboxSettings
) -> None:
    for place in own:
        for location in locations:
            if place.covers(location):
                raise InvalidRequest(f"{location} lies where pagemill writes: {place}", where="PAGEMILL_INBOX")
    for number, location in enumerate(locations):
        if any(other.covers(location) for n, other in enumerate(locations) if n != number):
            raise InvalidRequest(f"{location} is, or lies in, another inbox", where="PAGEMILL_INBOX")
        if settings.inbox_originals == "tag" and location.kind == "file":
            raise InvalidRequest(f"files have no tags: {location}", where="PAGEMILL_INBOX_ORIGINALS")
    _check_different(outputs, "PAGEMILL_INBOX_OUTPUT")
    if settings.inbox_originals == "move":
        _check_different([location.beside("done") for location in locations], "PAGEMILL_INBOX_ORIGINALS")


def _check_different(places: list[Location], where: str) -> None:
    """Two inboxes that write to one place would overwrite each other's `a.pdf`."""
    for number, place in enumerate(places):
        if any(other.covers(place) for n, other in enumerate(places) if n != number):
            raise InvalidRequest(f"two inboxes would write to {place}: give them folders of their own", where=where)


def _beneath(inbox: Location, place: Location) -> str:
    """How keys of the inbox's bucket or folder begin that lie in `place`."""
    return f"{place.bucket}/{place.path}".removeprefix(f"{inbox.bucket}/") if inbox.kind == "file" else place.path
