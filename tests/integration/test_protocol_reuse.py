"""Results that are used again, step by step: whose may be, and everything that may happen while one is copied."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from jobs import deletion, lifecycle
from jobs.blobs import figure_key, job_prefix, page_key, result_key, upload_key
from jobs.errors import StorageUnavailable
from jobs.ids import day_of, new_key_id
from jobs.options import JobOptions
from jobs.queue import Doorbell, make_app
from jobs.results import Block, EngineInfo, PageResult
from jobs.settings import BrokerSettings, EngineSettings, LimitSettings
from jobs.store import usage
from jobs.store.database import Database
from tests import protocol
from tests.documents import pdf
from tests.protocol import Noticing, age_heartbeat, change, one, register, rows, states, take_back
from tests.reconciling import PATIENCE, Mill, at_rest
from workers.assemble import Assembler
from workers.hands import Hands
from workers.pages import RecentResults, ResultWriter
from workers.render.lazy import LazyPool
from workers.retries import Backoff
from workers.reuse import Reuser
from workers.sources import Sources
from workers.split import Splitter

READER = "reader one"
ENGINE = EngineInfo(name="echo", version="1", model="echo")
BACKOFF = Backoff(0.0, 0.0, 3)


@pytest.fixture(scope="module")
def pool():
    found = LazyPool(1, None, EngineSettings(name="echo"), LimitSettings())
    yield found
    found.close()


@dataclass
class Ground:
    """A service whose workers are the tests: real splits, real assemblies, pages that read themselves."""

    db: Database
    blobs: Noticing
    pool: LazyPool
    scratch: Path
    worker: str
    limits: LimitSettings = field(default_factory=LimitSettings)
    hands: Hands = field(default_factory=Hands)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    stopping: threading.Event = field(default_factory=threading.Event)

    def submit(self, pages: int = 2, **values: Any) -> tuple[str, str]:
        """A job of one document, whose bytes are those of every other with so many pages."""
        job, [document] = protocol.submit(self.db, **values)
        data, key = pdf(pages), upload_key(day_of(job), job, document)
        self.blobs.put(key, data)
        change(
            self.db, "UPDATE document SET sha256 = :s, source_key = :k, bytes = :b WHERE id = :d",
            s=hashlib.sha256(data).hexdigest(), k=key, b=len(data), d=document,
        )  # fmt: skip
        return job, document

    def splitter(self, worker: str | None = None) -> Splitter:
        db, limits = self.db, self.limits
        reuser = Reuser(
            db, self.blobs, limits, BACKOFF, self.threads, self.stopping, lambda: worker or self.worker,
            on_assemblies=self.assembler(worker).assemble,
        )  # fmt: skip
        sources = Sources(self.blobs, self.scratch / f"{worker or self.worker}-{id(reuser)}", 1 << 20)
        return Splitter(
            db, self.pool, sources, None, reuser, limits, BACKOFF, self.hands, lambda: worker or self.worker,
            on_split=lambda: None, on_ended=self.assembler().close,
        )  # fmt: skip

    def split(self, *documents: str, worker: str | None = None) -> int:
        return self.splitter(worker).run(protocol.document_refs(self.db, documents))

    def assembler(self, worker: str | None = None) -> Assembler:
        recent = RecentResults(0)
        writer = ResultWriter(self.blobs, recent, 0, threading.Event())
        return Assembler(
            self.db, self.blobs, writer, recent, BACKOFF, self.hands, self.threads, lambda: worker or self.worker
        )  # fmt: skip

    def read(
        self, document: str, *, failed: tuple[int, ...] = (), worker: str | None = None, word: str = "page"
    ) -> None:
        """Its pages, each with a figure, and its assembly."""
        job = one(self.db, "SELECT job_id FROM document WHERE id = :d", d=document)
        claims = protocol.claim(self.db, worker or self.worker, document)
        for claim in claims:
            block = Block(label="text", bbox=(0, 0, 9, 9), content=f"{word} {claim.number}", order=0)
            stored = PageResult(number=claim.number, blocks=(block,), engine=ENGINE).model_dump_json().encode()
            figure = f"page-000{claim.number}-figure-1.jpg"
            self.blobs.put(figure_key(job, document, claim.number, claim.attempt, figure), b"\xff\xd8figure")
            self.blobs.put(page_key(job, document, claim.number, claim.attempt), stored)
        good = protocol.good([c for c in claims if c.number not in failed])
        protocol.record(self.db, good + protocol.bad([c for c in claims if c.number in failed]))
        self.assemble(document, worker)

    def assemble(self, document: str, worker: str | None = None) -> None:
        self.assembler(worker).run(protocol.document_refs(self.db, [document]))

    def original(self, pages: int = 2, **values: Any) -> tuple[str, str]:
        """A document that was read."""
        job, document = self.submit(pages, **values)
        self.split(document)
        self.read(document)
        assert self.state(document) == "succeeded"
        return job, document

    def state(self, document: str) -> str:
        return one(self.db, "SELECT state FROM document WHERE id = :d", d=document)

    def is_cached(self, document: str) -> bool:
        return bool(one(self.db, "SELECT cached FROM document WHERE id = :d", d=document))

    def keys(self, job: str) -> list[str]:
        """Without the job's prefix."""
        prefix = job_prefix(job)
        return [stat.key.removeprefix(prefix) for stat in self.blobs.list(prefix)]

    def told(self, job: str, document: str) -> dict[str, Any]:
        """document.json."""
        attempt = one(self.db, "SELECT result_attempt FROM document WHERE id = :d", d=document)
        return orjson.loads(self.blobs.get(result_key(job, document, attempt, "document.json")))

    def meanwhile(self, verb: str, at: int, act: Any, *, after: bool = False) -> None:
        """Do this once, at so manieth of these calls of the store, just before it or after."""
        seen = []

        def notice(called: str, _key: str) -> None:
            if called == verb:
                seen.append(called)
                if len(seen) == at:
                    act()

        self.blobs.before, self.blobs.after = (ignore, notice) if after else (notice, ignore)


def ignore(_verb: str, _key: str) -> None:
    pass


@pytest.fixture
def ground(db, tmp_path, pool):
    found = Ground(db, Noticing(tmp_path / "objects"), pool, tmp_path, register(db, reader=READER))
    yield found
    found.threads.shutdown()


def read_after_all(ground: Ground, job: str, document: str) -> None:
    """The document was not given a result, is read as any other, and nothing else lies in its folder."""
    assert not ground.is_cached(document)
    assert states(ground.db, document) == ["pending", "pending"]
    assert ground.keys(job) == []
    ground.read(document, word="again")
    assert ground.state(document) == "succeeded"
    assert [page["result"]["blocks"][0]["content"] for page in ground.told(job, document)["pages"]] == [
        "again 1", "again 2",
    ]  # fmt: skip


# --- whose result may be given


def test_an_equal_document_gets_the_result_and_is_not_even_opened(ground):
    _, first = ground.original()
    job, second = ground.submit()
    ground.blobs.delete([one(ground.db, "SELECT source_key FROM document WHERE id = :d", d=second)])
    assert ground.split(second) == 1
    assert states(ground.db, second) == ["succeeded", "succeeded"]
    ground.assemble(second)
    assert (ground.state(second), ground.is_cached(second), ground.is_cached(first)) == ("succeeded", True, False)
    told = ground.told(job, second)
    assert (told["id"], told["job_id"], told["source"]["pages"]) == (second, job, 2)
    assert [page["result"]["blocks"][0]["content"] for page in told["pages"]] == ["page 1", "page 2"]
    attempts = rows(ground.db, "SELECT number, attempt FROM page WHERE document_id = :d ORDER BY number", d=second)
    for number, attempt in attempts:
        figure = f"page-000{number}-figure-1.jpg"
        assert ground.blobs.get(figure_key(job, second, number, attempt, figure)) == b"\xff\xd8figure"
    assert len(ground.keys(job)) == 7, "two pages, two figures, two files, job.json"
    assert protocol.job_of(ground.db, job).state == "succeeded"


def test_what_was_given_can_be_given_on_when_the_first_is_gone(ground):
    job, _ = ground.original()
    _, second = ground.submit()
    ground.split(second)
    ground.assemble(second)
    deletion.delete(ground.db, ground.blobs, job)
    third_job, third = ground.submit()
    ground.split(third)
    ground.assemble(third)
    assert ground.is_cached(third)
    assert ground.told(third_job, third)["pages"][0]["result"]["blocks"][0]["content"] == "page 1"


def test_nobody_gets_the_result_of_somebody_else(ground):
    ground.original(owner="key_1")
    for owner in ("key_2", ""):
        _, other = ground.submit(owner=owner)
        ground.split(other)
        assert states(ground.db, other) == ["pending", "pending"]
    _, own = ground.submit(owner="key_1")
    ground.split(own)
    assert ground.is_cached(own)


@pytest.mark.parametrize(
    "options",
    [JobOptions(dpi=72), JobOptions(pages="1-2"), JobOptions(cache="bypass"), JobOptions(text="ocr")],
    ids=["dpi", "pages", "bypass", "text"],
)
def test_other_options_are_read(ground, options):
    ground.original()
    _, other = ground.submit(options=options)
    ground.split(other)
    assert states(ground.db, other) == ["pending", "pending"]


def test_options_that_change_no_result_do_not_matter(ground):
    ground.original(options=JobOptions(metadata={"a": 1}, priority="interactive"))
    _, other = ground.submit(options=JobOptions(cache="use", retention_seconds=1000))
    ground.split(other)
    assert ground.is_cached(other)


def test_what_bypassed_is_given_to_nobody(ground):
    ground.original(options=JobOptions(cache="bypass"))
    _, other = ground.submit()
    ground.split(other)
    assert not ground.is_cached(other)


def test_the_server_says_what_holds_where_a_job_does_not(ground):
    ground.original(options=JobOptions(cache="use"))
    ground.limits = LimitSettings(cache="bypass")
    for options, cached in ((JobOptions(), False), (JobOptions(cache="use"), True)):
        _, other = ground.submit(options=options)
        ground.split(other)
        assert ground.is_cached(other) is cached


def test_a_document_with_a_password_is_neither_given_nor_gets_one(ground):
    for _ in range(2):
        job, document = ground.submit()
        change(ground.db, "UPDATE job SET password = 'sealed' WHERE id = :j", j=job)
        [claim] = protocol.claim_splits(ground.db, ground.worker, [document])
        reuser = ground.splitter().reuser
        assert (reuser.key_of(claim), reuser.find([claim])) == (None, {})


def test_a_result_with_a_failed_page_is_given_to_nobody(ground):
    _, first = ground.submit()
    ground.split(first)
    ground.read(first, failed=(2,))
    assert ground.state(first) == "partial"
    _, other = ground.submit()
    ground.split(other)
    assert not ground.is_cached(other)


def test_a_partial_result_may_be_given_once_the_rest_is_read(ground):
    job, first = ground.submit()
    ground.split(first)
    ground.read(first, failed=(2,))
    lifecycle.retry(ground.db, ground.blobs, job)
    ground.read(first)
    assert ground.state(first) == "succeeded"
    _, other = ground.submit()
    ground.split(other)
    assert ground.is_cached(other)


def test_results_of_several_readers_or_unknown_ones_are_given_to_nobody(ground):
    other_reader, unknown = register(ground.db, reader="reader two"), register(ground.db)
    for pages, worker in ((2, other_reader), (3, unknown)):
        _, first = ground.submit(pages)
        ground.split(first)
        claims = protocol.claim(ground.db, worker, first, [1])
        job = claims[0].document.job_id
        stored = PageResult(number=1, engine=ENGINE).model_dump_json().encode()
        ground.blobs.put(page_key(job, first, 1, claims[0].attempt), stored)
        protocol.record(ground.db, protocol.good(claims))
        ground.read(first)
        assert ground.state(first) == "succeeded"
        assert one(ground.db, "SELECT reader FROM document WHERE id = :d", d=first) is None
        _, other = ground.submit(pages)
        ground.split(other)
        assert not ground.is_cached(other)


def test_a_result_of_a_reader_that_nobody_has_any_more_is_given_to_nobody(ground):
    ground.original()
    newer = register(ground.db, reader="reader two")
    change(ground.db, "UPDATE worker SET state = 'stopped' WHERE id = :w", w=ground.worker)
    _, second = ground.submit()
    ground.split(second, worker=newer)
    assert not ground.is_cached(second)
    ground.read(second, worker=newer, word="newer")
    change(ground.db, "UPDATE worker SET state = 'alive' WHERE id = :w", w=ground.worker)
    _, third = ground.submit()
    ground.split(third)
    assert ground.is_cached(third), "two readers live, and the newest result counts"
    assert one(ground.db, "SELECT reader FROM document WHERE id = :d", d=third) == "reader two"


def test_more_pages_than_are_allowed_now_are_refused_as_ever(ground):
    ground.original(3)
    ground.limits = LimitSettings(max_pages=2)
    _, second = ground.submit(3)
    ground.split(second)
    assert ground.state(second) == "failed"


def test_pages_that_were_not_read_are_not_charged(ground):
    ground.limits = LimitSettings(key_pages_per_day=3)
    owner = new_key_id()
    ground.original(owner=owner)
    for _ in range(2):
        _, other = ground.submit(owner=owner)
        ground.split(other)
        assert ground.is_cached(other)
    with ground.db.read() as session:
        used = usage.used_today(session, owner)
    assert used == 2


def test_two_equal_documents_in_one_message_are_both_read(ground):
    documents = [ground.submit()[1] for _ in range(2)]
    ground.split(*documents)
    assert [states(ground.db, document) for document in documents] == [["pending"] * 2] * 2


def test_known_and_new_documents_share_a_message(ground):
    ground.original(2)
    (_, known), (_, new) = ground.submit(2), ground.submit(3)
    assert ground.split(known, new) == 2
    assert (ground.is_cached(known), states(ground.db, new)) == (True, ["pending"] * 3)


def test_more_pages_than_one_insert_holds(ground):
    job, document = ground.submit(1003)
    ground.split(document)
    claims = protocol.claim(ground.db, ground.worker, document)
    for claim in claims:
        stored = PageResult(number=claim.number, engine=ENGINE).model_dump_json().encode()
        ground.blobs.put(page_key(job, document, claim.number, claim.attempt), stored)
    protocol.record(ground.db, protocol.good(claims))
    ground.assemble(document)
    _, other = ground.submit(1003)
    ground.split(other)
    assert (states(ground.db, other), ground.is_cached(other)) == (["succeeded"] * 1003, True)


# --- the original is deleted meanwhile


COPIES = 4
"""Two figures, then two results."""


@pytest.mark.parametrize("at", range(1, COPIES + 1))
def test_an_original_that_is_deleted_while_it_is_copied_does_not_count(ground, at):
    original, _ = ground.original()
    job, second = ground.submit()
    ground.meanwhile("copy", at, lambda: deletion.delete(ground.db, ground.blobs, original))
    ground.split(second)
    read_after_all(ground, job, second)


def test_an_original_that_is_deleted_just_after_the_last_copy_does_not_count(ground):
    """Its figures might have been purged before they were listed: that nothing was missing proves nothing."""
    original, _ = ground.original()
    job, second = ground.submit()
    ground.meanwhile("copy", COPIES, lambda: deletion.delete(ground.db, ground.blobs, original), after=True)
    ground.split(second)
    read_after_all(ground, job, second)


def test_an_original_whose_figures_are_purged_before_they_are_listed_does_not_count(ground, monkeypatch):
    original, _ = ground.original()
    job, second = ground.submit()
    listed = ground.blobs.list

    def purge_first(prefix: str) -> Any:
        if prefix.endswith("/figures/"):
            with ground.db.write() as session:
                lifecycle.ending.mark_deleted(session, original)
            ground.blobs.delete_prefix(prefix)
        return listed(prefix)

    monkeypatch.setattr(ground.blobs, "list", purge_first)
    ground.split(second)
    monkeypatch.undo()
    read_after_all(ground, job, second)


def test_an_original_that_is_deleted_later_is_not_missed(ground):
    original, _ = ground.original()
    job, second = ground.submit()
    ground.split(second)
    deletion.delete(ground.db, ground.blobs, original)
    ground.assemble(second)
    assert ground.keys(original) == []
    assert ground.told(job, second)["pages"][1]["result"]["blocks"][0]["content"] == "page 2"


def test_a_deleted_original_is_given_to_nobody_even_before_it_is_purged(ground):
    original, _ = ground.original()
    with ground.db.write() as session:
        lifecycle.ending.mark_deleted(session, original)
    _, second = ground.submit()
    ground.split(second)
    assert not ground.is_cached(second)
    assert "copy" not in {verb for verb, _ in ground.blobs.calls}


def test_an_object_that_was_lost_means_reading(ground):
    original, first = ground.original()
    attempt = one(ground.db, "SELECT attempt FROM page WHERE document_id = :d AND number = 2", d=first)
    ground.blobs.delete([page_key(original, first, 2, attempt)])
    job, second = ground.submit()
    ground.split(second)
    read_after_all(ground, job, second)


# --- the document itself is canceled or deleted meanwhile


@pytest.mark.parametrize("at", range(1, COPIES + 1))
def test_a_document_that_is_canceled_while_it_is_given_a_result_stays_canceled(ground, at):
    ground.original()
    job, second = ground.submit()
    ground.meanwhile("copy", at, lambda: lifecycle.cancel(ground.db, job))
    ground.split(second)
    assert (ground.state(second), states(ground.db, second), ground.keys(job)) == ("canceled", [], [])
    assert one(ground.db, "SELECT worker FROM document WHERE id = :d", d=second) is None


@pytest.mark.parametrize("at", range(1, COPIES + 1))
def test_of_a_document_that_is_deleted_while_it_is_given_a_result_nothing_stays(ground, at):
    ground.original()
    job, second = ground.submit()
    ground.meanwhile("copy", at, lambda: deletion.delete(ground.db, ground.blobs, job))
    ground.split(second)
    assert deletion.purge(ground.db, ground.blobs, job), "nobody holds it any more"
    assert ground.keys(job) == []


# --- workers that die, freeze, end; a store that goes away


class Killed(BaseException):
    """The process is gone."""


def test_a_worker_that_dies_half_way_leaves_what_nobody_takes_for_a_result(ground, broker_url):
    ground.original()
    job, second = ground.submit()
    ground.meanwhile("copy", COPIES, die)
    with pytest.raises(Killed):
        ground.split(second)
    assert len(ground.keys(job)) == COPIES - 1
    ground.blobs.before = ignore
    ground.hands = Hands()
    age_heartbeat(ground.db, ground.worker)
    change(ground.db, "UPDATE worker SET state = 'dead' WHERE id = :w", w=ground.worker)
    assert take_back(ground.db) == 1
    ground.worker = register(ground.db, reader=READER)
    ground.split(second)
    ground.assemble(second)
    assert ground.is_cached(second)
    bell = Doorbell(make_app(BrokerSettings(broker_url=broker_url)))
    mill = at_rest(ground.db, ground.blobs, bell)
    at_once = replace(PATIENCE, orphan=-1.0)
    assert {d.code for d in mill.look(at_once)} == {"object_orphaned"}
    assert {d.code for d in mill.look(at_once, fix=True)} == {"object_orphaned"}
    assert mill.look(at_once, deep=True) == []
    bell.close()


def die() -> None:
    raise Killed


def frozen(ground: Ground, at: int, document: str, act: Any) -> None:
    """A split by a worker that stands still at this copy until it was taken for dead and somebody else acted."""

    def taken_for_dead() -> None:
        ground.blobs.before = ignore
        change(ground.db, "UPDATE worker SET state = 'dead' WHERE id = :w", w=ground.worker)
        assert take_back(ground.db) == 1
        with ThreadPoolExecutor(1) as threads:
            ground.threads, mine = threads, ground.threads
            act(register(ground.db, reader=READER))
            ground.threads = mine

    ground.meanwhile("copy", at, taken_for_dead)
    ground.split(document)


@pytest.mark.parametrize("at", [1, COPIES])
def test_of_two_that_copy_the_one_that_holds_the_document_counts(ground, at):
    ground.original()
    job, second = ground.submit()
    frozen(ground, at, second, lambda worker: ground.split(second, worker=worker))
    assert rows(ground.db, "SELECT DISTINCT attempt FROM page WHERE document_id = :d", d=second) == [(2,)]
    assert {key.partition("/")[2] for key in ground.keys(job) if "/pages/" in key or "/figures/" in key} == {
        "pages/1.2.json", "pages/2.2.json",
        "figures/1.2/page-0001-figure-1.jpg", "figures/2.2/page-0002-figure-1.jpg",
    }  # fmt: skip


@pytest.mark.parametrize("at", [1, COPIES])
def test_a_late_copy_is_never_taken_for_what_was_read_after_all(ground, at):
    """Were pages counted from 1 as usual, the late copy would lie under the key of the page that was read."""
    original, _ = ground.original()
    job, second = ground.submit()

    def read_meanwhile(worker: str) -> None:
        deletion.delete(ground.db, ground.blobs, original)
        ground.split(second, worker=worker)
        ground.read(second, worker=worker, word="again")

    frozen(ground, at, second, read_meanwhile)
    assert not ground.is_cached(second)
    for number in (1, 2):
        attempt = one(ground.db, "SELECT attempt FROM page WHERE document_id = :d AND number = :n", d=second, n=number)
        stored = orjson.loads(ground.blobs.get(page_key(job, second, number, attempt)))
        assert stored["blocks"][0]["content"] == f"again {number}"
        assert ground.told(job, second)["pages"][number - 1]["result"] == stored


def test_a_store_that_goes_away_puts_the_document_off(ground):
    ground.original()
    _, second = ground.submit()
    ground.meanwhile("copy", 3, away)
    ground.split(second)
    assert (ground.state(second), states(ground.db, second)) == ("running", [])
    assert one(ground.db, "SELECT errors FROM document WHERE id = :d", d=second) == 0
    ground.blobs.before = ignore
    ground.split(second)
    assert ground.is_cached(second)


def away() -> None:
    raise StorageUnavailable("the store is away")


def test_a_worker_that_ends_gives_the_document_back(ground):
    ground.original()
    _, second = ground.submit()
    ground.stopping.set()
    ground.split(second)
    assert one(ground.db, "SELECT worker FROM document WHERE id = :d", d=second) is None
    ground.stopping.clear()
    ground.split(second)
    assert ground.is_cached(second)


def test_a_bug_with_one_document_means_reading_it(ground):
    ground.original(2)
    ground.original(3)
    (_, odd), (_, good) = ground.submit(2), ground.submit(3)
    ground.meanwhile("copy", 1, bug)
    ground.split(odd, good)
    assert (ground.is_cached(odd), states(ground.db, odd)) == (False, ["pending"] * 2)
    assert ground.is_cached(good)


def bug() -> None:
    raise RuntimeError("what nobody thought of")


def test_a_split_that_began_to_insert_goes_on_as_it_began(ground):
    """An equal document was read while its worker died: pages that are pending already are read."""
    _, second = ground.submit()
    [claim] = protocol.claim_splits(ground.db, ground.worker, [second])
    with ground.db.write() as session:
        assert lifecycle.submitting.insert_pages(session, second, ground.worker, claim.attempt, [1])
    change(ground.db, "UPDATE document SET worker = NULL WHERE id = :d", d=second)
    ground.original()
    ground.split(second)
    assert (states(ground.db, second), ground.is_cached(second)) == (["pending", "pending"], False)
    assert "copy" not in {verb for verb, _ in ground.blobs.calls}


# --- reconcile


def test_reconcile_takes_nothing_that_is_being_copied_for_an_orphan(ground, broker_url):
    ground.original()
    _, second = ground.submit()
    bell = Doorbell(make_app(BrokerSettings(broker_url=broker_url)))
    mill = Mill(ground.db, ground.blobs, bell, ground.worker)
    found: list[Any] = []
    ground.meanwhile("copy", COPIES, lambda: found.append(stored(mill)), after=True)
    ground.split(second)
    assert found == [[]]
    ground.assemble(second)
    assert stored(mill) == []
    bell.close()


def stored(mill: Mill) -> list[Any]:
    """What a deep look that mends finds wrong with objects, however young they are."""
    return [d for d in mill.look(replace(PATIENCE, orphan=-1.0), deep=True, fix=True) if "object" in d.code]


def test_a_given_result_that_is_lost_is_read_again(ground, broker_url):
    ground.original()
    job, second = ground.submit()
    ground.split(second)
    ground.assemble(second)
    ground.blobs.delete([page_key(job, second, 1, 1)])
    bell = Doorbell(make_app(BrokerSettings(broker_url=broker_url)))
    assert "result_missing" in {d.code for d in at_rest(ground.db, ground.blobs, bell).look(fix=True)}
    bell.close()
    ground.read(second, word="again")
    assert ground.state(second) == "succeeded"
    assert [page["result"]["blocks"][0]["content"] for page in ground.told(job, second)["pages"]] == [
        "again 1", "page 2",
    ]  # fmt: skip
    assert one(ground.db, "SELECT reader FROM document WHERE id = :d", d=second) is None, "of two makings"
