"""A render process: opens documents, keeps rendered pages, runs the engine's page half on them, one call at a time.

It is started by `child.Child` with one end of a socket pair and may be killed at any moment: it owns nothing that
anybody would miss.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import socket
import time
from collections import OrderedDict
from contextlib import closing, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from jobs import logs
from jobs.context import about, identify
from jobs.errors import (
    CorruptFile,
    DocumentError,
    EngineError,
    EngineUnavailable,
    InternalError,
    PagemillError,
    PageRenderFailed,
)
from jobs.results import PageImage
from workers.engines.base import RenderedPage
from workers.render.confine import data_bytes, give_memory_back, keep_freed_memory, limit_data, settle_in
from workers.render.documents import open_document
from workers.render.messages import (
    Answer,
    Call,
    Failure,
    Inspect,
    Inspection,
    PageSource,
    Release,
    Request,
    Source,
    Start,
    Value,
)
from workers.render.rendering import Document, Drawn, fully
from workers.render.wire import Parcel, Wire, opened, parcel
from workers.textlayer.glyphs import TextLayer

LOGGER = logging.getLogger(__name__)

OPEN_DOCUMENTS = 4
"""Documents kept open: opening a large one again for every page would cost more than rendering it."""

RGB_BYTES = 4
"""Pillow keeps a pixel of RGB in four bytes."""

_WORN = 4
"""A process that has leaked more than a quarter of what a page may take blames no page for running out."""


TRIM_EVERY = 1.0
"""Seconds at least between two times that free memory is given back. Images and models' buffers of every size leave the
heap in pieces: without it a process of RapidOCR grew from 150 to 480 MiB over some pages and stayed there."""


class RenderProcess:
    """The state of a render process between two requests."""

    def __init__(self, start: Start) -> None:
        self._half = _load_half(start)
        self._max_pixels = start.max_page_pixels
        self._documents = OpenDocuments(start.max_page_pixels)
        self._pages: dict[int, RenderedPage] = {}
        self._memory = start.render_memory
        # Measured behind the models and libraries: a page may add `render_memory` to that, whatever the engine weighs.
        self._baseline = data_bytes()
        self._trimmed = time.monotonic()

    def answer(self, request: Request) -> Answer:
        """Never raises but for what ends the process."""
        with about(**request.about):
            return self._answer(request)

    def _answer(self, request: Request) -> Answer:
        leaked = self._limit_memory()
        try:
            return Value(self._serve(request))
        except MemoryError:
            error_type = CorruptFile if isinstance(request, Inspect) else PageRenderFailed
            error = error_type("it takes more memory than a page may take", limit=self._memory)
            return Failure(error, worn=leaked > self._memory // _WORN)
        except DocumentError as error:
            if isinstance(request, Inspect):
                return Failure(error)
            # It opened when it was split; what is wrong now is wrong with this page's reading.
            return Failure(PageRenderFailed(error.detail, limit=error.limit, actual=error.actual))
        except PagemillError as error:
            return Failure(error)
        except Exception as error:
            LOGGER.exception("a request failed in the render process")
            return Failure(_unforeseen(request, error))

    def release(self, tokens: tuple[int, ...]) -> None:
        for token in tokens:
            self._pages.pop(token, None)
        if time.monotonic() - self._trimmed >= TRIM_EVERY:
            self.rest()

    def rest(self) -> None:
        """Give back what is free: now and then, and when nothing comes for a while."""
        give_memory_back()
        self._trimmed = time.monotonic()

    def _serve(self, request: Request) -> Any:
        if isinstance(request, Inspect):
            document = self._documents.get(request.document)
            return Inspection(page_count=document.page_count, encrypted=document.encrypted)
        if isinstance(request, Call):
            page = self._rendered(request.page, self._drawn(request))
            if self._half is None:
                raise InternalError("this render pool has no page half")
            return getattr(self._half, request.method)(page, *request.args)
        raise InternalError(f"unexpected {type(request).__name__}")

    def _drawn(self, call: Call) -> Drawn:
        choose = getattr(self._half, "drawn_size", None)
        return fully if choose is None else partial(choose, call.method, call.args)

    def _rendered(self, source: PageSource, drawn: Drawn) -> RenderedPage:
        page = self._pages.get(source.token)
        if page is None or page.pixels.size not in (page.size, drawn(*page.size)):
            page = self._pages[source.token] = self._render(source, drawn)
        return page

    def _render(self, source: PageSource, drawn: Drawn) -> RenderedPage:
        begun = time.perf_counter()
        try:
            document = self._documents.get(source.document)
            rendering = document.render(source.number, source.dpi, self._max_pixels, drawn)
        except (PagemillError, MemoryError):
            raise
        except Exception as error:
            LOGGER.exception("rendering page %d failed", source.number)
            raise PageRenderFailed(f"{type(error).__name__}: {error}") from error
        return RenderedPage(
            source.number,
            rendering.pixels,
            rendering.info,
            rendering.warnings,
            time.perf_counter() - begun,
            partial(self._text_layer, source, rendering.info),
        )

    def _text_layer(self, source: PageSource, image: PageImage) -> TextLayer | None:
        # By its source: the document may have been closed since the page was rendered.
        document = self._documents.get(source.document)
        return document.text_layer(source.number, image.width, image.height)

    def _limit_memory(self) -> int:
        """Sets what the next request may allocate; returns the bytes that earlier ones have left behind.

        What the C heap keeps free counts to the limit and is the next request's to take: where the system refuses a
        block glibc extends the heap's free end. Holes before it stay counted, trimmed or not.
        """
        usage = data_bytes()
        if self._baseline is None or usage is None:
            return 0
        held = sum(page.pixels.width * page.pixels.height * RGB_BYTES for page in self._pages.values())
        limit_data(self._baseline + held + self._memory)
        return usage - self._baseline - held


class OpenDocuments:
    """The documents used last, by identity of the file and not by its path alone."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._open: OrderedDict[tuple[Source, object], Document] = OrderedDict()

    def get(self, source: Source) -> Document:
        self._close_gone()
        key = (source, _identity(source.path))
        if key not in self._open:
            while len(self._open) >= OPEN_DOCUMENTS:
                self._open.popitem(last=False)[1].close()
            self._open[key] = open_document(
                Path(source.path), source.media_type, source.password, max_pixels=self._max_pixels
            )
        self._open.move_to_end(key)
        return self._open[key]

    def _close_gone(self) -> None:
        # An open file keeps its space on the disk after the worker has deleted it.
        for key in [key for key in self._open if _identity(key[0].path) != key[1]]:
            self._open.pop(key).close()


def _identity(path: str) -> object:
    try:
        stat = Path(path).stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _load_half(start: Start) -> Any:
    if start.page_half is None:
        return None
    module, _, name = start.page_half.partition(":")
    half = getattr(import_module(module), name)(start.engine)
    half.start()
    return half


def _unforeseen(request: Request, error: Exception) -> PagemillError:
    text = f"{type(error).__name__}: {error}"
    return CorruptFile(text) if isinstance(request, Inspect) else EngineError(text)


def _start(request: Start) -> tuple[RenderProcess | None, Answer]:
    try:
        return RenderProcess(request), Value(None)
    except PagemillError as error:
        return None, Failure(error)
    except Exception as error:
        LOGGER.exception("the page half %s cannot start", request.page_half)
        return None, Failure(EngineUnavailable(f"the page half cannot start: {type(error).__name__}: {error}"))


def _packed(answer: Answer) -> Parcel:
    try:
        return parcel(answer)
    except Exception as error:
        LOGGER.exception("an answer cannot be pickled")
        return parcel(Failure(EngineError(f"the page half's result cannot be sent: {type(error).__name__}: {error}")))


def main(descriptor: int, parent: int) -> None:
    """The process: serves the socket `descriptor` until its other end closes or `parent` dies."""
    settle_in(parent)
    keep_freed_memory()
    os.set_inheritable(descriptor, False)
    faulthandler.enable()
    wire = Wire(socket.socket(fileno=descriptor))
    with closing(wire), suppress(EOFError, BrokenPipeError, ConnectionResetError):
        start: Start = opened(wire.receive())
        _begin_to_log(start)
        process, answer = _start(start)
        wire.send(_packed(answer))
        while process is not None:
            _turn(wire, process)


def _begin_to_log(start: Start) -> None:
    """As the worker does, on its stderr."""
    identify(**start.about, render=os.getpid())
    logs.set_up(start.logs, logging.WARNING)
    logging.getLogger("pypdfium2").setLevel(logging.ERROR)  # it advises to install another build on every XFA form


def _turn(wire: Wire, process: RenderProcess) -> None:
    if not wire.waits(TRIM_EVERY):
        process.rest()
    request: Request | Release = opened(wire.receive())
    if isinstance(request, Release):
        process.release(request.tokens)
    else:
        wire.send(_packed(process.answer(request)))
