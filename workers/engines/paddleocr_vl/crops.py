"""Pixels of a page -> the images that the model reads. Runs in the render process, beside the page's image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.engines.paddleocr_vl.plan import CropRequest, PagePlan

if TYPE_CHECKING:
    from PIL import Image


def cut_crop(pixels: Image.Image, request: CropRequest) -> Image.Image:
    """The image of one request, mode RGB, its size already what `smart_resize` gives within the request's bounds.

    Raises ValueError where a piece lies outside the page.
    """
    raise NotImplementedError


def cut_figures(pixels: Image.Image, plan: PagePlan) -> dict[str, bytes]:
    """The page's figures as JPEG, by the names that the plan gives them."""
    raise NotImplementedError
