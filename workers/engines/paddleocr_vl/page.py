"""The page half of PaddleOCR-VL, in a render process: the layout model's input, then crops and figures.

What crosses to the engine: 1.9 MB for the layout, then crops that are already cut, resized and packed. The geometry of
the layout (thresholds, suppression, polygons) is worked out here too, so that the engine's loop is free to feed the
model. The page's image itself never leaves.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.errors import EngineError
from jobs.options import VlOptions
from jobs.results import PageImage
from jobs.settings import EngineSettings
from workers.engines.base import RenderedPage
from workers.engines.paddleocr_vl.backends.base import PackedCrop, Packing
from workers.engines.paddleocr_vl.backends.packing import pack
from workers.engines.paddleocr_vl.crops import cut_crop, cut_figures, drawn_size
from workers.engines.paddleocr_vl.detections import Detections
from workers.engines.paddleocr_vl.layout_boxes import regions_of
from workers.engines.paddleocr_vl.plan import PagePlan, plan_page, plan_whole_page
from workers.engines.paddleocr_vl.versions import LAYOUT_SIZE, VERSIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


@dataclass(frozen=True, slots=True)
class LayoutInput:
    """What the layout model sees of a page."""

    pixels: NDArray[np.uint8]
    """(800, 800, 3), RGB."""
    width: int
    height: int
    """Of the page, in pixels."""


@dataclass(frozen=True, slots=True)
class Cut:
    """All that is left of a page's image: what to read, what to keep, what is known of it."""

    plan: PagePlan
    crops: tuple[PackedCrop, ...]
    """In the order of `plan.requests`."""
    figures: dict[str, bytes]
    image: PageImage
    warnings: tuple[Any, ...]
    seconds: dict[str, float]


class PaddleOcrVlPageHalf:
    """One instance per render process; holds no model."""

    def __init__(self, settings: EngineSettings) -> None:
        self._version = VERSIONS[settings.vl_version]
        self._packing: Packing = "rgb" if settings.vl_backend == "vllm" else settings.openai_image

    def start(self) -> None:
        """Import what a page needs, so that the first one does not wait for it."""
        import cv2

        cv2.setNumThreads(1)  # render processes share the cores; none takes them all for one page

    def drawn_size(self, method: str, args: tuple[Any, ...], width: int, height: int) -> tuple[int, int]:
        """A page that is one crop is drawn at the crop's size: see `crops.drawn_size`."""
        if method != "cut_whole":
            return width, height
        options: VlOptions = args[0]
        return drawn_size(plan_whole_page(number=1, width=width, height=height, options=options).requests[0])

    def layout_input(self, rendered: RenderedPage) -> LayoutInput:
        """The page at 800 x 800, whatever its aspect: what PaddleX gives the layout model (reference, section 1)."""
        import cv2

        pixels = np.asarray(rendered.pixels)
        small = cv2.resize(pixels, LAYOUT_SIZE, interpolation=cv2.INTER_CUBIC)
        return LayoutInput(np.ascontiguousarray(small, np.uint8), rendered.pixels.width, rendered.pixels.height)

    def cut(self, rendered: RenderedPage, found: Detections, options: VlOptions, figures: bool) -> Cut:
        """Crops and figures of a page whose layout is known."""
        begun = time.perf_counter()
        width, height = rendered.pixels.size
        masks = found.masks if self._version.polygons and options.polygons else None
        regions = regions_of(found.rows(width, height), width=width, height=height, version=self._version, masks=masks)
        plan = plan_page(regions, number=rendered.number, width=width, height=height, options=options, figures=figures)
        return self._cut(rendered, plan, begun)

    def cut_whole(self, rendered: RenderedPage, options: VlOptions) -> Cut:
        """The page as one crop (layout `none`)."""
        begun = time.perf_counter()
        width, height = rendered.size
        plan = plan_whole_page(number=rendered.number, width=width, height=height, options=options)
        return self._cut(rendered, plan, begun)

    def _cut(self, rendered: RenderedPage, plan: PagePlan, begun: float) -> Cut:
        crops = tuple(pack(self._crop(rendered, plan, index), self._packing) for index in range(len(plan.requests)))
        figures = cut_figures(rendered.pixels, plan)
        seconds = {"render": rendered.render_seconds, "cut": time.perf_counter() - begun}
        return Cut(plan, crops, figures, rendered.info, rendered.warnings, seconds)

    def _crop(self, rendered: RenderedPage, plan: PagePlan, index: int) -> Image.Image:
        if rendered.pixels.size != rendered.size:
            return rendered.pixels  # drawn as the crop
        try:
            return cut_crop(rendered.pixels, plan.requests[index])
        except ValueError as error:
            raise EngineError(f"crop {index} of page {plan.number} cannot be cut: {error}") from error
