"""How far a run is: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from api.cli.report import counted

_WINDOW = 30.0
"""Seconds over which the speed is taken: long enough for a slow engine, short enough to follow a change."""
_LINE_EVERY = 10.0
_FRAME_EVERY = 0.2
_SAMPLE_EVERY = 0.5
_ROWS = 6
"""Documents shown at once."""


@dataclass(frozen=True, slots=True)
class OpenDocument:
    """A document on its way. `pages` is 0 until it is split."""

    name: str
    pages: int
    done: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of a run. `documents` includes what is finished and what is still to be opened."""

    documents: int
    finished: int
    failed: int
    pages: int
    """Pages read, of finished and of open documents."""
    pages_ahead: float
    """Pages still to be read, guessed where documents are not yet split."""
    open: Sequence[OpenDocument] = ()
    note: str = ""
    """What is being waited for, where nothing moves."""


class Speed:
    """Pages per second over the last half minute."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, at: float, pages: int) -> None:
        """The count of pages at a time (seconds, any origin). Old samples go, one beyond the window stays."""
        self._samples.append((at, pages))
        while len(self._samples) > 2 and self._samples[1][0] < at - _WINDOW:
            self._samples.popleft()

    @property
    def rate(self) -> float:
        if len(self._samples) < 2:
            return 0.0
        (start, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - start) if end > start else 0.0


class Bars:
    """with Bars(console) as bars: bars.show(progress) as often as you like."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._speed = Speed()
        self._shown_at = 0.0
        self._sampled_at = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        self._shown_at = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(Text(line), soft_wrap=True)

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        # The engine's start is no reading: it would make the first minutes look slow.
        if not progress.note and now - self._sampled_at >= _SAMPLE_EVERY:
            self._speed.add(now, progress.pages)
            self._sampled_at = now
        if now - self._shown_at < (_FRAME_EVERY if self._live is not None else _LINE_EVERY):
            return
        self._shown_at = now
        if self._live is not None:
            self._live.update(picture(progress, self._speed.rate), refresh=True)
        else:
            self.say(line(progress, self._speed.rate))


def line(progress: Progress, rate: float) -> str:
    """`12/60 documents, 345 pages, 5.2 pages/s, 1 failed, 0:01:20 left`."""
    parts = [_documents(progress), counted(progress.pages, "page"), f"{speed(rate)} pages/s"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    parts.append(progress.note or f"{left(progress, rate)} left")
    return ", ".join(parts)


def _documents(progress: Progress) -> str:
    return f"{progress.finished}/{counted(progress.documents, 'document')}"


def speed(rate: float) -> str:
    """Two digits that say something, for slow and for fast engines."""
    return f"{rate:.1f}" if rate >= 1 or not rate else f"{rate:.2f}"


def left(progress: Progress, rate: float) -> str:
    """The time until the end at this speed, as h:mm:ss."""
    if rate <= 0:
        return "?"
    return clock(progress.pages_ahead / rate)


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def picture(progress: Progress, rate: float) -> RenderableType:
    """The bar of the run, and one for each of the first open documents."""
    total = max(1.0, progress.pages + progress.pages_ahead)
    head = Table.grid(padding=(0, 1), expand=True)
    head.add_column(no_wrap=True)
    head.add_column(ratio=1)
    head.add_column(no_wrap=True, justify="right")
    counts = _documents(progress)
    failed = Text(f" {progress.failed} failed", style="red") if progress.failed else Text()
    facts = Text(f"{counted(progress.pages, 'page')}  {speed(rate)} pages/s  {left(progress, rate)} left")
    if progress.note:
        facts = Text(progress.note, style="dim")
    head.add_row(Text(counts, style="bold") + failed, ProgressBar(total=total, completed=progress.pages), facts)
    rows = [document for document in progress.open if document.pages][:_ROWS]
    if not rows:
        return head
    below = Table.grid(padding=(0, 1))
    for document in rows:
        below.add_row(
            Text(f"  {_shortened(document.name)}", style="dim"),
            ProgressBar(total=document.pages, completed=document.done, width=24),
            Text(f"{document.done}/{document.pages}", style="dim"),
        )
    return Group(head, below)


def _shortened(name: str, width: int = 48) -> str:
    return name if len(name) <= width else "…" + name[-(width - 1) :]
