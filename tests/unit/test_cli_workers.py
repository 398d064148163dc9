"""What `pagemill workers` shows of rows, and that it fits a terminal of 80 columns."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from api.cli.workers import _table, short_age, state_of, worth_showing
from jobs.models import WorkerPublic, WorkerState

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def worker(number=1, **values):
    given = {
        "id": f"wrk_{number:032x}", "host": "gpu-07", "slot": "0", "pid": 7, "engine": "paddleocr_vl",
        "capacity": 256, "state": WorkerState.ALIVE, "started_at": NOW, "heartbeat_at": NOW, "detail": None,
        "pages_running": 48, "pace": 3.2, "silent_seconds": 2.0,
    }  # fmt: skip
    return WorkerPublic(**(given | values))


def lines(*rows):
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None, highlight=False)
    console.print(_table(rows, 30.0, 80))
    return out.getvalue().splitlines()


def test_a_worker_has_two_lines():
    documents = tuple(f"doc_{n:032x}" for n in range(3))
    head, first, second, total = lines(worker(documents=documents, documents_total=12))
    assert head.split() == ["host", "slot", "engine", "state", "pages", "pages/s", "heard"]
    assert first.split() == ["gpu-07", "0", "paddleocr_vl", "alive", "48/256", "3.20", "2", "s"]
    assert second.split() == [f"wrk_{1:032x}", documents[0], "+11"]
    assert total == "1 worker, 48 pages in flight, 3.20 pages/s"


def test_everything_fits_eighty_columns():
    long = worker(
        host="a-very-long-name-of-a-pod-in-some-cluster-6f7d9c", slot="up-0123456789abcdef-0", capacity=1024,
        pages_running=1024, pace=1234.5, silent_seconds=7100, drain_requested=True,
        documents=(f"doc_{7:032x}",), documents_total=1024,
    )  # fmt: skip
    reason = worker(2, state=WorkerState.STOPPED, detail="engine_unavailable: " + "words " * 40)
    shown = lines(long, reason)
    assert max(map(len, shown)) <= 80
    assert "1024/1024 1234.50" in shown[1]
    assert "a-very-long-name-o…" in shown[1]
    assert f"doc_{7:032x}" in shown[2]
    assert "".join(shown).count("words") == 40


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({}, "alive"),
        ({"drain_requested": True}, "leaving"),
        ({"state": WorkerState.DRAINING, "drain_requested": True}, "draining"),
        ({"silent_seconds": 31.0}, "silent"),
        ({"state": WorkerState.DRAINING, "silent_seconds": 31.0}, "silent"),
        ({"state": WorkerState.DEAD, "silent_seconds": 31.0}, "dead"),
        ({"state": WorkerState.STOPPED}, "stopped"),
    ],
)
def test_what_a_state_is_called(values, state):
    assert state_of(worker(**values), 30.0) == state


def test_the_dead_are_not_shown_but_for_the_last_word_of_a_slot():
    first = worker(1, state=WorkerState.STOPPED, detail="no model")
    second = worker(2, state=WorkerState.STOPPED, detail="no model either")
    elsewhere = worker(3, slot="1", state=WorkerState.STOPPED, detail="no model")
    again = worker(4, slot="1")
    dead = worker(5, slot="2", state=WorkerState.DEAD, detail="no heartbeat")
    in_order = worker(6, slot="3", state=WorkerState.STOPPED)
    assert worth_showing([first, second, elsewhere, again, dead, in_order]) == [second, again]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (121, "2 min"), (7300, "2 h"), (200_000, "2 d")]
)
def test_ages(seconds, text):
    assert short_age(seconds) == text


def test_nobody():
    assert lines() == ["no workers"]
