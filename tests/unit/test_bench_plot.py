"""Bars as docs/benchmarks.md shows them."""

import re
from xml.etree import ElementTree as ET

from tests.bench.plane import NOBODY, plots
from tests.bench.plane.stand import Cost, Load, State
from tests.bench.plot import WIDTH, bars
from tests.bench.rendering import run as rendering
from tests.bench.report import Spread

SVG = "{http://www.w3.org/2000/svg}"
LONG = "1,000,000 pages that wait, the same engine"


def widths(drawn: str) -> list[float]:
    """Of the bars, without the ground."""
    rects = list(ET.fromstring(drawn).iter(f"{SVG}rect"))
    return [float(one.get("width", "")) for one in rects[1:]]


def texts(drawn: str) -> list[str]:
    return [one.text or "" for one in ET.fromstring(drawn).iter(f"{SVG}text")]


def of(*rounds: float) -> Spread:
    return Spread(rounds)


def test_bars_are_as_long_as_their_values():
    short, long = widths(bars("ms", [("few", of(1.5)), ("many", of(3.0))], 2))
    assert long == 2 * short


def test_the_goal_is_where_a_bar_of_its_value_would_end():
    drawn = bars("ms", [("few", of(2.0))], 2)
    mark = re.search(r"M([\d.]+) 26V", drawn)
    begin = re.search(r'<rect x="(\d+\.?\d*)"', drawn)
    assert mark
    assert begin
    assert float(mark[1]) == round(float(begin[1]) + widths(drawn)[0], 1)
    assert "goal 2" in texts(drawn)


def test_a_long_name_leaves_its_bar_room():
    begin = re.search(r'<rect x="(\d+\.?\d*)"', bars("ms", [(LONG, of(1.0))], 1))
    assert begin
    assert 6 * len(LONG) < float(begin[1]) < WIDTH


def test_a_line_over_a_bar_goes_from_the_least_to_the_most_of_the_rounds():
    drawn = bars("ms", [("few", of(1.0, 2.0, 4.0))], 2)
    found = re.search(r"M([\d.]+) \d+H([\d.]+)M", drawn)
    begin = re.search(r'<rect x="(\d+\.?\d*)"', drawn)
    assert found
    assert begin
    least, most = (float(end) - float(begin[1]) for end in found.groups())
    [median] = widths(drawn)
    assert (round(median / least, 2), round(most / median, 2)) == (2, 2)


def test_what_is_written_is_text():
    assert "a < b & c" in texts(bars("ms", [("a < b & c", of(1.0))], 1))


def test_b3_draws_the_rows_of_each_load_and_its_goal():
    few, many = State(100, NOBODY), State(10_000, "echo")
    costs = {
        (few, large := Load(30, 100)): [Cost(1, {"worker": cpu}, {}) for cpu in (1.0, 1.5, 9.0)],
        (many, large): [Cost(1, {"worker": 3.0}, {})],
        (few, small := Load(600, 1)): [Cost(1, {"worker": 5.0}, {})],
        (many, small): [Cost(1, {"worker": 6.5}, {})],
    }
    found = plots([few, many], [large, small], costs)
    assert list(found) == ["b3-100.svg", "b3-1.svg"]
    rows = ["100, another engine", "1.50", "10,000, the same engine", "3.00", "goal 2"]
    assert texts(found["b3-100.svg"])[1:] == rows
    assert texts(found["b3-1.svg"])[1:] == [rows[0], "5.00", rows[2], "6.50", "goal 6"]


def test_b5_draws_the_ratio_to_each_other_renderer():
    row = rendering.Row()
    for side, seconds in (("pagemill", 1.0), ("pdftoppm", 3.0), ("PyMuPDF", 0.5)):
        row.take(side, 10, seconds, 1.0)
    [(file, drawn)] = rendering.plots({("scans", 144): row}).items()
    assert file in rendering.shown()
    assert texts(drawn)[1:] == ["scans, 144 dpi ÷ pdftoppm", "3.00", "scans, 144 dpi ÷ PyMuPDF", "0.50", "the same: 1"]
