"""What benchmarks B1 and B2 take from the meters of modelled engines and from /metrics."""

import asyncio

import pytest

from tests.bench.modelled import Model, ModelledEngine, Reading
from tests.bench.service.stretch import Account, at, filled, first_in, idle, load

MODEL = Model(pages_per_second=10, sequences=4)


def reading(time: float, done: float = 0.0, empty: float = 0.0, running: int = 0) -> Reading:
    return Reading(time, done, empty, 0.0, 0, running, 0)


def test_the_line_that_is_being_written_is_left_out(tmp_path):
    path = tmp_path / "readings"
    assert load(path) == []
    path.write_text(f"{reading(1.0)}\n{reading(2.0)}\n3.0 17")
    assert [one.at for one in load(path)] == [1.0, 2.0]
    assert [one.at for one in load(path, start=len(f"{reading(1.0)}\n"))] == [2.0]


def test_the_first_page_came_in_when_the_engine_ceased_to_be_empty():
    # Empty until 10.13, as the meter of 10.15 says; the page before 9.9 is another round's.
    readings = [
        reading(9.8, 5.0, 1.0, running=1), reading(9.9, 9.0, 1.0), reading(10.0, 9.0, 1.1), reading(10.1, 9.0, 1.2),
        reading(10.15, 9.4, 1.23, running=2),
    ]  # fmt: skip
    assert first_in(readings, 9.9) == pytest.approx(10.13)
    assert first_in(readings[:-1], 9.9) is None


def test_between_two_readings_all_goes_on_evenly():
    readings = [reading(1.0, 10.0), reading(2.0, 30.0), reading(3.0, 30.0)]
    assert at(readings, 1.25).done == pytest.approx(15.0)
    assert at(readings, 2.0) == readings[1]
    assert at(readings, 0.5) == readings[0]
    assert at(readings, 9.0) == readings[-1]


def test_a_batch_of_half_the_time_is_half_idle():
    full = MODEL.full
    # Two seconds with one request of four, whose speed the model tells; then two with a full batch.
    alone = MODEL.speed(1)
    readings = [
        reading(0.0, running=1), reading(2.0, 2 * alone, running=4), reading(4.0, 2 * alone + 2 * full, running=4)
    ]  # fmt: skip
    found = idle(MODEL, readings, 0.0, 4.0)
    assert filled(readings, MODEL, 0.0) == 2.0
    assert found.share == pytest.approx((1 - alone / full) / 2)
    assert found.ramp == pytest.approx(found.share)
    assert found.empty == 0.0


def test_a_batch_that_is_never_full_is_all_ramp():
    readings = [reading(0.0), reading(1.0, empty=1.0), reading(2.0, MODEL.full / 2, 1.0, running=3)]
    found = idle(MODEL, readings, 0.0, 2.0)
    assert found.share == pytest.approx(0.75)
    assert found.ramp == pytest.approx(0.75)
    assert found.empty == pytest.approx(0.5)


def test_a_real_engine_that_has_more_than_it_can_run_is_not_idle():
    async def feed() -> tuple[Reading, Reading]:
        engine = ModelledEngine(Model(pages_per_second=200, sequences=4))
        tasks = [asyncio.create_task(engine.run(775.0)) for _ in range(40)]
        await asyncio.sleep(0)
        before = engine.read()
        await asyncio.gather(*tasks[:8])
        after = engine.read()
        await asyncio.gather(*tasks)
        return before, after

    before, after = asyncio.run(feed())
    found = idle(Model(pages_per_second=200, sequences=4), [before, after], before.at, after.at)
    assert found.share == pytest.approx(0.0, abs=1e-9)
    assert found.mean == pytest.approx(4.0)


SCRAPED = """\
# HELP pagemill_engine_seconds_total Seconds by what the engine does
# TYPE pagemill_engine_seconds_total counter
pagemill_engine_seconds_total{state="busy"} 10.0
pagemill_engine_seconds_total{state="no_input"} 4.5
pagemill_engine_seconds_total{state="claiming"} 0.0
pagemill_engine_page_seconds_total 640.0
pagemill_worker_held_pages{place="engine"} 64.0
"""


def test_the_workers_account_is_told_as_shares_of_the_time_between_two_scrapes():
    before = Account.parse(SCRAPED)
    after = Account.parse(SCRAPED.replace('"busy"} 10.0', '"busy"} 13.0').replace('"claiming"} 0.0', '"claiming"} 1.0')
                          .replace("640.0", "896.0"))  # fmt: skip
    assert after.since(before) == {"busy": pytest.approx(0.75), "claiming": pytest.approx(0.25)}
    assert after.inside_since(before) == pytest.approx(64.0)
