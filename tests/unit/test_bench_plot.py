"""Bars as docs/benchmarks.md shows them."""

import re
from xml.etree import ElementTree as ET

from tests.bench.plane import NOBODY, plots
from tests.bench.plane.stand import Cost, Load, State
from tests.bench.plot import WIDTH, bars

SVG = "{http://www.w3.org/2000/svg}"
LONG = "1,000,000 pages that wait, the same engine"


def widths(drawn: str) -> list[float]:
    """Of the bars, without the ground."""
    rects = list(ET.fromstring(drawn).iter(f"{SVG}rect"))
    return [float(one.get("width", "")) for one in rects[1:]]


def texts(drawn: str) -> list[str]:
    return [one.text or "" for one in ET.fromstring(drawn).iter(f"{SVG}text")]


def test_bars_are_as_long_as_their_values():
    short, long = widths(bars("ms", [("few", 1.5), ("many", 3.0)], 2))
    assert long == 2 * short


def test_the_goal_is_where_a_bar_of_its_value_would_end():
    drawn = bars("ms", [("few", 2.0)], 2)
    mark = re.search(r"M([\d.]+) 26V", drawn)
    begin = re.search(r'<rect x="(\d+\.?\d*)"', drawn)
    assert mark
    assert begin
    assert float(mark[1]) == round(float(begin[1]) + widths(drawn)[0], 1)
    assert "goal 2" in texts(drawn)


def test_a_long_name_leaves_its_bar_room():
    begin = re.search(r'<rect x="(\d+\.?\d*)"', bars("ms", [(LONG, 1.0)], 1))
    assert begin
    assert 6 * len(LONG) < float(begin[1]) < WIDTH


def test_b3_draws_the_medians_of_each_load():
    few, many, large = State(100, NOBODY), State(10_000, "echo"), Load(30, 100)
    costs = {
        (few, large): [Cost(1, {"worker": cpu}, {}) for cpu in (1.0, 1.5, 9.0)],
        (many, large): [Cost(1, {"worker": 3.0}, {})],
    }
    found = plots([few, many], [large], costs)
    assert list(found) == ["b3-100.svg"]
    assert texts(found["b3-100.svg"])[1:5] == ["100, another engine", "1.50", "10,000, the same engine", "3.00"]
