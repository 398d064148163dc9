"""Edit distance of ordered trees: K. Zhang and D. Shasha, Simple fast algorithms for the editing distance between
trees and related problems, SIAM Journal on Computing 18 (1989).

The distance is one number whatever algorithm finds it. The libraries for Python had their last release in 2017 (apted)
and 2018 (zss), know no types, and take seconds where a table's two levels below its root need a fraction of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tree(Generic[T]):
    """A node with its value and its children from left to right."""

    value: T
    children: tuple[Tree[T], ...] = ()


class _PostOrder(Generic[T]):
    """A tree's nodes in postorder: `values`, and of each the place of its leftmost leaf."""

    def __init__(self, tree: Tree[T]) -> None:
        self.values: list[T] = []
        self.leftmost: list[int] = []
        self._add(tree)
        last = {left: place for place, left in enumerate(self.leftmost)}
        self.roots = sorted(last.values())
        """Places of the root and of every node with a sibling to its left."""

    def _add(self, tree: Tree[T]) -> int:
        lefts = [self._add(child) for child in tree.children]
        left = lefts[0] if lefts else len(self.values)
        self.values.append(tree.value)
        self.leftmost.append(left)
        return left


def tree_distance(a: Tree[T], b: Tree[T], replace: Callable[[T, T], float]) -> float:
    """Least cost that turns `a` into `b`: 1 to insert or delete a node, `replace(x, y)` to change its value.

    O(|a| · |b| · depth(a) · depth(b)) at worst; recursion as deep as the trees.
    """
    left, right = _PostOrder(a), _PostOrder(b)
    distances = [[0.0] * len(right.values) for _ in left.values]
    for i in left.roots:
        for j in right.roots:
            _forests(left, right, i, j, replace, distances)
    return distances[-1][-1]


def _forests(
    a: _PostOrder[T],
    b: _PostOrder[T],
    i: int,
    j: int,
    replace: Callable[[T, T], float],
    distances: list[list[float]],
) -> None:
    """Distances of the subtrees below `i` and `j` that start at their leftmost leaves."""
    first, other = a.leftmost[i], b.leftmost[j]
    above: Sequence[float] = range(j - other + 2)
    table = [above]
    for x in range(first, i + 1):
        row = [float(x - first + 1)]
        whole = a.leftmost[x] == first
        before = table[a.leftmost[x] - first]
        for y in range(other, j + 1):
            least = min(above[y - other + 1], row[-1]) + 1.0
            if whole and b.leftmost[y] == other:
                least = min(least, above[y - other] + replace(a.values[x], b.values[y]))
                distances[x][y] = least
            else:
                least = min(least, before[b.leftmost[y] - other] + distances[x][y])
            row.append(least)
        table.append(row)
        above = row
