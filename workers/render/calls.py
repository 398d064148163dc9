"""What is asked of a render pool: one call with its future, its deadline, and what each kind of death means for it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from jobs import context
from jobs.errors import CorruptFile, DeadlineExceeded, PagemillError, PageRenderFailed, PageTimeout
from jobs.settings import LimitSettings
from workers.render.child import Death
from workers.render.messages import Answer, Call, Failure, Inspect, Source

if TYPE_CHECKING:
    from workers.render.pool import PoolPage

PendingCall = Future[Any]

MAX_DEATHS = 2
"""Processes one call may take with it: the first death may have been another's fault."""


class _Asked:
    """A future, and how often its process died under it."""

    out_of_memory: type[PagemillError]

    def __init__(self) -> None:
        self.future: PendingCall = Future()
        self.deaths = 0

    def begin(self) -> bool:
        """False when nobody waits for it any more. May be called again for the second try."""
        return self.future.running() or self.future.set_running_or_notify_cancel()

    def settle(self, answer: Answer) -> None:
        if isinstance(answer, Failure):
            self.fail(answer.error)
        else:
            self.future.set_result(answer.value)

    def fail(self, error: PagemillError) -> None:
        if self.begin():
            self.future.set_exception(error)


class PageCall(_Asked):
    """`page_half.<method>(rendered page, *args)`. The deadline counts from when its process begins with it."""

    def __init__(self, page: PoolPage, method: str, args: tuple[Any, ...]) -> None:
        super().__init__()
        self.page = page
        self.request = Call(page.source, method, args, context.current())

    def seconds(self, limits: LimitSettings) -> float:
        return limits.page_timeout

    def error(self, death: Death, limits: LimitSettings) -> PagemillError:
        if death.reason == "deadline":
            return PageTimeout(f"no result after {limits.page_timeout:g} seconds", limit=limits.page_timeout)
        if death.reason == "memory":
            detail = "it took more memory than a page may take"
            return PageRenderFailed(detail, limit=limits.render_memory, actual=death.resident)
        return PageRenderFailed(f"{death.describe()}, twice")


class InspectCall(_Asked):
    """Open a document and count its pages."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.request = Inspect(source, context.current())

    def seconds(self, limits: LimitSettings) -> float:
        return limits.split_timeout

    def error(self, death: Death, limits: LimitSettings) -> PagemillError:
        if death.reason == "deadline":
            detail = f"the document could not be opened within {limits.split_timeout:g} seconds"
            return DeadlineExceeded(detail, limit=limits.split_timeout)
        if death.reason == "memory":
            detail = "opening it took more memory than allowed"
            return CorruptFile(detail, limit=limits.render_memory, actual=death.resident)
        return CorruptFile(f"{death.describe()} while opening it, twice")
