"""The modelled server's answers, what they cost, and the accounting of B6."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.bench import needs
from tests.bench.environments import why
from tests.bench.modelled import PAGE_TOKENS, Model, Reading
from tests.bench.peers import others, pages, replies, rounds
from tests.bench.peers.contender import NANNY, Command, Round, Took, check_all_read
from tests.bench.peers.drawing import MOST_PIXELS, scale
from tests.bench.peers.figures import Figures, once_started, ratios, section, speed
from tests.bench.peers.others import pinned
from tests.bench.peers.pages import Pages, _chosen
from tests.bench.peers.rounds import EVERY_ROUND, PEERS, turn
from tests.bench.peers.server import Meters
from tests.bench.peers.verdicts import FLOOR, verdict, verdicts
from tests.bench.report import NotMeasured, Scale
from workers.render.documents import fit


def data_url(format_: str, width: int, height: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, format_)
    return f"data:image/{format_.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_an_image_costs_a_token_for_each_28_pixels_square(format_: str) -> None:
    assert replies.image_size(data_url(format_, 290, 57)) == (290, 57)
    assert replies.image_tokens(data_url(format_, 290, 57)) == 11 * 3


def test_a_large_image_costs_no_more_than_the_server_looks_at() -> None:
    assert replies.image_tokens(data_url("JPEG", 1700, 2200)) == replies.MOST_IMAGE_TOKENS


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match="neither"):
        replies.image_size("data:image/gif;base64,R0lGODlhAQABAAAAACw=")


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("OCR:", "markdown"),
        ("Attached is one page. Return the front matter first.", "olmocr"),
        ("Convert this page to docling.", "doctags"),
        ("\nLayout Detection:", "layout"),
        ("\nText Recognition:", "block"),
    ],
)
def test_clients_are_told_apart_by_their_prompts(prompt: str, kind: str) -> None:
    assert replies.kind_of(prompt) == kind


def test_the_pages_of_every_client_cost_the_same() -> None:
    assert replies.reply("markdown", 7).tokens == replies.reply("doctags", 7).tokens
    mean = sum(replies.reply("olmocr", number).tokens for number in range(1, 481)) / 480
    assert mean == pytest.approx(PAGE_TOKENS, rel=0.05)


def test_a_page_of_blocks_costs_as_much_as_one_of_one_answer() -> None:
    layouts = [replies.reply("layout", number) for number in range(1, 481)]
    blocks = sum(said.text.count("<|box_start|>") for said in layouts)
    tokens = sum(said.tokens for said in layouts) + blocks * replies.BLOCK_TOKENS
    assert tokens / 480 == pytest.approx(600, rel=0.05)  # and ten images more


def test_documents_are_chosen_until_there_are_so_many_pages() -> None:
    def entry(name: str, pages: int, **more: object) -> dict[str, object]:
        usual = {"set": "public", "opens": True, "text_layer_is_gt": True, "size": [[595, 842]]}
        return {"file": name, "pages": pages, **usual, **more}

    index = [
        entry("a.pdf", 3),
        entry("b.pdf", 5),
        entry("c.pdf", 1),
        entry("scan.pdf", 1, text_layer_is_gt=False),
        entry("tall.pdf", 1, size=[[234, 14_295]]),
    ]
    assert _chosen(index, 6) == ["b.pdf", "c.pdf"]
    with pytest.raises(ValueError, match="1 pages too few"):
        _chosen(index, 10)


START = Reading(100.0, 0.0, 0.0, 0.0, 0, 0, 0)


def meters(begin: Reading, first: Reading, last: Reading, now: Reading, **answered: int) -> Meters:
    return Meters(begin, first, last, now, answered, 64, 0, [])


def test_the_engine_idles_by_the_work_that_it_was_not_asked_for() -> None:
    model = Model(pages_per_second=20.0)
    last = replace(START, at=110.0, done=model.full * 8)
    assert meters(START, START, last, last).idle_between(model) == pytest.approx(0.2)
    assert meters(START, START, START, last).idle_between(model) == 0.0


def test_what_was_asked_to_warm_up_is_no_work_of_the_round() -> None:
    model = Model(pages_per_second=20.0)
    begin, now = replace(START, done=model.full * 3), replace(START, at=120.0, done=model.full * 11)
    assert meters(begin, begin, now, now).idle(model, 10.0) == pytest.approx(0.2)


def test_the_readings_since_the_server_forgot_are_told() -> None:
    told = {
        name: str(replace(START, at=at)) for name, at in (("begin", 7.0), ("first", 8.0), ("last", 9.0), ("now", 9.5))
    }
    counts = {"answered": {"markdown": 3}, "most": 2, "image_tokens": 0, "bytes": 0, "flight": []}
    found = Meters.parse(told | counts)
    assert (found.begin.at, found.first.at, found.now.at) == (7.0, 8.0, 9.5)
    assert (found.answered, found.most) == ({"markdown": 3}, 2)


def test_a_server_that_nobody_asked_has_nothing_to_tell() -> None:
    with pytest.raises(RuntimeError, match="nothing was asked"):
        Meters.parse({"first": None})


A_COMMAND = Command("MinerU", lambda _url, _folder, _out: [], "3.4", "layout")


@pytest.mark.parametrize(
    ("answered", "texts", "said"),
    [
        ({"layout": 479, "block": 4800}, 57, "479 of 480 pages"),
        ({"markdown": 480}, 57, "0 of 480 pages"),
        ({"layout": 480, "block": 4800}, 56, "56 texts of 57 documents"),
    ],
)
def test_a_round_counts_only_where_every_page_was_read(answered: dict[str, int], texts: int, said: str) -> None:
    took, read = Took(0.0, 10.0, 1.0, 1.0, texts), meters(START, START, START, START, **answered)
    with pytest.raises(RuntimeError, match=said):
        check_all_read(A_COMMAND, Pages(Path(), 480, 57, ""), took, read)


def test_requests_for_blocks_are_no_pages() -> None:
    read = meters(START, START, START, START, layout=480, block=1)
    check_all_read(A_COMMAND, Pages(Path(), 480, 57, ""), Took(0.0, 10.0, 1.0, 1.0, 57), read)


@pytest.mark.parametrize("size", [(612.0, 792.0), (595.3, 841.9), (300.0, 400.0), (1224.0, 792.0)])
def test_the_bare_client_draws_as_large_as_pagemill(size: tuple[float, float]) -> None:
    width, height, _ = fit(*size, 144, MOST_PIXELS)
    drawn = [math.ceil(points * scale(*size)) for points in size]  # as pypdfium2 does
    assert math.prod(drawn) <= MOST_PIXELS
    assert drawn == pytest.approx([width, height], abs=1)


def test_without_the_documents_only_a_quick_run_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(needs, "TESTDATA", None)
    with pytest.raises(NotMeasured, match="shared/testdata"):
        pages.lay_out(tmp_path, 50, quick=False)
    assert pages.lay_out(tmp_path, 50, quick=True).documents == len(list(tmp_path.iterdir())) == 2


def test_cpu_of_orphans_counts_too(tmp_path: Path) -> None:
    # A grandchild that outlives its parent is nobody's but the nanny's: without adoption its time would be lost.
    burn = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nopen('done', 'w')"
    code = (
        "import subprocess, sys, os, time\n"
        f"if not os.fork(): subprocess.run([sys.executable, '-c', {burn!r}]); os._exit(0)\n"
        "while not os.path.exists('done'): time.sleep(0.01)\n"
    )
    command = [sys.executable, NANNY, "result", "60", sys.executable, "-c", code]
    subprocess.run(command, check=True, cwd=tmp_path, env={"PATH": os.environ["PATH"]})
    found = json.loads((tmp_path / "result").read_text())
    assert found["status"] == 0
    assert found["cpu"] >= 0.3


def test_what_a_command_leaves_behind_is_ended(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.Popen(['sleep', '600'], start_new_session=True); sys.exit(3)"
    began = time.monotonic()
    subprocess.run([sys.executable, NANNY, "result", "60", sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert json.loads((tmp_path / "result").read_text())["status"] == 3
    assert time.monotonic() - began < 60


def a_round(pages_per_second: float, cpu: float = 0.03, first: float = 1.0, asked: float = 0.5) -> Round:
    took = Took(0.0, 480 / pages_per_second, cpu * 480, 1.0, 480)
    return Round(pages_per_second, cpu, 0.002, 0.3, 0.1, first, asked, ((0.0, 0), (1.0, 64)), 96, took)


def a_contender(name: str) -> Command:
    return Command(name, lambda _url, _folder, _out: [], f"what {name} was given")


def test_a_ratio_is_one_of_the_same_round() -> None:
    ours, theirs = {0: a_round(10), 1: a_round(30)}, {1: a_round(40), 2: a_round(50)}
    found = ratios(ours, theirs, speed)
    assert found is not None
    assert found.values == (0.75,)
    assert ratios(ours, {}, speed) is None


def test_the_start_is_taken_off_the_bare_client_alone() -> None:
    ours, bare = {0: a_round(40, asked=3.0)}, {0: a_round(48, asked=2.0)}  # 12 and 10 s
    found = ratios(ours, bare, speed, once_started)
    assert found is not None
    assert found.values == pytest.approx((8 / 12,))


def test_every_other_round_goes_backwards_and_peers_take_part_in_the_first_ones() -> None:
    names, ours = [*EVERY_ROUND, *PEERS], [*EVERY_ROUND]
    assert [turn(names, number, 1) for number in range(3)] == [names, ours[::-1], ours]
    assert turn(names, 1, 2) == names[::-1]
    assert turn(names, 0, 0) == ours


def lacking() -> Command:
    raise NotMeasured(".venv-bench-mineru could not be made: ERROR: no route")


def nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*_: object) -> None:
        raise AssertionError("it was measured")

    for name in ("B6_ONLY", "B6_RATES", "B6_PEER_ROUNDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(rounds, "lay_out", lambda *_args, **_named: Pages(Path(), 480, 57, ""))
    monkeypatch.setattr(rounds, "environment", Path)
    monkeypatch.setattr(others, "environment", Path)
    monkeypatch.setattr(rounds, "measure", measured)


def test_nothing_is_measured_without_a_peer_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_is_measured(monkeypatch)
    monkeypatch.setitem(rounds.EVERYBODY, "mineru", lacking)
    monkeypatch.setattr(needs.shutil, "which", lambda name: None if name == "pdfinfo" else name)
    with pytest.raises(NotMeasured, match=r"olmocr: pdfinfo not found: install poppler.*mineru: .*no route.*B6_ONLY"):
        rounds.run(Scale())


def test_a_peer_that_fails_leaves_the_docs_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing_is_measured(monkeypatch)
    monkeypatch.setenv("B6_ONLY", "bare,docling")
    monkeypatch.setenv("B6_RATES", "50")

    def measured(contender: Command, *_: object) -> Round:
        if contender.name == "docling":
            raise RuntimeError("docling ended with 1:\nMemoryError")
        return a_round(40.0)

    monkeypatch.setattr(rounds, "measure", measured)
    with pytest.raises(NotMeasured, match="docling at 50 pages/s, round 1: MemoryError"):
        rounds.run(Scale(1))
    assert "| bare client | 1 | 40.0 | 1.00 |" in capsys.readouterr().out


def test_a_run_that_leaves_something_out_on_purpose_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_is_measured(monkeypatch)
    monkeypatch.setattr(rounds, "measure", lambda *_: a_round(40.0))
    monkeypatch.setattr(needs.shutil, "which", lambda name: name)
    monkeypatch.setenv("B6_PEER_ROUNDS", "2")
    assert rounds.run(Scale(2)).left_out == ""
    monkeypatch.setenv("B6_RATES", "20")
    monkeypatch.setenv("B6_ONLY", "bare,service,run")
    assert rounds.run(Scale(1)).left_out == "olmocr, docling, mineru, 50 pages/s"


def test_goals_are_judged_by_the_medians_of_the_rounds() -> None:
    ours = [a_round(30, 0.040, 1.4), a_round(38.4, 0.025, 1.4), a_round(39, 0.024, 1.5)]
    assert verdict("pagemill, service", 50.0, ours, [a_round(40, first=0.9)]) == (
        "pagemill, service: goal 35 pages/s: 38.4, met; goal 35 ms of CPU a page: 25.0, met;"
        " goal first text no later than the bare client: 1.40 against 0.90 s, missed by 0.5 s."
    )


def test_goals_that_are_missed_say_by_how_much() -> None:
    said = verdict("pagemill run", 20.0, [a_round(14.75, 0.039)], [])
    assert said == (
        "pagemill run: goal 16 pages/s: 14.8, missed by 1.2 pages/s; goal 35 ms of CPU a page: 39.0, missed by 4 ms."
    )


def test_a_goal_that_is_just_reached_is_met() -> None:
    assert "first text no later than the bare client: 1.00 against 1.00 s, met" in verdict(
        "pagemill run", 33.0, [a_round(30)], [a_round(40)]
    )


def test_every_row_of_pagemill_is_judged_and_nobody_else() -> None:
    by_name = {name: {0: a_round(20)} for name in (FLOOR, "pagemill, service", "pagemill run", "olmOCR")}
    lines = verdicts(50.0, by_name).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["- pagemill, service", "- pagemill run"]


def test_the_section_shows_everybody_and_who_was_not_measured() -> None:
    found = Figures(variables={"B6_ONLY": "bare,run,olmocr,mineru"}, not_asked=["service", "docling"])
    for number, factor in enumerate((1, 2)):
        for name, rate in ((FLOOR, 40.0), ("pagemill run", 20.0)):
            found.add(a_contender(name), Model(50), number, a_round(rate * factor))
    found.add(a_contender("olmOCR"), Model(50), 1, a_round(5.0, cpu=0.09))
    found.not_measured("mineru", "Traceback\nConnectionError: no models here.")
    shown = section(found, Pages(Path(), 480, 57, "57 PDFs"))
    assert "| pagemill run | 2 | 30.0 (20.0 to 40.0) | 0.50 (0.50 to 0.50) | 0.47 (0.46 to 0.48) |" in shown.text
    assert (
        "pagemill run against olmOCR, in the one round of both: 8.0 times the pages/s; olmOCR takes 3.0" in shown.text
    )
    assert "Set for this run: `B6_ONLY=bare,run,olmocr,mineru`. Not asked for: service, docling." in shown.text
    assert shown.left_out == "service, docling"
    assert "- olmOCR: what olmOCR was given." in shown.text
    assert "mineru: not measured: ConnectionError: no models here." in shown.text
    assert "- pagemill run: goal 35 pages/s: 30.0, missed by 5 pages/s;" in shown.text
    assert "docling 2" not in shown.text  # no version of whom did not take part
    assert set(shown.plots) == {"b6-50.svg"}


def test_a_run_with_nothing_set_says_nothing_of_it() -> None:
    found = Figures()
    found.add(a_contender(FLOOR), Model(50), 0, a_round(40.0))
    assert "Set for this run" not in section(found, Pages(Path(), 480, 57, "57 PDFs")).text


def test_why_an_environment_could_not_be_made_is_what_pip_said() -> None:
    said = "WARNING: retrying\nERROR: No matching distribution found for olmocr==0.4.27\n[notice] a new pip\n"
    error = subprocess.CalledProcessError(1, ["/somewhere/python", "-m", "pip"], stderr=said)
    assert why(error) == "ERROR: No matching distribution found for olmocr==0.4.27"
    assert why(subprocess.CalledProcessError(2, ["/somewhere/python"])) == "a command ended with 2"


def test_versions_come_from_the_requirements() -> None:
    assert pinned("openai").count(".") == 2
