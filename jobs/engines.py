"""Which engines there are, by name. What they are made of is the workers' affair (workers/engines/__init__.py)."""

from __future__ import annotations

ENGINE_NAMES: tuple[str, ...] = ("echo", "paddleocr_vl", "rapidocr")
