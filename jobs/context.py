"""What is being worked on, for every line of a log: set once around a stage, read where a line is written.

    with about(job="job_…", document="doc_…", page=3, attempt=1):
        …                                     # whatever is logged in here carries the four

A context goes along into asyncio tasks and `anyio.to_thread`; threads of an executor begin without one, so whoever
works on one of those sets it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Any

_NOTHING: Mapping[str, Any] = {}
_about: ContextVar[Mapping[str, Any]] = ContextVar("about", default=_NOTHING)
_process: dict[str, Any] = {}


class about:  # noqa: N801 - reads as the function it is used as
    """Around a piece of work. Entered and left in the same task or thread."""

    __slots__ = ("_ids", "_token")

    def __init__(self, **ids: Any) -> None:
        self._ids = ids

    def __enter__(self) -> None:
        self._token: Token[Mapping[str, Any]] = _about.set({**_about.get(), **self._ids})

    def __exit__(self, *_: object) -> None:
        _about.reset(self._token)


def begin(**ids: Any) -> None:
    """A new context for the rest of this task: of a request, whose answer may outlive every `with`."""
    _about.set(ids)


def note(**ids: Any) -> None:
    """Something more became known; seen by all that share this context, a request's threads too."""
    found = _about.get()
    if isinstance(found, dict) and found is not _NOTHING:
        found.update(ids)


def identify(**ids: Any) -> None:
    """Who this process is, for all of its lines: `worker="wrk_…"`."""
    _process.update(ids)


def current() -> dict[str, Any]:
    """All that is known here and now."""
    return {**_process, **_about.get()}
