"""Verdicts, and the rounds that they judge, follow from the figures."""

import pytest

from tests.bench.cpu_engine import Compared
from tests.bench.goals import judged
from tests.bench.report import Scale, Spread
from tests.bench.service import share


def test_a_goal_is_judged_by_the_median_and_the_worst_round_is_told():
    found = {
        "20 pages/s": Spread((0.973, 0.99, 0.992)),
        "rendered": Spread((0.969, 0.97, 0.971)),
        "RapidOCR": Spread((0.853, 0.9375, 1.077)),
        "at once": Spread((0.9,)),
    }
    assert judged(0.97, found, ".3f") == (
        "Goal 0.97: 20 pages/s 0.990, met; rendered 0.970, met (but not in the worst round: 0.969);"
        " RapidOCR 0.938, missed by 0.032 (worst round: 0.853); at once 0.900, missed by 0.07."
    )


def test_what_is_to_be_small_is_worst_where_it_is_most():
    found = {"1 worker": Spread((0.001, 0.002, 0.003)), "2": Spread((0.0, 0.02, 0.021)), "4": Spread((0.024, 0.025))}
    assert judged(0.02, found, ".1%", at_most=True) == (
        "Goal at most 2%: 1 worker 0.2%, met; 2 2.0%, met (but not in the worst round: 2.1%);"
        " 4 2.5%, missed by 0.45% (worst round: 2.5%)."
    )


def test_a_round_of_rapidocr_is_two_turns_of_each_side(monkeypatch: pytest.MonkeyPatch):
    turns = [(10.0, 9.0), (12.0, 13.0), (10.0, 10.0), (10.0, 8.0)]
    pairs = [
        Compared(5, queue, plain, plain_cpu=4.0, rendering=5.0, worker=0.5) for queue, plain in turns
    ]  # seconds of both sides
    asked = []

    def compare(pages: list[object], text: str, count: int) -> list[Compared]:
        asked.append((text, count))
        return pairs

    monkeypatch.setattr(share, "sparse", lambda: [None] * 5)
    monkeypatch.setattr(share, "compare", compare)
    row, told = share._rapidocr(Scale(2))
    assert asked == [("ocr", 4)]
    assert row.pages == 10
    assert row.ratio.values == (1.0, 0.9)
    assert told == (
        "RapidOCR by pairs: 0.900, 1.083, 1.000, 0.800. CPU seconds a page: 1.00 in the service's render processes and"
        " 0.10 in its worker, 0.80 in the loop."
    )
