"""`python -m workers.trial`: start the engine of the PAGEMILL_… settings, read one page, and say how it went.

It takes no work, no slot and no row: `pagemill doctor --engine-start` runs it beside workers. Exit status 0 with a
sentence on stdout, 1 with the reason as the last line on stderr.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from jobs.errors import EngineUnavailable, PagemillError
from jobs.options import PageOptions
from jobs.results import PageResult
from jobs.settings import EngineSettings, LimitSettings, load
from workers.engines import build_engine
from workers.engines.base import Engine
from workers.loop import EngineLoop
from workers.render.pool import PoolPage, RenderPool

_CONTENT = b"BT /F1 24 Tf 40 120 Td (pagemill reads this line) Tj ET"
_OBJECTS = (
    b"<< /Type /Catalog /Pages 2 0 R >>",
    b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
    b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 200] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
    b"<< /Length %d >>\nstream\n%s\nendstream" % (len(_CONTENT), _CONTENT),
    b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
)


def page_to_read() -> bytes:
    """A PDF of one page with one line of text."""
    out, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(_OBJECTS, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start, count = len(out), len(_OBJECTS) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n" % count
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, start)
    return bytes(out)


class TrialPage:
    """A `PageHandle` over a render pool, with no document behind it."""

    document_id = "doc_trial"
    number = 1

    def __init__(self, page: PoolPage | None, options: PageOptions) -> None:
        self._page = page
        self.options = options

    async def call(self, method: str, *args: Any) -> Any:
        if self._page is None:
            raise EngineUnavailable("the engine asks for an image and has no half that renders")
        return await self._page.call(method, *args)

    async def forget(self) -> None:
        if self._page is not None:
            await self._page.release()

    def spend(self, tokens_in: int, tokens_out: int) -> None:
        """Nobody is charged for a trial."""


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        sys.stdout.write(_read() + "\n")
    except PagemillError as error:
        sys.stderr.write(f"{error.code}: {' '.join(str(error).split())}\n")
        return 1
    except Exception as error:  # noqa: BLE001 - the edge of foreign code, as where a worker starts its engine
        sys.stderr.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
        return 1
    return 0


def _read() -> str:
    """Engine up, one page, engine down. Raises PagemillError, and what the engine's libraries raise."""
    settings, limits = load(EngineSettings), load(LimitSettings)
    engine, loop = build_engine(settings), EngineLoop()
    begun = time.monotonic()
    loop.start()
    try:
        engine.start()
        loop.run(engine.warm_up())
        started = time.monotonic()
        result = _result(engine, loop, settings, limits)
    finally:
        engine.close()
        loop.stop()
    text = " ".join(block.content for block in result.blocks)
    if not text.strip():
        raise EngineUnavailable(f"{settings.name} started and found no text on a page with a line of it")
    took = time.monotonic() - started
    model = f"{result.engine.name} {result.engine.version}, {result.engine.model}"
    return f"{model}: started in {started - begun:.1f} s, read {text[:60]!r} in {took:.1f} s"


def _result(engine: Engine, loop: EngineLoop, settings: EngineSettings, limits: LimitSettings) -> PageResult:
    # The page's own text would be quicker than the model, and say nothing about it.
    options = PageOptions(text="ocr")
    pool = None if engine.page_half is None else RenderPool(1, engine.page_half, settings.without_secrets(), limits)
    try:
        with tempfile.TemporaryDirectory(prefix="pagemill-trial-") as folder:
            path = Path(folder) / "page.pdf"
            path.write_bytes(page_to_read())
            page = None
            if pool is not None:
                pool.start()
                page = pool.page(path, "application/pdf", 1, options, engine.default_dpi)
            handle = TrialPage(page, options)
            output = loop.run(engine.recognize(handle))
            loop.run(handle.forget())
            return output.result
    finally:
        if pool is not None:
            pool.close()


if __name__ == "__main__":
    sys.exit(main())
