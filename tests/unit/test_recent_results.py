"""Results kept for assembly stay within their memory whatever their size, also where nobody ever takes them."""

import tracemalloc
from types import SimpleNamespace

import pytest

from jobs.results import Block, EngineInfo, PageResult
from jobs.settings import MIB
from workers.pages import RecentResults

LIMIT = 2 * MIB


def result(blocks, number=1):
    info = EngineInfo(name="echo", version="1", model="none")
    block = [Block(label="text", bbox=(0, i, 10, i + 1), content=f"block {i} " * 5, order=i) for i in range(blocks)]
    return PageResult(number=number, blocks=tuple(block), engine=info)


def claimed(number):
    return SimpleNamespace(document=SimpleNamespace(id=f"doc_{number:032}"), number=number, attempt=1)


@pytest.mark.parametrize("blocks", [1, 100])
def test_what_is_never_taken_is_bounded(blocks):
    # Echo's 300 bytes a page took ten times that as values: a soak of 100,000 pages grew by 35 MiB.
    recent = RecentResults(limit=LIMIT)
    tracemalloc.start()
    try:
        for number in range(1, 300_000 // (blocks + 49)):
            page = result(blocks, number)
            recent.put(claimed(number), page, page.model_dump_json(exclude_none=True).encode())
        assert 0.1 * LIMIT < tracemalloc.get_traced_memory()[0] < 1.2 * LIMIT
    finally:
        tracemalloc.stop()


def test_the_latest_are_there_once():
    recent = RecentResults(limit=LIMIT)
    for number in range(1, 2000):
        recent.put(claimed(number), result(1, number), b"{}")
    assert recent.take(claimed(1999).document.id, 1999, 1) == (result(1, 1999), b"{}")
    assert recent.take(claimed(1999).document.id, 1999, 1) is None
    assert recent.take(claimed(1).document.id, 1, 1) is None
