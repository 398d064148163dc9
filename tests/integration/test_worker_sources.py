"""A worker whose store is elsewhere while a document's file is long in coming: a real recognizer on a real database,
render processes and all. The store is a real one that hands out no path and holds back what the test says."""

import threading
from contextlib import contextmanager

import pytest

from jobs.errors import StorageUnavailable
from jobs.options import JobOptions
from jobs.results import PageOutput, PageResult
from jobs.settings import EngineSettings, LimitSettings
from tests.documents import pdf
from tests.integration.test_worker_engine import Engine, Worker
from tests.processes import wait_until
from tests.protocol import page_refs, register, rows, split, states, submit
from workers.render.lazy import LazyPool

LONG, SHORT = 16, 2
"""Pages of the document that is long in coming: as many as a message carries, and more than there are threads for
results; and of the other one."""


class FarStore:
    """A store that lies elsewhere; downloads of `slow` wait for `gate`, and fail where `broken`."""

    def __init__(self, store):
        self._store = store
        self.slow = None
        self.broken = False
        self.gate = threading.Event()
        self.waiting = threading.Event()
        self.fetched = []

    def __getattr__(self, name):
        return getattr(self._store, name)

    def local_path(self, key):
        return None

    def download(self, key, path):
        self.fetched.append(key)
        if key == self.slow:
            self.waiting.set()
            assert self.gate.wait(60)
            if self.broken:
                raise StorageUnavailable("the connection was lost")
        self._store.download(key, path)


class Rendering(Engine):
    capacity = 64

    async def recognize(self, page):
        await page.call("image")
        return PageOutput(result=PageResult(number=page.number, engine=self.info))


class Place:
    """A worker, a document `slow` whose file is held back, and another one."""

    def __init__(self, db, blobs, tmp_path, pool):
        self.db = db
        self.far = FarStore(blobs)
        [self.slow], [self.other] = submit(db, options=JobOptions())[1], submit(db, options=JobOptions())[1]
        for document, pages in ((self.slow, LONG), (self.other, SHORT)):
            split(db, register(db), [document], pages)
            blobs.put(self.key(document), pdf(pages))
        self.far.slow = self.key(self.slow)
        self.worker = Worker(db, self.far, tmp_path, Rendering(), pool)
        self.recognizer = self.worker.recognizer

    def key(self, document):
        [[key]] = rows(self.db, "SELECT source_key FROM document WHERE id = :d", d=document)
        return key

    @contextmanager
    def message(self):
        """All pages of the slow document are worked on meanwhile; goes on when they have ended."""
        reading = threading.Thread(target=self.recognizer.run, args=(page_refs(self.db, self.slow),))
        reading.start()
        try:
            assert self.far.waiting.wait(60)
            yield
        finally:
            self.far.gate.set()
            reading.join()


@pytest.fixture(scope="module")
def pool():
    pool = LazyPool(1, "workers.engines.echo:EchoPageHalf", EngineSettings(name="echo"), LimitSettings())
    pool.start()
    yield pool
    pool.close()


@pytest.fixture
def place(db, blobs, tmp_path, pool):
    place = Place(db, blobs, tmp_path, pool)
    with place.worker:
        yield place


def test_a_file_that_is_long_in_coming_holds_up_no_other_document(place):
    """Its pages once waited on the threads that store results: nothing read could be kept until the file was there."""
    with place.message():
        other = threading.Thread(target=place.recognizer.run, args=(page_refs(place.db, place.other),))
        other.start()
        wait_until(lambda: states(place.db, place.other) == ["succeeded"] * SHORT, "the other document", 20)
        other.join()
        assert states(place.db, place.slow) == ["running"] * LONG
    assert states(place.db, place.slow) == ["succeeded"] * LONG
    assert place.far.fetched.count(place.key(place.slow)) == 1


def test_pages_that_are_handed_back_wait_for_no_file(place):
    with place.message():
        place.recognizer.hand_back_all()
        wait_until(lambda: states(place.db, place.slow) == ["pending"] * LONG, "all are back", 20)
        assert not place.far.gate.is_set()
    wait_until(lambda: list(place.worker.copies.iterdir()) == [], "the file, which nobody reads, goes", 20)


def test_a_file_that_does_not_come_puts_all_its_pages_off_and_is_asked_for_again(place):
    place.far.broken = True
    with place.message():
        pass
    assert states(place.db, place.slow) == ["pending"] * LONG
    assert rows(place.db, "SELECT sum(errors) FROM page") == [(0,)], "nobody's fault"
    place.far.broken = False
    assert place.recognizer.run(page_refs(place.db, place.slow)).claimed == LONG
    assert states(place.db, place.slow) == ["succeeded"] * LONG
