"""Documents whose pages learn from each other when they are assembled: in memory, and streamed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from jobs.blobs import page_key, result_key
from jobs.options import JobOptions, VlOptions
from jobs.results import Block, EngineInfo, PageImage, PageResult
from tests.protocol import bad, claim, claim_assemblies, good, record, register, split, submit
from workers.assemble import Assembler
from workers.engines.paddleocr_vl.blocks import style_of
from workers.hands import Hands
from workers.pages import RecentResults, ResultWriter
from workers.retries import Backoff

ENGINE = EngineInfo(name="paddleocr_vl", version="1", model="m")


def page(number: int, *, options: VlOptions) -> PageResult:
    """A title of another height on every second page, and the part of a table that runs through all."""
    tall = number % 2
    title = Block(label="paragraph_title", bbox=(0, 0, 200, 20 + 20 * tall), content=f"Part {number}", order=0)
    table = Block(label="table", bbox=(0, 60, 200, 90), content=f"<table><tr><td>{number}</td></tr></table>", order=0)
    blocks = (
        (table, title.model_copy(update={"order": 1})) if number > 1 else (title, table.model_copy(update={"order": 1}))
    )
    if number % 10:
        # Only on every tenth page something follows that ends the table.
        blocks = tuple(b for b in blocks if b.label == "table" or number == 1)
    return PageResult(
        number=number, image=PageImage(width=400, height=400, dpi=144), blocks=blocks, engine=ENGINE,
        paddlex=style_of(options),
    )  # fmt: skip


class Mill:
    """Documents read by `paddleocr_vl` and assembled here."""

    def __init__(self, db: Any, blobs: Any) -> None:
        self.db, self.blobs = db, blobs
        self.worker = register(db, engine="paddleocr_vl")

    def document(self, pages: int, options: VlOptions | None = None, *, failed: Sequence[int] = ()) -> dict[str, Any]:
        """document.json and document.md of a document with so many pages."""
        options = options or VlOptions()
        job, [document] = submit(self.db, engine="paddleocr_vl", options=JobOptions(paddleocr_vl=options))
        split(self.db, self.worker, [document], pages)
        claims = claim(self.db, self.worker, document)
        for claimed in claims:
            stored = page(claimed.number, options=options).model_dump_json(exclude_none=True).encode()
            self.blobs.put(page_key(job, document, claimed.number, claimed.attempt), stored, "application/json")
        ends = good([c for c in claims if c.number not in failed]) + bad([c for c in claims if c.number in failed])
        record(self.db, ends)
        assemblies = claim_assemblies(self.db, self.worker, [document])
        recent = RecentResults()
        with ThreadPoolExecutor(1) as threads:
            Assembler(
                self.db, self.blobs, ResultWriter(self.blobs, recent, 1.0, Event()), recent, Backoff(1, 1, 1), Hands(),
                threads, lambda: self.worker,
            ).assemble(assemblies)  # fmt: skip
        attempt = assemblies[0].attempt
        found: dict[str, Any] = json.loads(self.blobs.get(result_key(job, document, attempt, "document.json")))
        return found | {"markdown": self.blobs.get(result_key(job, document, attempt, "document.md")).decode()}


@pytest.fixture
def mill(db: Any, blobs: Any) -> Mill:
    return Mill(db, blobs)


def tables(document: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {
        p["number"]: b
        for p in document["pages"]
        if "result" in p
        for b in p["result"]["blocks"]
        if b["label"] == "table"
    }


@pytest.mark.parametrize("pages", [4, 70])
def test_a_table_that_goes_on_stands_on_its_first_page(mill: Mill, pages: int) -> None:
    document = mill.document(pages)
    found = tables(document)
    end = min(pages, 10)
    rows = "".join(f"<tr><td>{n}</td></tr>" for n in range(1, end + 1))
    assert found[1]["content"] == f"<table>{rows}</table>"
    for number in range(2, end + 1):
        assert found[number]["content"] == ""
        assert found[number]["continues"] == {"page": 1, "order": 1}
    assert [p["number"] for p in document["pages"]] == list(range(1, pages + 1))
    assert document["markdown"].count("<table") == -(-pages // 10)


def test_no_table_goes_on_over_a_page_that_has_no_result(mill: Mill) -> None:
    found = tables(mill.document(4, failed=[2]))
    assert {number: table["content"] for number, table in found.items()} == {
        1: "<table><tr><td>1</td></tr></table>",
        3: "<table><tr><td>3</td></tr><tr><td>4</td></tr></table>",
        4: "",
    }


@pytest.mark.parametrize("pages", [20, 70])
def test_titles_have_the_levels_of_the_whole_document(mill: Mill, pages: int) -> None:
    document = mill.document(pages)
    titles = [b for p in document["pages"] for b in p["result"]["blocks"] if b["label"] == "paragraph_title"]
    assert [(t["content"], t["level"]) for t in titles] == [
        ("Part 1", 2), *((f"Part {n}", 3) for n in range(10, pages + 1, 10))
    ]  # fmt: skip
    assert "\n### Part 10\n" in document["markdown"]


def test_what_is_not_wanted_is_not_done(mill: Mill) -> None:
    document = mill.document(10, VlOptions(merge_tables=False, title_levels=False))
    assert all(f">{number}<" in table["content"] for number, table in tables(document).items())
    assert not [b for p in document["pages"] for b in p["result"]["blocks"] if "level" in b]
