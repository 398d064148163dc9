"""Sizes of images that the model takes."""

from __future__ import annotations

import pytest

from tests.golden import Case, cases
from workers.engines.paddleocr_vl.resize import PixelBounds, smart_resize


@pytest.mark.parametrize("case", cases("smart_resize"), ids=str)
def test_sizes_are_those_of_paddlex(case: Case) -> None:
    bounds = PixelBounds(case.params["min_pixels"], case.params["max_pixels"])
    height, width = case.input
    if case.raised:
        with pytest.raises(ValueError, match=f"{width} x {height}"):
            smart_resize(height, width, bounds, case.params["factor"])
    else:
        assert list(smart_resize(height, width, bounds, case.params["factor"])) == case.expected
