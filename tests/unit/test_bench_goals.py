"""The verdicts of B1 and B2 follow from the figures."""

from tests.bench.goals import judged
from tests.bench.report import Spread


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
