"""What crosses between a worker and its render processes, by pickle: one request, one answer, strictly in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.errors import PagemillError
from jobs.settings import EngineSettings, LogSettings


@dataclass(frozen=True, slots=True)
class Source:
    """A document as a file on this machine."""

    path: str
    media_type: str
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PageSource:
    """Everything that is needed to render a page, sent with every call: any process can take it over."""

    token: int
    """Names the rendered page inside a pool; never used twice."""
    document: Source
    number: int
    dpi: int


@dataclass(frozen=True, slots=True)
class Start:
    """First message: load the page half. Answered by a value (None) or a failure."""

    page_half: str | None
    engine: EngineSettings
    max_page_pixels: int
    render_memory: int
    logs: LogSettings = field(default_factory=LogSettings)
    about: Mapping[str, Any] = field(default_factory=dict)
    """Who asks; of every request: what its log lines are about (jobs/context.py)."""


@dataclass(frozen=True, slots=True)
class Inspect:
    """Open a document. Answered by an Inspection."""

    document: Source
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """Run `page_half.<method>(rendered page, *args)`, rendering the page first where it is not there yet."""

    page: PageSource
    method: str
    args: tuple[Any, ...]
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Release:
    """Forget rendered pages. Not answered."""

    tokens: tuple[int, ...]


Request = Start | Inspect | Call


@dataclass(frozen=True, slots=True)
class Inspection:
    """What opening a document told."""

    page_count: int
    encrypted: bool = False
    """Whether a password was needed."""


@dataclass(frozen=True, slots=True)
class Value:
    """The request's result."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """The request's error."""

    error: PagemillError
    worn: bool = False
    """The process had already leaked memory before it ran out: not this request's fault, it runs again elsewhere."""


Answer = Value | Failure
