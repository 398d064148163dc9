"""The seam between the queue and what reads pages.

An engine has two halves.

* The **page half** runs in the render processes, beside the page's image, which never leaves them (pdfium is not
  thread-safe and a full image is 11 MB). One instance per render process; its public methods are called one at a time
  with the `Image` as first argument.
* The **engine** itself runs in the worker process beside the resident model: one instance, one asyncio loop, any number
  of pages in flight. It reaches a page's image only through `PageHandle.call`.

RapidOCR does everything in the page half. PaddleOCR-VL fetches the layout input from it, later crops, and keeps the
model in the engine. `echo` does not render unless told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from jobs.errors import EngineUnavailable, ServiceError
from jobs.options import PageOptions
from jobs.results import EngineInfo, PageImage, PageOutput, PageResult
from jobs.settings import EngineSettings

if TYPE_CHECKING:
    from PIL import Image

    from workers.textlayer.glyphs import TextLayer


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """What a page half sees: the pixels and what they are. Lives in a render process only."""

    number: int
    pixels: Image.Image
    """Mode RGB; fewer than `info` tells of where the page half has a `drawn_size` that said so."""
    info: PageImage
    warnings: tuple[Any, ...] = ()
    """`jobs.results.Warning_` values that rendering gave, to be carried into the PageResult."""
    render_seconds: float = 0.0
    text_layer: Callable[[], TextLayer | None] = lambda: None
    """Reads the page's own text, on every call anew and only then; None where the format has none (images). Within the
    deadline and memory of the call that asks for it. Raises PageRenderFailed. An engine that uses it says so in
    `PageResult.text`, and obeys `PageOptions.text`."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels that the page has, whatever was drawn of them."""
        return self.info.width, self.info.height


class NotTaken(EngineUnavailable):
    """The engine is dead, and this page was never inside it: no crash of its own (rule 7)."""


class EngineBusy(ServiceError):
    """The engine takes no more now: back-pressure, no attempt. The page is put off for a while."""

    code, status, retryable = "engine_unavailable", 503, True


class PageHalf(Protocol):
    """Runs in a render process. Raise `jobs.errors.PageError` for a page that cannot be read.

    One that would shrink a page before anything else may have a method `drawn_size(method, args, width, height)`: the
    width and height at which a page of this size may be drawn for this call, itself or both smaller. Only PDFs are.
    """

    def __init__(self, settings: EngineSettings) -> None: ...

    def start(self) -> None:
        """Load models. Called once, before the first page, outside any page's deadline."""


class PageHandle(Protocol):
    """One page of one document, not yet rendered. Its image is made on the first `call` and kept until `release`."""

    @property
    def document_id(self) -> str:
        """Names the document in logs and in what must happen once per page."""

    @property
    def number(self) -> int:
        """1-based page number."""

    @property
    def options(self) -> PageOptions: ...

    async def call(self, method: str, *args: Any) -> Any:
        """Run `page_half.<method>(rendered_page, *args)` in the render process.

        Arguments and result cross a process border by pickle: keep them small.
        Raises PageTimeout, PageRenderFailed, PageTooLarge, or what the method raised.
        """

    async def forget(self) -> None:
        """Free the image while the page goes on, so that its render process takes the next. A `call` renders anew."""

    def spend(self, tokens_in: int, tokens_out: int) -> None:
        """A model has read and written so many tokens for this page. Counts also where the page fails later."""


class Engine(Protocol):
    """The half beside the resident model. Built in the worker's main thread before any work is taken."""

    info: EngineInfo
    capacity: int
    """Pages it can have in flight at once."""
    default_dpi: int
    page_half: str | None
    """`module:Class` of the page half; None where pages are never rendered."""
    renders_always: bool
    """Start the render processes with the worker; False where pages are rendered only on request."""
    reads_in_page_half: bool
    """Whether a page is inside the engine while its `call` runs: there it is read, not only rendered."""

    def start(self) -> None:
        """Load, in the main thread. Raises EngineUnavailable with the reason; the worker then takes no work."""

    async def warm_up(self) -> None:
        """Read something of its own, on the worker's engine loop, before any work is taken. Raises as `start`."""

    async def watch(self) -> None:
        """Runs on the loop beside the pages until it is cancelled.

        Raises EngineUnavailable when the engine died, after every page that was inside has been told.
        """

    async def recognize(self, page: PageHandle) -> PageOutput:
        """Read one page. Runs on the worker's engine loop; cancelling the task aborts the page.

        Raises PageError (a value for this page), EngineUnavailable when the engine itself is dead.
        """

    def close(self) -> None:
        """Free everything. Called once, also after a start that failed; no page is in flight, the loop still runs."""


class Whole(Protocol):
    """What the pages of one document learn from each other, once all are read; runs where documents are assembled.

    Every page is observed, in order, then `applied` to each. It must not keep pages: a document may have 10,000.
    """

    def observe(self, number: int, page: PageResult | None) -> None:
        """The next page; None where it has no result."""

    def applied(self, page: PageResult) -> PageResult:
        """The page as the document has it; the same object where nothing changes."""
