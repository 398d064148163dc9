"""Documents in, results out, through real worker processes: what ordinary jobs become."""

import orjson

from jobs.blobs import page_key, result_key
from jobs.models import State
from jobs.options import EchoOptions
from jobs.store import reading
from tests.documents import pdf
from tests.installation import Installation
from tests.mill import CALM, mill_fixture
from tests.processes import wait_until
from tests.soundness import unsound

mill = mill_fixture()


def ended(mill, job_id):
    job = mill.wait(job_id)
    assert unsound(mill, job_id) == []
    return job


def page_results(mill, job_id):
    return [
        orjson.loads(mill.blobs.get(page_key(job_id, page.document_id, page.number, page.attempt)))
        for page in mill.pages(job_id)
    ]


def test_one_page(mill):
    job_id = mill.submit(pdf(1), metadata={"order": 7})
    job = ended(mill, job_id)
    assert (job.state, job.pages.total, job.pages.succeeded) == (State.SUCCEEDED, 1, 1)
    [line] = mill.manifest(job_id)["documents"]
    assert mill.blobs.get(f"jobs/{job_id}/{line['markdown']}") == b"page 1\n"
    assert mill.manifest(job_id)["metadata"] == {"order": 7}


def test_many_documents(mill):
    job_id = mill.submit(*[pdf(2)] * 70, pdf(40))
    job = ended(mill, job_id)
    assert (job.documents.succeeded, job.pages.succeeded) == (71, 180)
    assert {page.attempt for page in mill.pages(job_id)} == {1}, "nothing was done twice"


def test_a_document_of_a_thousand_pages(mill):
    job_id = mill.submit(pdf(1000))
    job = ended(mill, job_id)
    assert (job.state, job.pages.succeeded) == (State.SUCCEEDED, 1000)
    assert mill.documents(job_id)[0].source_pages == 1000


def test_more_pages_than_one_insert_holds(mill):
    job_id = mill.submit(pdf(2300), pages="1-1100,2299-")
    job = ended(mill, job_id)
    assert (job.state, job.pages.succeeded) == (State.SUCCEEDED, 1102)


def test_page_ranges(mill):
    job_id = mill.submit(pdf(6), pdf(3), pages="2-3,5-")
    ended(mill, job_id)
    first, second = mill.documents(job_id)
    numbers = [(page.document_id, page.number) for page in mill.pages(job_id)]
    assert numbers == [*((first.id, n) for n in (2, 3, 5, 6)), *((second.id, n) for n in (2, 3))]
    assert (first.source_pages, second.source_pages) == (6, 3)


def test_rendered_pages(mill):
    job_id = mill.submit(pdf(3), echo=EchoOptions(render=True), dpi=144)
    ended(mill, job_id)
    images = [result["image"] for result in page_results(mill, job_id)]
    assert images == [{"width": 400, "height": 200, "dpi": 144.0, "rotation": 0}] * 3
    assert all(result["timings"]["render"] > 0 for result in page_results(mill, job_id))


def test_rendered_pages_with_their_own_text(mill):
    job_id = mill.submit(pdf(2, text="number {n}"), echo=EchoOptions(render=True, layer=True))
    assert mill.wait(job_id).state is State.SUCCEEDED
    contents = [result["blocks"][0]["content"] for result in page_results(mill, job_id)]
    assert contents == ["page 1\nnumber 1", "page 2\nnumber 2"]


def test_page_results_are_readable_while_the_document_runs(mill):
    job_id = mill.submit(pdf(40), echo=EchoOptions(faults={"40": "hang"}))
    mill.wait_for_pages(job_id, 39)
    [document] = mill.documents(job_id)
    assert document.state is State.RUNNING
    assert mill.results(job_id) == {(document.id, n): f"page {n}" for n in range(1, 40)}
    assert mill.blobs.stat(result_key(job_id, document.id, 2, "document.json")) is None


def test_with_an_s3_store(tmp_path, sqlite_url, broker_url, seaweedfs):
    seaweedfs.create_bucket("jobs")
    store = {
        "PAGEMILL_STORE_URL": "s3://jobs/mill",
        "PAGEMILL_S3_ENDPOINT": seaweedfs.url,
        "PAGEMILL_S3_ACCESS_KEY": seaweedfs.access_key,
        "PAGEMILL_S3_SECRET_KEY": seaweedfs.secret_key,
    }
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    settings = CALM | {"PAGEMILL_SCRATCH": str(scratch), "PAGEMILL_SCRATCH_BYTES": str(1 << 20)}
    with Installation(tmp_path, sqlite_url, broker_url, store, settings) as mill, mill.worker() as worker:
        # Together larger than the room for copies: what nobody reads any more makes way.
        large = [pdf(3, text=f"{'x' * 100_000} {number}") for number in range(6)]
        job_id = mill.submit(*large, *[pdf(2)] * 20, pdf(100), echo=EchoOptions(render=True))
        job = ended(mill, job_id)
        assert (job.state, job.pages.succeeded) == (State.SUCCEEDED, 158)
        copies = [path for path in scratch.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in copies) <= 1 << 20
        worker.crash()
        assert any(path.is_file() for path in scratch.rglob("*"))
        worker.start()
        assert not any(path.is_file() for path in scratch.rglob("*")), "the next one clears what a killed one left"
        assert ended(mill, mill.submit(pdf(1), echo=EchoOptions(render=True))).state is State.SUCCEEDED
        assert worker.terminate() == 0
        assert list(scratch.iterdir()) == [], "an orderly end leaves nothing"


def test_a_worker_tells_how_fast_it_reads(mill):
    """With its heartbeat; what waits is foretold from it."""
    job_id = mill.submit(pdf(20), echo=EchoOptions(seconds={"*": 0.05}))
    ended(mill, job_id)

    def paces():
        with mill.db.read() as session:
            return [worker.pace for worker in reading.list_workers(session) if worker.pace is not None]

    wait_until(paces, "a heartbeat with a pace")
    assert all(0.0 < pace < 1000.0 for pace in paces())
