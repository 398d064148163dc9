"""Results put for pages of many jobs at once: what one of them cannot be spared is no other's trouble."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from jobs.blobs import NewObject, figure_key, page_key
from jobs.blobs.local import LocalStore
from jobs.errors import InvalidRequest, StorageFull, StorageUnavailable
from jobs.results import EngineInfo, PageOutput, PageResult
from jobs.store.claiming import ClaimedPage, DocumentSource
from workers import pages
from workers.pages import RecentResults, ResultWriter

ENGINE = EngineInfo(name="echo", version="1", model="none")
PATIENCE = 30.0
COSTS = 0.1
"""Seconds of the test's clock that a call of the store takes."""


class Clock(threading.Event):
    """Time that passes where somebody waits; also the worker's wish to end, which never comes."""

    now = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0
        return False

    def monotonic(self) -> float:
        return self.now


class Store(LocalStore):
    """Refuses what is told; every call takes a moment."""

    def __init__(self, root, clock):
        super().__init__(root)
        self.clock = clock
        self.refused = lambda _key: None
        self.asked = Counter()

    def put_all(self, objects):
        self.clock.now += COSTS
        for new in objects:
            self.asked[new.key] += 1
            if error := self.refused(new.key):
                raise error
        super().put_all(objects)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(pages, "time", clock)
    return clock


@pytest.fixture
def store(tmp_path, clock):
    return Store(tmp_path, clock)


@pytest.fixture
def writer(store, clock):
    return ResultWriter(store, RecentResults(), PATIENCE, clock)


def read(job, figures=0):
    document = DocumentSource(f"doc_{job}", f"job_{job}", "a.pdf", "uploads/a", "application/pdf", {}, None)
    names = [f"{number}.jpg" for number in range(figures)]
    return ClaimedPage(document, 1, "wrk_1", 1, 0, 0), PageOutput(
        result=PageResult(number=1, engine=ENGINE), figures=dict.fromkeys(names, b"jpeg")
    )


def key(job):
    return page_key(f"job_{job}", f"doc_{job}", 1, 1)


def test_one_jobs_folder_puts_off_its_own_page_alone(store, writer, clock):
    # It was the whole bundle, again and again for two minutes, uncounted and for ever.
    store.refused = lambda key: StorageUnavailable("EACCES") if "job_3/" in key else None
    failures = writer.put_pages([read(job) for job in range(8)])
    assert [job for job, failure in enumerate(failures) if failure] == [3]
    assert isinstance(failures[3], StorageUnavailable)
    assert all(store.stat(key(job)) for job in range(8) if job != 3)
    assert max(store.asked[key(job)] for job in range(8) if job != 3) <= 2, "what is put is not put again"
    assert store.asked[key(3)] > 5, "it may be for a moment only"
    assert clock.now < 2 * pages.OTHERS_WAIT < PATIENCE, "the others wait for their commit"


def test_a_page_that_does_not_fit_at_first_is_put_later(store, writer, clock):
    store.refused = lambda key: StorageFull("ENOSPC") if "job_1/" in key and clock.now < 2 else None
    assert writer.put_pages([read(job) for job in range(3)]) == [None] * 3
    assert store.stat(key(1))
    assert clock.now < PATIENCE


def test_a_store_that_is_away_takes_one_patience_for_all(store, writer, clock):
    store.refused = lambda _key: StorageUnavailable("away")
    failures = writer.put_pages([read(job) for job in range(32)])
    assert all(isinstance(failure, StorageUnavailable) for failure in failures)
    assert clock.now < PATIENCE + pages.RETRY_EVERY + 3 * COSTS


def test_a_store_that_comes_back_has_them_all(store, writer, clock):
    store.refused = lambda _key: StorageUnavailable("away") if clock.now < PATIENCE / 2 else None
    assert writer.put_pages([read(job) for job in range(4)]) == [None] * 4
    assert all(store.stat(key(job)) for job in range(4))


def test_what_is_wrong_for_good_is_told_at_once_and_the_others_share_one_patience(store, writer, clock):
    errors = {f"job_{job}/": StorageUnavailable("away") for job in (1, 2)} | {"job_0/": InvalidRequest("a folder")}
    store.refused = lambda key: next((error for job, error in errors.items() if job in key), None)
    failures = writer.put_pages([read(job) for job in range(4)])
    assert failures == [errors["job_0/"], errors["job_1/"], errors["job_2/"], None]
    assert store.asked[key(0)] <= 2
    assert clock.now < PATIENCE + pages.RETRY_EVERY + 3 * COSTS


def test_kept_for_assembly_are_those_that_are_stored(store, writer):
    store.refused = lambda key: InvalidRequest("no") if "job_1/" in key else None
    writer.put_pages([read(job) for job in range(2)])
    assert writer._recent.take("doc_0", 1, 1)
    assert writer._recent.take("doc_1", 1, 1) is None


class Bucket(Store):
    """Takes each object by itself, and no more than ten calls in a row."""

    bundle = 1
    calls = 0

    def put_all(self, objects):
        for new in objects:
            self.calls += 1
            if not self.calls % 10:
                raise StorageUnavailable("SlowDown")
            super().put_all([new])


@pytest.fixture
def bucket(tmp_path, clock):
    return Bucket(tmp_path, clock)


def test_objects_that_go_by_themselves_are_put_once_each(bucket, clock):
    # It began again with the first figure: under throttling a page with forty never got through.
    writer = ResultWriter(bucket, RecentResults(), PATIENCE, clock)
    assert writer.put_pages([read(1, figures=40)]) == [None]
    figures = [figure_key("job_1", "doc_1", 1, 1, f"{number}.jpg") for number in range(40)]
    assert bucket.asked == Counter([*figures, key(1)])
    assert list(bucket.asked)[-1] == key(1), "the page that shows them comes last"


def test_a_documents_files_too(bucket, clock):
    writer = ResultWriter(bucket, RecentResults(), PATIENCE, clock)
    writer.put_all([NewObject(f"a/{number}", b"") for number in range(30)])
    assert set(bucket.asked.values()) == {1}


def test_a_documents_files_are_tried_for_a_short_while(bucket, clock):
    # It was two minutes, in the one thread that ends all small documents of a worker.
    bucket.refused = lambda key: StorageUnavailable("away") if key == "a/1" else None
    with pytest.raises(StorageUnavailable):
        ResultWriter(bucket, RecentResults(), PATIENCE, clock).put_all([NewObject(f"a/{n}", b"") for n in range(3)])
    assert pages.OTHERS_WAIT <= clock.now < pages.OTHERS_WAIT + pages.RETRY_EVERY + 3 * COSTS
    assert "a/2" not in bucket.asked
