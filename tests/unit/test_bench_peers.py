"""The modelled server's answers, what they cost, and the accounting of B6."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.bench.modelled import PAGE_TOKENS, Model, Reading
from tests.bench.peers import replies
from tests.bench.peers.contender import NANNY, Round, Took
from tests.bench.peers.figures import FLOOR, Figures, pinned, ratios, section
from tests.bench.peers.pages import Pages, _chosen
from tests.bench.peers.server import Meters


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


def test_the_engine_idles_by_the_work_that_it_was_not_asked_for() -> None:
    model = Model(pages_per_second=20.0)
    first = Reading(100.0, 0.0, 0.0, 0.0, 0, 0, 0)
    last = replace(first, at=110.0, done=model.full * 8)
    assert Meters(first, last, last, {}, 0, []).idle_between(model) == pytest.approx(0.2)
    assert Meters(first, first, last, {}, 0, []).idle_between(model) == 0.0


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


def a_round(pages_per_second: float, cpu: float = 0.03) -> Round:
    took = Took(0.0, 10.0, cpu * 480, 1.0, 480)
    return Round(pages_per_second, cpu, 0.002, 0.3, 0.1, 1.0, ((0.0, 0), (1.0, 64)), took)


def test_a_ratio_is_one_of_the_same_round() -> None:
    ours, floor = [a_round(10), a_round(30)], [a_round(20), a_round(40), a_round(50)]
    assert ratios(ours, floor).values == (0.5, 0.75)


def test_the_section_shows_everybody_and_why_somebody_is_left_out() -> None:
    found = Figures()
    for name, rate in ((FLOOR, 40.0), ("pagemill run", 20.0), ("olmOCR", 5.0)):
        found.add(name, Model(50), a_round(rate))
    found.leave_out("mineru", "Traceback\nConnectionError: no models here")
    shown = section(found, Pages(Path(), 480, 57, "57 PDFs"))
    assert "goals of pagemill: 35 pages/s" in shown.text
    assert "olmOCR: 4.0 times as fast" in shown.text
    assert "Left out: mineru: ConnectionError: no models here." in shown.text
    assert set(shown.plots) == {"b6-50.svg"}


def test_versions_come_from_the_requirements() -> None:
    assert pinned("openai").count(".") == 2
