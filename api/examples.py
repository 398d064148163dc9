"""Examples for the documentation, each valid for its model (a test validates them)."""

from __future__ import annotations

from typing import Any

OPTIONS: dict[str, Any] = {
    "pages": "1-3,8-",
    "dpi": 200,
    "metadata": {"case": "2024-117"},
    "webhook": {"url": "https://example.org/hooks/pagemill"},
}
EVENT = "evt_0198c1f0a1b47c3d8e4f5a6b7c8d9e0f"

SOURCES: dict[str, Any] = {
    "sources": [{"url": "https://example.org/a.pdf"}, {"url": "s3://scans/2026/"}],
    "options": {"priority": "interactive"},
}
MANIFEST = '{"options": {"dpi": 150}}\n{"url": "s3://scans/a.pdf"}\n{"url": "https://example.org/b.pdf", "name": "B"}\n'

_COUNTS = {"total": 2, "unfinished": 1, "succeeded": 1, "partial": 0, "failed": 0, "canceled": 0}
_PAGES = {"total": 14, "pending": 4, "running": 8, "succeeded": 2, "failed": 0, "canceled": 0}

JOB: dict[str, Any] = {
    "id": "job_0198c1f0a1b27c3d8e4f5a6b7c8d9e0f",
    "state": "running",
    "sealed": True,
    "engine": "rapidocr",
    "priority": "batch",
    "options": {"pages": "1-3,8-", "dpi": 200, "figures": True},
    "metadata": {"case": "2024-117"},
    "documents": _COUNTS,
    "pages": _PAGES,
    "error": None,
    "created_at": "2026-01-31T09:30:00.120000Z",
    "started_at": "2026-01-31T09:30:00.480000Z",
    "finished_at": None,
    "expires_at": None,
}

QUEUE: dict[str, Any] = {"pages_ahead": 120, "eta_seconds": 41}

EVENTS = """retry: 2000

event: job
id: 5f0c7a2e9b1d4c68a3e7f201.9d2b6c10
data: {"id":"job_0198c1f0a1b27c3d8e4f5a6b7c8d9e0f","state":"running", …}

event: end
id: 0b7d1f3c5a9e8d2467c1b0fa.0.end
data: {"id":"job_0198c1f0a1b27c3d8e4f5a6b7c8d9e0f","state":"succeeded"}

"""

DOCUMENT: dict[str, Any] = {
    "id": "doc_0198c1f0a1b37c3d8e4f5a6b7c8d9e0f",
    "job_id": JOB["id"],
    "position": 0,
    "name": "contract.pdf",
    "origin": None,
    "media_type": "application/pdf",
    "bytes": 48213,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "state": "succeeded",
    "sealed": True,
    "source_pages": 2,
    "cached": False,
    "pages": {"total": 2, "pending": 0, "running": 0, "succeeded": 2, "failed": 0, "canceled": 0},
    "error": None,
    "created_at": "2026-01-31T09:30:00.120000Z",
    "finished_at": "2026-01-31T09:30:03.010000Z",
}

PAGE: dict[str, Any] = {
    "number": 1,
    "image": {"width": 1654, "height": 2339, "dpi": 200, "rotation": 0},
    "blocks": [
        {
            "label": "doc_title",
            "bbox": [210, 180, 1440, 260],
            "content": "Contract",
            "score": 0.98,
            "order": 0,
            "level": 1,
        }
    ],
    "engine": {"name": "rapidocr", "version": "3.4", "model": "PP-OCRv5"},
    "score": 0.97,
    "warnings": [],
    "timings": {"render": 0.05, "recognize": 1.4},
}

MARKDOWN = "# Contract\n\nBetween the parties …\n"
