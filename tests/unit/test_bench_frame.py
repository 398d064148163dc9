"""The frame of the benchmarks: what is asked for, the modelled engine, and where a section goes."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time

import pytest

from tests.bench import __main__, environments, needs, report
from tests.bench.__main__ import _parser, main
from tests.bench.machine import services
from tests.bench.modelled import Model, ModelledEngine, idle_share
from tests.bench.peers import rounds as peers
from tests.bench.rendering import run as rendering
from tests.bench.report import NotMeasured, Scale, Section, Spread
from tests.bench.service import share


def test_three_rounds_unless_another_number_is_asked_for():
    assert _parser().parse_args([]).rounds == 3
    assert _parser().parse_args(["--rounds", "5", "B1"]).rounds == 5


def test_a_full_batch_does_all_the_work_and_half_a_batch_more_than_half():
    model = Model(pages_per_second=20, sequences=64, slow=1.6)
    assert 64 * model.speed(64) == pytest.approx(model.full)
    assert model.full / 2 < 32 * model.speed(32) < model.full


def test_requests_wait_in_line_and_their_work_is_accounted_for():
    async def read():
        engine = ModelledEngine(Model(pages_per_second=1000, sequences=2, slow=1.0))
        before, ended = engine.read(), []

        async def run(name, work):
            await engine.run(work)
            ended.append(name)

        work = engine.model.full / 100
        await asyncio.gather(run("a", work), run("b", 2 * work), run("c", work), run("d", work))
        after = engine.read()
        assert after.done - before.done == pytest.approx(5 * work)
        assert (after.ended, after.running, after.waiting) == (4, 0, 0)
        assert idle_share(engine.model, before, after) < 1
        return ended

    assert asyncio.run(read())[0] == "a"


def test_a_loop_that_is_busy_makes_no_request_run_beyond_its_end():
    """Else late timers would count as work, and the engine would seem the busier the slower what feeds it is."""

    async def read():
        engine = ModelledEngine(Model(pages_per_second=1000, sequences=2, slow=1.0))
        work = engine.model.full / 100
        before = engine.read()
        reading = [asyncio.create_task(engine.run(work)) for _ in range(3)]  # 30 ms for two at once
        await asyncio.sleep(0)
        time.sleep(0.1)
        await asyncio.gather(*reading)
        after = engine.read()
        assert after.done - before.done == pytest.approx(3 * work)
        assert after.empty - before.empty >= 0.06

    asyncio.run(read())


def test_a_request_that_is_cancelled_leaves_its_place_to_the_next():
    async def read():
        engine = ModelledEngine(Model(pages_per_second=1000, sequences=1, slow=1.0))
        endless = asyncio.create_task(engine.run(float("inf")))
        await asyncio.sleep(0)
        behind = asyncio.create_task(engine.run(1.0))
        await asyncio.sleep(0)
        endless.cancel()
        await behind

    asyncio.run(read())


def test_a_run_replaces_its_own_section_and_nothing_else(tmp_path, monkeypatch):
    page = tmp_path / "benchmarks.md"
    page.write_text("by hand\n<!-- B1 -->\nold\n<!-- /B1 -->\n<!-- B2 -->\nother\n<!-- /B2 -->\n")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "PLOTS", tmp_path / "bench")
    report.write("B1", "one machine\nload 0.1", Section(r"new \1", {"b1.svg": "<svg/>"}))
    text = page.read_text()
    assert "old" not in text
    assert r"new \1" in text
    assert "`make bench ONLY=B1`; one machine; load 0.1." in text
    assert text.startswith("by hand\n")
    assert text.endswith("<!-- B2 -->\nother\n<!-- /B2 -->\n")
    assert (tmp_path / "bench" / "b1.svg").read_text() == "<svg/>"
    with pytest.raises(ValueError, match="no place for B9"):
        report.write("B9", "", Section(""))


def test_what_cannot_be_measured_says_so_and_the_others_come_all_the_same(monkeypatch, capsys):
    def lacking(scale):
        raise NotMeasured("no pages here")

    def broken(scale):
        raise ZeroDivisionError

    written = []
    found = {"B1": lacking, "B2": broken, "B3": lambda scale: Section("three")}
    monkeypatch.setattr(__main__, "SECTIONS", found)
    monkeypatch.setattr(__main__, "write", lambda name, machine, section: written.append(name))
    assert main(["B1", "B2", "B3"]) == 1
    assert written == ["B3"]
    told = capsys.readouterr()
    assert "B1 was not measured: no pages here" in told.out
    assert "three" in told.out
    assert "ZeroDivisionError" in told.err


def test_what_was_left_out_on_purpose_is_shown_and_not_written(monkeypatch, capsys):
    written = []
    monkeypatch.setattr(__main__, "SECTIONS", {"B6": lambda scale: Section("six", left_out="docling")})
    monkeypatch.setattr(__main__, "write", lambda name, machine, section: written.append(name))
    assert main(["B6"]) == 0
    assert not written
    assert "six\n\nB6 is not written to the docs: this run left out docling." in capsys.readouterr().out


def test_what_was_not_measured_is_said_again_at_the_end(monkeypatch, capsys):
    def lacking(scale):
        raise NotMeasured("install poppler-utils")

    monkeypatch.setattr(__main__, "SECTIONS", {"B5": lacking, "B6": lambda scale: Section("six", left_out="docling")})
    assert main(["B5", "B6"]) == 1
    assert capsys.readouterr().out.endswith("docling.\n\nB5 was not measured: install poppler-utils\n")


def test_nothing_is_measured_where_documents_are_missing(monkeypatch):
    monkeypatch.setattr(needs, "TESTDATA", None)
    for run in (share.run, rendering.run, peers.run):
        with pytest.raises(NotMeasured, match="shared/testdata"):
            run(Scale())


def test_nothing_is_measured_where_vllm_is_missing(monkeypatch, tmp_path):
    def measured(*_):
        raise AssertionError("it was measured")

    monkeypatch.setattr(needs, "TESTDATA", tmp_path)
    monkeypatch.setattr(share, "VLLM", tmp_path / ".venv-vllm")
    monkeypatch.setattr(share, "_rapidocr", measured)
    with pytest.raises(NotMeasured, match=r"make \.venv-vllm/\.installed"):
        share.run(Scale())


def test_an_environment_that_cannot_be_made_says_why(monkeypatch, tmp_path):
    def refused(command, **_):
        raise subprocess.CalledProcessError(1, command, stderr="ERROR: No matching distribution\n[notice] a new pip")

    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments.subprocess, "run", refused)
    with pytest.raises(NotMeasured, match=r"^\.venv-bench-openai could not be made: ERROR: No matching distribution$"):
        environments.environment("openai")


def test_the_services_tell_their_versions():
    assert re.fullmatch(r"PostgreSQL 18\.\d+, Valkey \d+\.\d+\.\d+", ", ".join(services()))


def test_a_spread_tells_the_median_and_both_ends():
    assert f"{Spread((3.0, 1.0, 2.0)):.1f}" == "2.0 (1.0 to 3.0)"
    assert f"{Spread((3.0,)):.1f}" == "3.0"
