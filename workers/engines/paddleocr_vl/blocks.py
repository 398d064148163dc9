"""A plan and the model's answers -> the page's result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.options import VlOptions
from jobs.results import EngineInfo, PageImage, PageResult, Warning_
from workers.engines.paddleocr_vl.plan import PagePlan


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said to one crop."""

    text: str = ""
    truncated: bool = False
    """It was cut at the limit of tokens: the content is kept, the page gets the warning `output_truncated`."""
    error: str | None = None
    """Why the crop could not be read, where it could not; the block stays, empty, with the warning `block_unread`."""


def assemble_page(
    plan: PagePlan,
    answers: Sequence[Answer],
    *,
    image: PageImage,
    engine: EngineInfo,
    options: VlOptions,
    warnings: Sequence[Warning_] = (),
    timings: Mapping[str, float] | None = None,
) -> PageResult:
    """The page's result. `answers` are in the order of `plan.requests`; raises ValueError where one is missing.

    `warnings` are those that rendering gave; `timings` seconds by step.
    """
    raise NotImplementedError
