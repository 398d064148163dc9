"""A page half that asks for text layers, for the tests of the render pool. It runs in its render processes."""

from __future__ import annotations

from jobs.settings import EngineSettings
from workers.engines.base import RenderedPage


class Layers:
    def __init__(self, _settings: EngineSettings) -> None: ...

    def start(self) -> None: ...

    def size(self, page: RenderedPage) -> tuple[int, int]:
        return page.pixels.size

    def text(self, page: RenderedPage) -> str | None:
        """The layer's characters as they come; None where there is no layer."""
        layer = page.text_layer()
        return None if layer is None else "".join(glyph.text for glyph in layer.glyphs)

    def count(self, page: RenderedPage) -> int:
        layer = page.text_layer()
        assert layer is not None
        return layer.size
