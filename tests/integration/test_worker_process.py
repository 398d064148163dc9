"""Worker processes beside and after one another: queues, slots, signals, starts that fail."""

import signal
import time

import pytest

from jobs import lifecycle
from jobs.blobs import page_key
from jobs.models import State
from jobs.options import EchoOptions
from tests.documents import pdf
from tests.hostile_files import encrypted_pdf
from tests.installation import Installation
from tests.mill import CALM
from tests.processes import alive, wait_until
from tests.soundness import unsound
from workers.consumer import ENGINE_DIED, OVER_MEMORY

MIB = 1024 * 1024


@pytest.fixture
def database_url(postgres_url):
    """PostgreSQL alone: whole workers take seconds, and the tiers acceptance and chaos run them on SQLite."""
    return postgres_url


@pytest.fixture
def mill(tmp_path, database_url, broker_url):
    with Installation(tmp_path, database_url, broker_url, settings=CALM) as found:
        yield found


@pytest.fixture
def small_mill(tmp_path, sqlite_url, broker_url):
    """On SQLite alone, for what has nothing to do with the database."""
    with Installation(tmp_path, sqlite_url, broker_url, settings=CALM) as found:
        yield found


def ended(mill, job_id):
    job = mill.wait(job_id)
    assert unsound(mill, job_id) == []
    return job


def counts(mill, job_id):
    """Errors and crashes of all pages together."""
    pages = mill.pages(job_id)
    return sum(page.errors for page in pages), sum(page.crashes for page in pages)


def busy(mill, job_id, pages):
    mill.until(lambda: mill.count(job_id)["running"] >= pages, f"{pages} pages to run")


# --- beside one another


def test_two_workers_share_the_work(mill):
    with (
        mill.worker(PAGEMILL_ENGINE_CAPACITY="4") as first,
        mill.worker(PAGEMILL_ENGINE_CAPACITY="4", PAGEMILL_DEVICE="1") as second,
    ):
        job_id = mill.submit(*[pdf(10)] * 6, echo=EchoOptions(seconds={"*": 0.1}))
        assert ended(mill, job_id).state is State.SUCCEEDED
        ids = {first.incarnation().id, second.incarnation().id}
        assert {page.worker for page in mill.pages(job_id)} == ids
        assert {page.attempt for page in mill.pages(job_id)} == {1}


def test_a_worker_for_each_purpose(small_mill):
    mill = small_mill
    with (
        mill.worker(PAGEMILL_QUEUES="split,assemble,deliver") as office,
        mill.worker(PAGEMILL_QUEUES="recognize") as reader,
    ):
        assert {office.incarnation().engine, reader.incarnation().engine} == {"", "echo"}
        assert (office.incarnation().slot, reader.incarnation().slot) == ("cpu-0", "cpu-1")
        job_id = mill.submit(pdf(3), *[pdf(40)] * 2, echo=EchoOptions(render=True))
        assert ended(mill, job_id).state is State.SUCCEEDED
        assert {page.worker for page in mill.pages(job_id)} == {reader.incarnation().id}
        assert "pagemill.split" not in reader.output()
        assert "pagemill.recognize" not in office.output()


def test_a_slot_belongs_to_one_living_worker(small_mill):
    mill = small_mill
    with mill.worker() as first, mill.worker() as second, mill.worker(PAGEMILL_DEVICE="3") as third:
        slots = [worker.incarnation().slot for worker in (first, second, third)]
        assert slots == ["cpu-0", "cpu-1", "gpu3-0"]
        taken = mill.worker(PAGEMILL_SLOT="cpu-1").launch()
        assert taken.wait() == 1
        assert "another worker on this host holds slot 'cpu-1'" in taken.output()
        taken.remove()
        second.crash()
        second.start()
        assert second.incarnation().slot == "cpu-1"


def test_a_restarted_worker_takes_its_predecessors_pages_at_once(mill):
    """Long before the dead one's heartbeat is stale: with these timers that would take ten minutes."""
    worker = mill.worker()
    with worker:
        job_id = mill.submit(pdf(20), echo=EchoOptions(seconds={"*": 2}))
        busy(mill, job_id, 20)
        old = worker.incarnation().id
        worker.crash()
        worker.start()
        mill.until(lambda: mill.job(job_id).state is State.SUCCEEDED, "the pages to run again")
        ended(mill, job_id)
        before, now = mill.workers()
        assert (before.id, before.state, before.detail) == (old, "dead", "replaced by a new incarnation")
        assert {(page.worker, page.attempt, page.crashes) for page in mill.pages(job_id)} == {(now.id, 2, 1)}


# --- ends


def test_sigterm_lets_what_runs_finish_and_loses_nothing(mill):
    with mill.worker(PAGEMILL_ENGINE_CAPACITY="8") as worker:
        job_id = mill.submit(*[pdf(5)] * 20, echo=EchoOptions(seconds={"*": 0.2}, render=True))
        mill.wait_for_pages(job_id, 20)
        children = worker.tree()[1:]
        assert worker.terminate() == 0
        wait_until(lambda: not any(map(alive, children)), "the render processes to be gone")
        left = mill.count(job_id)
        assert left["running"] == 0
        assert 20 <= left["succeeded"] < 100
        assert counts(mill, job_id) == (0, 0)
        assert [row.state for row in mill.workers()] == ["stopped"]

        worker.start()
        assert ended(mill, job_id).state is State.SUCCEEDED
        assert counts(mill, job_id) == (0, 0)
        # What had succeeded was not touched again, and what was pending was not begun before.
        assert {page.attempt for page in mill.pages(job_id)} == {1}


def test_what_outlasts_the_grace_time_is_handed_back_uncounted(mill):
    with mill.worker(PAGEMILL_GRACE="5") as worker:
        job_id = mill.submit(pdf(30), pdf(3), echo=EchoOptions(faults={"*": "hang"}))
        busy(mill, job_id, 33)
        assert worker.terminate() == 0
        assert mill.count(job_id) == {"pending": 33}
        assert counts(mill, job_id) == (0, 0)
        [row] = mill.workers()
        assert (row.state, row.pages_running) == ("stopped", 0)
        lifecycle.cancel(mill.db, job_id)

        # The lease went with it: the next worker acts at once and everything is in order.
        worker.start()
        ended(mill, job_id)
        assert ended(mill, mill.submit(pdf(3))).state is State.SUCCEEDED


def test_a_document_that_will_not_open_does_not_outlast_the_grace_time(small_mill):
    mill = small_mill
    with mill.worker(PAGEMILL_GRACE="5") as worker:
        ended(mill, mill.submit(pdf(1)))
        openers = worker.tree()[1:]
        for opener in openers:
            opener.send_signal(signal.SIGSTOP)
        job_id = mill.submit(pdf(4))
        mill.until(lambda: mill.documents(job_id)[0].state is State.RUNNING, "the split to begin")
        assert worker.terminate() == 0
        wait_until(lambda: not any(map(alive, openers)), "the render processes to be gone")
        worker.start()
        assert ended(mill, job_id).state is State.SUCCEEDED
        assert mill.documents(job_id)[0].error is None


def test_a_page_that_stops_the_engines_loop_ends_and_its_neighbours_succeed(mill):
    """Such a worker sends heartbeats for ever, and none of its pages has a deadline any more."""
    with mill.worker(PAGEMILL_STALL_TIMEOUT="1", PAGEMILL_MAX_CRASHES="1") as worker:
        job_id = mill.submit(pdf(6), echo=EchoOptions(faults={"4": "block"}))
        deaths = 0
        while not mill.job(job_id).finished_at:
            if not worker.running:
                assert worker.wait() == ENGINE_DIED
                deaths += 1
                worker.start()
            time.sleep(0.05)
        assert ended(mill, job_id).state is State.PARTIAL
        [failed] = [page for page in mill.pages(job_id) if page.error is not None]
        assert (failed.number, failed.error.code, failed.crashes) == (4, "page_crashed", deaths)


def test_a_worker_with_too_much_memory_drains_and_asks_to_be_started_again(mill):
    with mill.worker(PAGEMILL_WORKER_MEMORY=str(64 * MIB), PAGEMILL_STALL_TIMEOUT="8") as worker:
        job_id = mill.submit(pdf(30), echo=EchoOptions(seconds={"*": 3.0}))
        assert worker.wait() == OVER_MEMORY
        assert "bytes of memory, the limit is 67108864: draining" in worker.output()
        [row] = mill.workers()
        assert (row.state, row.pages_running) == ("stopped", 0)
    with mill.worker():
        assert ended(mill, job_id).state is State.SUCCEEDED
        assert counts(mill, job_id) == (0, 0)


def test_a_second_sigterm_ends_at_once(small_mill):
    mill = small_mill
    with mill.worker(PAGEMILL_GRACE="6000") as worker:
        job_id = mill.submit(pdf(5), echo=EchoOptions(faults={"*": "hang"}))
        busy(mill, job_id, 5)
        worker.send(signal.SIGTERM)
        mill.until(lambda: worker.incarnation().state == "draining", "the first signal to be heard")
        worker.send(signal.SIGTERM)
        assert worker.wait() == 128 + signal.SIGTERM
        assert mill.count(job_id) == {"running": 5}, "for rescue to take back"


def drain(mill, worker):
    lifecycle.drain(mill.db, worker.incarnation().id)
    mill.until(lambda: worker.incarnation().state == "draining", "the drain to be heard")


def test_a_drained_worker_claims_nothing_more_finishes_and_ends(mill):
    """However short the grace time; its neighbour goes on."""
    with mill.worker(PAGEMILL_GRACE="0.1", PAGEMILL_ENGINE_CAPACITY="8") as worker:
        slow = mill.submit(pdf(8), echo=EchoOptions(seconds={"*": 3.0}))
        busy(mill, slow, 8)
        drain(mill, worker)
        with mill.worker(PAGEMILL_DEVICE="1") as neighbour:
            later = mill.submit(pdf(6))
            assert worker.wait() == 0
            assert ended(mill, later).state is State.SUCCEEDED
            assert {page.worker for page in mill.pages(later)} == {neighbour.incarnation().id}
        assert mill.job(slow).state is State.SUCCEEDED
        assert {page.attempt for page in mill.pages(slow)} == {1}, "nothing was handed back"
        assert worker.incarnation().state == "stopped"


def test_a_signal_while_draining_begins_the_grace_time(small_mill):
    mill = small_mill
    with mill.worker(PAGEMILL_GRACE="5") as worker:
        job_id = mill.submit(pdf(5), echo=EchoOptions(faults={"*": "hang"}))
        busy(mill, job_id, 5)
        drain(mill, worker)
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
        assert mill.count(job_id) == {"pending": 5}
        assert counts(mill, job_id) == (0, 0)


def test_a_render_process_does_not_outlive_its_killed_worker(small_mill):
    mill = small_mill
    with mill.worker(PAGEMILL_RENDER_PROCESSES="2") as worker:
        ended(mill, mill.submit(pdf(4), echo=EchoOptions(render=True)))
        left = worker.crash()
        assert len(left) >= 3, "two that render and one that opens documents"
        wait_until(lambda: not any(map(alive, left)), "the render processes to be gone")


# --- what is broken beside it


def test_a_stored_result_that_is_damaged_ends_its_document_alone(mill):
    """Small documents are assembled in groups by the worker that read them, larger ones by a task: both kinds here."""
    with mill.worker() as worker:
        slow = {"2": 2.5, "35": 2.5}
        job_id = mill.submit(pdf(2), pdf(35), pdf(2), pdf(35), echo=EchoOptions(seconds=slow))
        mill.wait_for_pages(job_id, 74 - 6)
        worker.crash()  # what it remembers of the pages goes with it
        damaged = [document.id for document in mill.documents(job_id)[:2]]
        for document in damaged:
            mill.blobs.put(page_key(job_id, document, 1, 1), b'{"number":1,"blocks":[{"lab')
        worker.start()
        job = ended_with_damage(mill, job_id)
        assert [d.state for d in mill.documents(job_id)] == ["failed", "failed", "succeeded", "succeeded"]
        assert {d.error.code for d in mill.documents(job_id)[:2]} == {"internal_error"}
        assert (job.state, job.documents.failed) == (State.PARTIAL, 2)
        # The worker goes on, with documents of both sizes.
        assert ended(mill, mill.submit(pdf(1), pdf(40))).state is State.SUCCEEDED


def ended_with_damage(mill, job_id):
    job = mill.wait(job_id)
    assert mill.count(job_id) == {"succeeded": 74}
    return job


def test_a_worker_without_the_secret_key_fails_no_document(small_mill):
    mill = small_mill
    with mill.worker(PAGEMILL_SECRET_KEY="") as worker:
        job_id = mill.submit(encrypted_pdf("sesame"), password="sesame")
        mill.until(lambda: "PAGEMILL_SECRET_KEY" in worker.output(), "the worker to say what is missing")
        assert mill.documents(job_id)[0].state is State.RUNNING
    with mill.worker():
        assert ended(mill, job_id).state is State.SUCCEEDED


# --- starts that fail


def test_an_engine_that_cannot_start(small_mill):
    mill = small_mill
    worker = mill.worker(PAGEMILL_ENGINE="nonesuch").launch()
    assert worker.wait() == 1
    [row] = mill.workers()
    assert (row.state, "there is no engine 'nonesuch'" in row.detail) == ("stopped", True)
    [line] = [line for line in worker.output().splitlines() if line.startswith("pagemill worker:")]
    assert line.startswith("pagemill worker: engine_unavailable: there is no engine 'nonesuch'; known: echo, ")
    assert "Traceback" not in worker.output()
    worker.remove()


def test_a_setting_that_is_wrong(small_mill):
    worker = small_mill.worker(PAGEMILL_QUEUES="recognise").launch()
    assert worker.wait() == 1
    assert "unknown purpose 'recognise'; known: recognize, split" in worker.output()
    assert "Traceback" not in worker.output()
    worker.remove()
