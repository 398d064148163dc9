"""Sizes of images that the model takes."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.golden import Case, cases
from workers.engines.paddleocr_vl.resize import MAX_ASPECT, PixelBounds, image_tokens, smart_resize


@pytest.mark.parametrize("case", cases("smart_resize"), ids=str)
def test_sizes_are_those_of_paddlex(case: Case) -> None:
    bounds = PixelBounds(case.params["min_pixels"], case.params["max_pixels"])
    height, width = case.input
    if case.raised:
        with pytest.raises(ValueError, match=f"{width} x {height}"):
            smart_resize(height, width, bounds, case.params["factor"])
    else:
        assert list(smart_resize(height, width, bounds, case.params["factor"])) == case.expected


SIDES = st.integers(1, 20_000)


@given(SIDES, SIDES, st.integers(1, 400), st.integers(1, 4000))
def test_a_size_is_one_that_the_model_takes_and_stays_as_it_is(height: int, width: int, least: int, more: int) -> None:
    # Rounding a side may halve or double it: between bounds less than four times apart there may be no size at all.
    bounds = PixelBounds(least * 784, (4 * least + more) * 784)
    assume(max(height, width) <= MAX_ASPECT * max(28, min(height, width)))
    try:
        tall, wide = smart_resize(height, width, bounds)
    except ValueError:
        # The short side was brought to 28 pixels first.
        assert min(height, width) < 28
        return
    assert tall % 28 == wide % 28 == 0
    assert min(tall, wide) >= 28
    assert tall * wide >= bounds.minimum
    if min(tall, wide) > 28:  # a side cannot be less
        assert tall * wide <= bounds.maximum
    if bounds.minimum <= tall * wide <= bounds.maximum:
        assert smart_resize(tall, wide, bounds) == (tall, wide), "the model's own processor leaves it as it is"


@pytest.mark.parametrize(
    ("size", "resized", "tokens"),
    [((24, 400), (84, 1400), 150), ((200, 600), (196, 588), 147), ((800, 1000), (812, 1008), 1044),
     ((1684, 1190), (1176, 840), 1260)],
)  # fmt: skip
def test_tokens_of_an_image(size: tuple[int, int], resized: tuple[int, int], tokens: int) -> None:
    assert smart_resize(*size) == resized
    assert image_tokens(*resized) == tokens


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (-1, 5)])
def test_an_image_without_pixels_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be resized"):
        smart_resize(*size)
