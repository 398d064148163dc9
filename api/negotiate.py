"""Which format a client wants: `?format=` first, then `Accept` (RFC 9110, 12.5.1). And whether it has it already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.errors import InvalidRequest, NotAcceptable

Format = Literal["markdown", "json", "text", "zip"]


@dataclass(frozen=True, slots=True)
class Representation:
    format: Format
    media_type: str
    header: str
    """The Content-Type with its parameters."""
    suffix: str


MARKDOWN = Representation("markdown", "text/markdown", "text/markdown; charset=utf-8; variant=GFM", ".md")
JSON = Representation("json", "application/json", "application/json", ".json")
TEXT = Representation("text", "text/plain", "text/plain; charset=utf-8", ".txt")
ZIP = Representation("zip", "application/zip", "application/zip", ".zip")
ALL: tuple[Representation, ...] = (MARKDOWN, JSON, TEXT, ZIP)


def choose(
    wanted: str | None, accept: str | None, offered: Sequence[Representation], why_not: str = ""
) -> Representation:
    """The best of what is offered, in order of preference where the client has none.

    Raises InvalidRequest for a format that does not exist, NotAcceptable for one that is not offered here.
    """
    if wanted is not None:
        return _by_name(wanted, offered, why_not)
    best, quality = offered[0], 0.0
    for representation in offered:
        q = _quality(accept, representation.media_type)
        if q > quality:
            best, quality = representation, q
    if quality == 0.0:
        raise NotAcceptable(_sentence(f"none of {accept!r} can be produced", offered, why_not), where="Accept")
    return best


def _by_name(wanted: str, offered: Sequence[Representation], why_not: str) -> Representation:
    for representation in offered:
        if representation.format == wanted:
            return representation
    if wanted not in {representation.format for representation in ALL}:
        names = ", ".join(representation.format for representation in ALL)
        raise InvalidRequest(f"there is no format {wanted!r}; known: {names}", where="query.format", actual=wanted)
    raise NotAcceptable(_sentence(f"{wanted} cannot be produced here", offered, why_not), where="query.format")


def _sentence(what: str, offered: Sequence[Representation], why_not: str) -> str:
    choices = ", ".join(f"{r.format} ({r.media_type})" for r in offered)
    return f"{what}; offered: {choices}" + (f". {why_not}" if why_not else "")


def _quality(accept: str | None, media_type: str) -> float:
    """The q of the most specific range that matches; 1 without an Accept header, 0 where nothing matches."""
    if accept is None or not accept.strip():
        return 1.0
    main = media_type.partition("/")[0]
    rank = {media_type: 3, f"{main}/*": 2, "*/*": 1}
    matches = [(rank[kind], q) for kind, q in _ranges(accept) if kind in rank]
    return max(matches)[1] if matches else 0.0


def _ranges(accept: str) -> list[tuple[str, float]]:
    ranges: list[tuple[str, float]] = []
    for part in accept.split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        q = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "q":
                q = _number(value)
        ranges.append((kind.lower(), q))
    return ranges


def _number(text: str) -> float:
    try:
        q = float(text)
    except ValueError:
        return 0.0
    return q if 0.0 <= q <= 1.0 else 0.0


def has_already(if_none_match: str | None, etag: str) -> bool:
    """Whether If-None-Match names this tag: then 304 is the answer (RFC 9110, 13.1.2, weak comparison)."""
    if if_none_match is None:
        return False
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in known or etag.removeprefix("W/") in known
