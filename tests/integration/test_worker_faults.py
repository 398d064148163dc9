"""Faults of single pages: an error, a hang, a killed render process. None of them touches a neighbour."""

import signal

import psutil

from jobs.models import State
from jobs.options import EchoOptions
from tests.documents import pdf
from tests.mill import mill_fixture
from tests.soundness import unsound

mill = mill_fixture(PAGEMILL_PAGE_TIMEOUT="2")


def ended(mill, job_id):
    job = mill.wait(job_id)
    assert unsound(mill, job_id) == []
    return job


def told(mill, job_id):
    """(state, code, errors) by page number of a job of one document, of pages that did not just succeed."""
    return {
        page.number: (page.state.value, page.error.code if page.error else None, page.errors)
        for page in mill.pages(job_id)
        if (page.state, page.errors) != ("succeeded", 0)
    }


def test_errors(mill):
    faults = {"2": "error", "4": "error_once", "6": "fatal_error"}
    job_id = mill.submit(pdf(20), pdf(5), echo=EchoOptions(faults=faults))
    # The second document has the same faults: errors of different documents are counted apart.
    job = ended(mill, job_id)
    first, second = (d.id for d in mill.documents(job_id))
    pages = {(p.document_id, p.number): p for p in mill.pages(job_id)}
    assert {d.state for d in mill.documents(job_id)} == {State.PARTIAL}
    assert (job.state, job.pages.succeeded, job.pages.failed) == (State.PARTIAL, 22, 3)
    for document in (first, second):
        failed, recovered = pages[document, 2], pages[document, 4]
        assert (failed.error.code, failed.errors, failed.attempt) == ("engine_error", 3, 3)
        assert (recovered.error, recovered.errors, recovered.attempt) == (None, 1, 2)
    fatal = pages[first, 6]
    assert (fatal.error.code, fatal.errors, fatal.attempt) == ("page_render_failed", 1, 1)
    assert all(p.attempt == 1 for (_, number), p in pages.items() if number not in (2, 4, 6))
    assert all(p.crashes == 0 for p in pages.values())


def test_a_job_without_one_good_page_fails_and_says_why(mill):
    job_id = mill.submit(pdf(2), echo=EchoOptions(faults={"*": "fatal_error"}))
    assert ended(mill, job_id).state is State.FAILED
    [document] = mill.documents(job_id)
    assert (document.state, document.error.code) == (State.FAILED, "page_render_failed")
    assert mill.manifest(job_id)["documents"][0]["error"]["code"] == "page_render_failed"


def test_a_hanging_page_times_out_and_its_neighbours_succeed(mill):
    job_id = mill.submit(pdf(30), echo=EchoOptions(faults={"7": "hang"}))
    assert ended(mill, job_id).state is State.PARTIAL
    assert told(mill, job_id) == {7: ("failed", "page_timeout", 3)}
    [page] = [page for page in mill.pages(job_id) if page.number == 7]
    assert (page.error.limit, page.crashes) == (2, 0)


def test_a_killed_render_process_fails_its_page_alone(mill):
    job_id = mill.submit(pdf(12), echo=EchoOptions(render=True, faults={"5": "kill_render"}))
    assert ended(mill, job_id).state is State.PARTIAL
    assert told(mill, job_id) == {5: ("failed", "page_render_failed", 1)}


def test_pages_that_wait_for_a_hanging_render_process_do_not_time_out(mill):
    """The deadline is of the work on a page, not of its wait behind others."""
    ended(mill, mill.submit(pdf(1), echo=EchoOptions(render=True)))
    render_process(mill).send_signal(signal.SIGSTOP)
    job_id = mill.submit(pdf(1), *[pdf(2)] * 5, echo=EchoOptions(render=True))
    assert ended(mill, job_id).state is State.SUCCEEDED
    assert [page.errors for page in mill.pages(job_id)].count(1) == 1, "only the page that it was working on"
    assert sum(page.errors for page in mill.pages(job_id)) == 1


def render_process(mill):
    """Of the two processes of the worker, the one that opens documents is older: each job begins with a split."""
    [worker] = mill.started
    return max(psutil.Process(worker.pid).children(), key=psutil.Process.create_time)


def test_the_worker_survived_all_of_it(mill):
    [worker] = mill.started
    assert worker.running
    assert [row.state for row in mill.workers()] == ["alive"]
