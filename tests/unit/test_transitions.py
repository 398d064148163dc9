"""The tables of moves, how parents end, and that docs/states.md draws and names what there is."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.models import (
    FINAL,
    PAGE_FINAL,
    PAGE_TRANSITIONS,
    TRANSITIONS,
    PageState,
    State,
    WorkerState,
    close_state,
)

ROOT = Path(__file__).resolve().parents[2]
STATES = (ROOT / "docs" / "states.md").read_text()
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
CLAIMING = [*(ROOT / "docs" / f"{name}.md" for name in ("states", "failures", "reliability", "vllm")), *DECISIONS]
"""Pages whose claims name the code and the tests that show them."""

_MOVE = re.compile(r"^ +(\S+) --> ([^\s:]+)", re.MULTILINE)
_NAMED = re.compile(r"`((?:tests|jobs|workers|api)/[\w/]+\.py)(?:::(\w+))?`")


def drawn(heading):
    """The moves of the diagram under a heading: {(from, to)}, [*] included."""
    section = STATES.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    [diagram] = re.findall(r"```mermaid\n(.*?)```", section, re.DOTALL)
    return set(_MOVE.findall(diagram))


def between_states(moves):
    return {move for move in moves if "[*]" not in move}


@pytest.mark.parametrize(
    ("heading", "table", "first"),
    [
        ("Jobs and documents", TRANSITIONS, {State.QUEUED}),
        ("Pages", PAGE_TRANSITIONS, {PageState.PENDING, PageState.SUCCEEDED}),  # read, or copied
    ],
)
def test_what_is_drawn_is_what_is_allowed(heading, table, first):
    moves = drawn(heading)
    assert between_states(moves) == {(a.value, b.value) for a, targets in table.items() for b in targets}
    assert {b for a, b in moves if a == "[*]"} == first


def test_drawn_workers_are_the_workers_there_are():
    moves = drawn("Workers")
    assert {state for move in between_states(moves) for state in move} == {state.value for state in WorkerState}
    assert {a for a, b in moves if b == "[*]"} == {"stopped", "dead"}
    assert not [move for move in between_states(moves) if move[0] in ("stopped", "dead")]


@pytest.mark.parametrize("table", [TRANSITIONS, PAGE_TRANSITIONS])
def test_tables_are_complete_and_no_state_moves_to_itself(table):
    kind = type(next(iter(table)))
    assert set(table) == set(kind)
    assert not [state for state, targets in table.items() if state in targets]
    first = next(iter(kind))
    reached, seen = {first}, set()
    while reached - seen:
        state = (reached - seen).pop()
        seen.add(state)
        reached |= table[state]
    assert reached == set(kind)


def test_final_states_are_those_that_only_a_retry_leaves():
    assert {s for s, targets in TRANSITIONS.items() if targets <= {State.RUNNING}} - {State.QUEUED} == FINAL
    assert {s for s, targets in PAGE_TRANSITIONS.items() if targets <= {PageState.PENDING}} == PAGE_FINAL


def test_canceled_is_for_ever():
    assert not TRANSITIONS[State.CANCELED]
    assert not PAGE_TRANSITIONS[PageState.CANCELED]


# --- how parents end


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ((0, 0, 0), State.SUCCEEDED),
        ((3, 0, 0), State.SUCCEEDED),
        ((2, 1, 0), State.PARTIAL),
        ((0, 1, 0), State.FAILED),
        ((2, 0, 1), State.CANCELED),
        ((0, 1, 1), State.CANCELED),
    ],
)
def test_parents_end_as_their_children_did(counts, state):
    assert close_state(*counts) is state


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.booleans())
def test_the_end_of_a_parent_is_final_and_says_what_the_words_say(succeeded, failed, canceled, was_canceled):
    state = close_state(succeeded, failed, canceled, was_canceled=was_canceled)
    assert state in FINAL
    assert (state is State.CANCELED) == (was_canceled or canceled > 0)
    if state is State.PARTIAL:
        assert succeeded
        assert failed
    if state is State.FAILED:
        assert not succeeded


# --- what the pages say exists


@cache
def names(path):
    """Everything defined at the top of a file, and methods of its classes."""
    tree = ast.parse((ROOT / path).read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize("page", CLAIMING, ids=lambda path: path.name)
def test_every_file_function_and_test_that_a_page_names_exists(page):
    named = _NAMED.findall(page.read_text())
    assert named
    missing = [f"{path}::{name}" for path, name in named
               if not (ROOT / path).is_file() or (name and name not in names(path))]  # fmt: skip
    assert missing == []


def test_every_rule_of_the_protocol_names_its_tests():
    rows = [line.split("|")[1:-1] for line in STATES.splitlines() if re.match(r"\| \d+ ", line)]
    assert {int(row[0].split()[0]) for row in rows} == set(range(1, 13))
    without = {int(row[0].split()[0]) for row in rows if "::test_" not in row[3]}
    assert without == set()


def test_every_death_names_its_test():
    lines = (ROOT / "docs" / "failures.md").read_text().splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("| ")][1:]
    assert len(rows) > 20
    assert [row[0].strip() for row in rows if len(row) != 4 or not _NAMED.search(row[3])] == []
