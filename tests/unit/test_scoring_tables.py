"""Tables as trees, their likeness (TEDS), and the edit distance of trees below it. Values worked out by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.scoring import tables
from jobs.scoring.reading import from_html
from jobs.scoring.score import score
from jobs.scoring.tables import Cell, Table, Teds, compare, parse_tables, teds
from jobs.scoring.trees import Tree, tree_distance

SQUARE = "<table><tr><td>abcd</td><td>ef</td></tr><tr><td>gh</td><td>ij</td></tr></table>"
"""A tree of seven nodes: the table, two rows, four cells."""


def unit(a, b):
    return float(a != b)


def tree(value, *children):
    return Tree(value, children)


def test_the_example_of_zhang_and_shasha():
    """Their figure 4, distance 2: c is deleted above b and inserted above d."""
    left = tree("f", tree("d", tree("a"), tree("c", tree("b"))), tree("e"))
    right = tree("f", tree("c", tree("d", tree("a"), tree("b"))), tree("e"))
    assert tree_distance(left, right, unit) == 2


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [
        (tree("a"), tree("a"), 0),
        (tree("a"), tree("b"), 1),
        (tree("a", tree("b"), tree("c")), tree("a", tree("c"), tree("b")), 2),
        (tree("a", tree("b", tree("c"))), tree("a", tree("c")), 1),
        (tree("a"), tree("a", tree("b"), tree("c", tree("d"))), 3),
    ],
)
def test_small_trees(left, right, distance):
    assert tree_distance(left, right, unit) == distance
    assert tree_distance(right, left, unit) == distance


def only(html):
    [table] = parse_tables(html)
    return table


@pytest.mark.parametrize(
    ("read", "whole", "structure"),
    [
        (SQUARE, 1.0, 1.0),
        (SQUARE.replace("abcd", "abxd"), 1 - 0.25 / 7, 1.0),  # a quarter of a cell's text
        (SQUARE.replace("<td>ij</td>", ""), 1 - 1 / 7, 1 - 1 / 7),  # a cell less
        (SQUARE.replace("<td>ef", '<td colspan="2">ef'), 1 - 1 / 7, 1 - 1 / 7),
        (SQUARE.replace("</tr></table>", "<td>k</td></tr></table>"), 1 - 1 / 8, 1 - 1 / 8),  # of the larger tree
        ("<table></table>", 1 - 6 / 7, 1 - 6 / 7),
    ],
)
def test_teds(read, whole, structure):
    assert teds(only(SQUARE), only(read)) == pytest.approx(whole)
    assert teds(only(SQUARE), only(read), structure=True) == pytest.approx(structure)


def test_teds_agrees_with_the_published_implementation():
    """Said by table-recognition-metric 0.0.6 (PubTabNet's own code) of the same two tables."""
    truth = only('<table><tr><td rowspan="2">Name</td><td>1 2</td></tr><tr><td>ab</td></tr></table>')
    read = only("<table><tr><td>Nane</td><td>12</td></tr><tr><td>ab</td><td></td></tr></table>")
    assert teds(truth, read) == pytest.approx(2 / 3)
    assert teds(truth, read, structure=True) == pytest.approx(5 / 7)


cells = st.builds(Cell, st.text("ab ", max_size=3), st.integers(1, 2), st.integers(1, 2))
any_table = st.builds(Table, st.lists(st.lists(cells, max_size=3).map(tuple), max_size=3).map(tuple))


@settings(deadline=None)
@given(any_table, any_table)
def test_teds_is_a_likeness(a, b):
    likeness = teds(a, b)
    assert 0.0 <= likeness <= 1.0
    assert likeness == pytest.approx(teds(b, a))
    assert likeness <= teds(a, b, structure=True) + 1e-9
    assert teds(a, a) == 1.0


def test_looks_are_left_out():
    plain = "<table><tr><td>a</td></tr></table>"
    dressed = '<table class="x"><thead><tr><th><b>a</b></th></tr></thead></table>'
    assert only(dressed) == only(plain)


def test_end_tags_may_be_missing():
    assert only("<table><tr><td>a<td>b<tr><td>c") == only(
        "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>"
    )


def test_a_table_in_a_cell_is_its_text():
    table = only("<table><tr><td>a<table><tr><td>b</td><td>c</td></tr></table></td><td>d</td></tr></table>")
    assert [cell.text for cell in table.rows[0]] == ["a b c", "d"]


@pytest.mark.parametrize(("span", "counted"), [("2", 2), ("0", 1), ("-1", 1), ("x", 1), ("", 1), ("999999999", 1000)])
def test_spans(span, counted):
    assert only(f'<table><tr><td colspan="{span}">a</td></tr></table>').rows[0][0].colspan == counted


def test_tables_find_their_partners_by_their_words():
    first, second = (f"<table><tr><td>{word}</td></tr></table>" for word in ("apples", "pears"))
    found = compare(parse_tables(first + second), parse_tables(second + first))
    assert found == [Teds(1.0, 1.0), Teds(1.0, 1.0)]


def test_a_table_that_was_not_read_scores_nothing():
    found = score(from_html(SQUARE + SQUARE), from_html(SQUARE))
    assert (found.tables, found.tables_read, found.teds, found.teds_structure) == (2, 1, 0.5, 0.5)


def test_tables_too_large_to_compare_are_left_out(monkeypatch):
    monkeypatch.setattr(tables, "MOST_PAIRS", 15)
    with pytest.raises(ValueError, match="4 and 4 cells are too many to compare, limit 15 pairs"):
        teds(only(SQUARE), only(SQUARE))
    assert score(from_html(SQUARE), from_html(SQUARE)).tables == 0
