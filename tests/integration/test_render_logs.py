"""Render processes log as their worker does, and say what their lines are about."""

from __future__ import annotations

import asyncio
import json

import pytest

from jobs import logs
from jobs.context import about
from jobs.errors import EngineError
from jobs.options import PageOptions
from jobs.settings import EngineSettings, LimitSettings, LogSettings
from tests import hostile_files as files
from workers.render.pool import RenderPool

IDS = {"job": "job_1", "document": "doc_1", "page": 1, "attempt": 2, "worker": "wrk_1"}


def test_a_bug_in_a_render_process_is_a_line_about_its_page(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(logs, "_chosen", LogSettings(log_format="json"))
    path = tmp_path / "a.pdf"
    path.write_bytes(files.pdf())
    pool = RenderPool(1, "tests.page_halves:Faulty", EngineSettings(), LimitSettings())
    pool.start()
    try:
        page = pool.page(path, "application/pdf", 1, PageOptions(), 72)

        async def fail():
            with about(**IDS):
                await page.call("raise_value_error")

        with pytest.raises(EngineError):
            asyncio.run(fail())
    finally:
        pool.close()
    [line] = [json.loads(line) for line in capfd.readouterr().err.split("\n") if line]
    assert line.items() >= {**IDS, "level": "error", "error": "ValueError"}.items()
    assert "no such thing" in line["traceback"]
    assert line["render"] > 0
