"""What becomes of pages when an engine dies, by a real recognizer on a real database and store.

The engine is one of the test's own: those in the house do not die on demand. Everything around it is real.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs.blobs import page_key
from jobs.errors import EngineError, EngineUnavailable
from jobs.options import JobOptions
from jobs.poison import ALONE, GROUPED, last_crash
from jobs.results import EngineInfo, PageOutput, PageResult
from jobs.settings import EngineSettings, LimitSettings
from tests.processes import wait_until
from tests.protocol import claim_refs, page_refs, register, rows, split, states, submit
from workers.hands import Hands
from workers.loop import EngineLoop
from workers.pages import RecentResults, ResultWriter
from workers.recognize import Reading, Recognizer
from workers.recorder import Recorder
from workers.render.lazy import LazyPool
from workers.retries import Backoff
from workers.sources import Sources


class Engine:
    """Reads pages; dies of page `killer` as a resident model does, where it raises what `death` makes."""

    info = EngineInfo(name="echo", version="1", model="test")
    capacity = 8
    default_dpi = 72
    page_half = None
    renders_always = False
    reads_in_page_half = False

    def __init__(self, killer=None, death=lambda: EngineUnavailable("the engine is dead")):
        self.killer = killer
        self.death = death
        self.seen = []
        self.release = asyncio.Event()

    def start(self):
        pass

    def close(self):
        pass

    async def recognize(self, page):
        self.seen.append(page.number)
        if page.number == self.killer:
            raise self.death()
        if self.killer is not None:
            await self.release.wait()
        return PageOutput(result=PageResult(number=page.number, engine=self.info))


class Worker:
    """A recognizer with what it needs, as the composition root would build it."""

    def __init__(self, db, blobs, tmp_path, engine, pool=None):
        self.db = db
        self.id = register(db, "slot")
        self.died = threading.Event()
        self.hands = Hands()
        self.engine = engine
        self.loop = EngineLoop()
        self.threads = ThreadPoolExecutor(4)
        self.opening = ThreadPoolExecutor(2)
        self.copies = tmp_path / "copies"
        self.sources = Sources(blobs, self.copies, 0)
        self.recorder = Recorder(
            db, lambda: self.id, patience=0.0, on_assemblies=lambda _: None, on_recorded=lambda _: None
        )
        writer = ResultWriter(blobs, RecentResults(), 0.0, threading.Event())
        self.recognizer = Recognizer(
            Reading(
                db=db, engine=engine, pool=pool, sources=self.sources, vault=None, writer=writer,
                recorder=self.recorder, hands=self.hands, loop=self.loop, threads=self.threads,
                opening=self.opening, limits=LimitSettings(page_timeout=60), backoff=Backoff(0.0, 0.0, 3),
                max_crashes=3, wait_for_turn=60.0, worker_id=lambda: self.id, on_engine_death=self._on_death,
            )
        )  # fmt: skip

    def _on_death(self, _error):
        """As the consumer does: nothing new is claimed, and everything is given back."""
        self.died.set()
        self.recognizer.drain()
        self.recognizer.hand_back_all()

    def __enter__(self):
        self.loop.start()
        self.recorder.start()
        return self.recognizer

    def __exit__(self, *_):
        self.loop.stop()
        self.recorder.stop()
        self.threads.shutdown()
        self.opening.shutdown()
        self.sources.close()
        assert self.hands.holds() == set()


@pytest.fixture
def document(db):
    """A document of four pages that are pending."""
    worker = register(db)
    _, [found] = submit(db, options=JobOptions())
    split(db, worker, [found], 4)
    return found


def crashes(db, document):
    return [row[0] for row in rows(db, "SELECT crashes FROM page WHERE document_id = :d ORDER BY number", d=document)]


def test_pages_are_read_and_kept(db, blobs, tmp_path, document):
    with Worker(db, blobs, tmp_path, Engine()) as recognizer:
        assert recognizer.run(page_refs(db, document)).claimed == 4
        assert recognizer.run(page_refs(db, document)).claimed == 0, "all are done"
    assert states(db, document) == ["succeeded"] * 4
    [[job]] = rows(db, "SELECT job_id FROM document WHERE id = :d", d=document)
    assert all(blobs.stat(page_key(job, document, number, 1)) for number in (1, 2, 3, 4))


def test_the_page_that_kills_engine_after_engine_ends_and_the_others_go_back_uncounted(db, blobs, tmp_path, document):
    for death in (1, GROUPED):
        worker = Worker(db, blobs, tmp_path, Engine(killer=2))
        with worker as recognizer:
            assert recognizer.run(page_refs(db, document)).claimed == 4
            assert worker.died.is_set()
        assert states(db, document) == ["pending"] * 4
        assert crashes(db, document) == [0, death, 0, 0]

    # There at two deaths, it is read apart: whatever the message says, the others are claimed without it.
    worker = Worker(db, blobs, tmp_path, Engine(killer=2))
    with worker as recognizer:
        worker.engine.release.set()
        assert recognizer.run(page_refs(db, document)).claimed == 4
        assert (worker.engine.seen[-1], sorted(worker.engine.seen)) == (2, [1, 2, 3, 4])
    assert states(db, document) == ["succeeded", "pending", "succeeded", "succeeded"]
    for death in range(ALONE, last_crash(3)):
        assert crashes(db, document) == [0, death, 0, 0]
        with Worker(db, blobs, tmp_path, Engine(killer=2)) as recognizer:
            assert recognizer.run(page_refs(db, document)).claimed == 1
    assert states(db, document) == ["succeeded", "failed", "succeeded", "succeeded"]
    assert crashes(db, document) == [0, last_crash(3), 0, 0]
    [[error]] = rows(db, "SELECT error FROM page WHERE document_id = :d AND number = 2", d=document)
    assert "page_crashed" in str(error)


def test_a_worker_that_ends_gives_back_what_it_claimed_a_moment_ago(db, blobs, tmp_path, document):
    worker = Worker(db, blobs, tmp_path, Engine())
    with worker as recognizer:
        recognizer.hand_back_all()
        assert recognizer.run(page_refs(db, document)).claimed == 4
    assert (worker.engine.seen, states(db, document)) == ([], ["pending"] * 4)
    assert crashes(db, document) == [0] * 4


def test_a_draining_worker_claims_nothing_and_lets_the_rings_go(db, blobs, tmp_path, document):
    with Worker(db, blobs, tmp_path, Engine()) as recognizer:
        recognizer.drain()
        assert recognizer.run(page_refs(db, document)).claimed == 0
    assert states(db, document) == ["pending"] * 4
    assert rows(db, "SELECT 1 FROM page WHERE rung_at IS NOT NULL") == []


def test_render_processes_that_cannot_start_are_no_pages_fault(db, blobs, tmp_path, document):
    class Rendering(Engine):
        async def recognize(self, page):
            return await page.call("image")

    [[key]] = rows(db, "SELECT source_key FROM document WHERE id = :d", d=document)
    blobs.put(key, b"never opened")
    pool = LazyPool(1, "workers.engines.echo:NoSuchHalf", EngineSettings(name="echo"), LimitSettings())
    worker = Worker(db, blobs, tmp_path, Rendering(), pool)
    with worker as recognizer:
        assert recognizer.run(page_refs(db, document)).claimed == 4
        assert worker.died.is_set()
    pool.close()
    assert states(db, document) == ["pending"] * 4
    assert crashes(db, document) == [0] * 4


@pytest.mark.parametrize("detail", ["half \ud800 a pair", "a \0 in it"])
def test_whatever_an_engine_says_can_be_recorded(db, blobs, tmp_path, document, detail):
    with Worker(db, blobs, tmp_path, Engine(killer=1, death=lambda: EngineError(detail))) as recognizer:
        assert recognizer.run(page_refs(db, document, [1])).claimed == 1
    assert rows(db, "SELECT state, errors FROM page WHERE document_id = :d AND number = 1", d=document) == [
        ("pending", 1)
    ]


def test_options_of_a_version_that_is_gone_fail_the_page_and_hold_nobody(db, blobs, tmp_path, document):
    from tests.protocol import change

    change(db, """UPDATE job SET options = '{"dpi": "many"}'""")
    with Worker(db, blobs, tmp_path, Engine()) as recognizer:
        for _ in range(3):
            assert recognizer.run(page_refs(db, document, [1])).claimed == 1
    assert states(db, document) == ["failed", "pending", "pending", "pending"]
    assert claim_refs(db, register(db), page_refs(db, document, [2])), "the others are free"


def test_a_message_that_waits_for_its_last_page_keeps_no_place_of_the_others(db, blobs, tmp_path):
    """Capacity 4, so six places: a message of six whose first page does not end leaves five of them to the next."""
    worker = register(db)
    _, [one, other] = submit(db, 2, options=JobOptions())
    split(db, worker, [one, other], 6)

    class Slow(Engine):
        async def recognize(self, page):
            self.seen.append(page.document_id)
            if page.document_id == one and page.number == 1:
                await self.release.wait()
            return PageOutput(result=PageResult(number=page.number, engine=self.info))

    engine = Slow()
    engine.capacity = 4
    working = Worker(db, blobs, tmp_path, engine)
    with working as recognizer:
        waits = threading.Thread(target=recognizer.run, args=(page_refs(db, one),))
        waits.start()
        wait_until(lambda: states(db, one).count("succeeded") == 5, "five pages of six")
        assert recognizer.run(page_refs(db, other, [1, 2, 3, 4, 5])).claimed == 5
        assert (states(db, other)[:5], recognizer.messages) == (["succeeded"] * 5, 1)
        working.loop.loop.call_soon_threadsafe(engine.release.set)
        waits.join()
    assert states(db, one) == ["succeeded"] * 6
