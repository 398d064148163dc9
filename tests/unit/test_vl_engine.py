"""What the engine decides before anything is read."""

from __future__ import annotations

import os

import pytest

from jobs.errors import EngineUnavailable
from jobs.settings import EngineSettings
from workers.engines.paddleocr_vl.engine import PaddleOcrVlEngine


def engine(**settings: object) -> PaddleOcrVlEngine:
    """One that loads nothing."""
    given = {"vl_backend": "openai", "vl_layout_model": "none"} | settings
    return PaddleOcrVlEngine(EngineSettings.model_validate(given))


@pytest.fixture
def no_card_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "taken back when the test ends")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")


@pytest.mark.usefixtures("no_card_given")
def test_a_worker_for_the_second_card_does_not_sit_on_the_first() -> None:
    """vLLM and the layout model both take the first card that they see."""
    engine(device="1").start()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"


@pytest.mark.usefixtures("no_card_given")
def test_without_a_card_none_is_hidden() -> None:
    engine(device="cpu").start()
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_card_that_was_given_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Kubernetes and Slurm do: the worker's card is the first that it sees, whatever its number elsewhere."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5a")
    engine(device="1").start()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-5a"


@pytest.mark.parametrize("bounds", [{"vl_min_pixels": 2_000_000}, {"vl_min_pixels": 60_000, "vl_max_pixels": 50_000}])
def test_bounds_that_leave_nothing_are_no_start(bounds: dict[str, int]) -> None:
    """Every page failed for them, for good, one by one."""
    with pytest.raises(EngineUnavailable) as raised:
        engine(**bounds).start()
    assert raised.value.where == "PAGEMILL_VL_MIN_PIXELS"
