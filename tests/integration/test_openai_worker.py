"""Whole workers that read by servers which misbehave: PDFs in through the queue, results, rows and ledger out.

A page's number is in two shades of gray, and the servers read it there: the ledger knows whose answer it was.
"""

import base64
import io
import itertools
import signal
import socket
import struct
import threading
import time

import orjson
import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas
from sqlalchemy import text

from jobs import lifecycle
from jobs.blobs import page_key
from jobs.models import PageState, State
from tests.installation import Installation
from tests.mill import CALM
from tests.openai_server import OpenAiServer
from tests.processes import wait_until
from tests.soundness import unsound

ENGINE = "paddleocr_vl"
ENGINE_DIED = 70


@pytest.fixture
def mill(tmp_path, valkey):
    valkey.flush()
    settings = CALM | {
        "PAGEMILL_ENGINE": ENGINE,
        "PAGEMILL_VL_BACKEND": "openai",
        "PAGEMILL_VL_LAYOUT_MODEL": "none",
        "PAGEMILL_VL_MIN_PIXELS": "784",
        "PAGEMILL_OPENAI_PATIENCE": "3",
    }
    with Installation(tmp_path, f"sqlite:///{tmp_path / 'pagemill.db'}", valkey.url_of(5), settings=settings) as found:
        yield found


SHADES, SHADE = 12, 20


def shaded_pdf(pages):
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(112, 56))
    for number in range(1, pages + 1):
        for left, shade in enumerate(divmod(number, SHADES)):
            canvas.setFillGray(shade * SHADE / 255)
            canvas.rect(56 * left, 0, 56, 56, stroke=0, fill=1)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def image_of(body):
    return body["messages"][0]["content"][0]["image_url"]["url"]


def number_of(body):
    """0 for the backend's own probe, which is white."""
    data = base64.b64decode(image_of(body).partition(",")[2])
    gray = Image.open(io.BytesIO(data)).convert("L").resize((112, 56))
    high, low = (round(gray.getpixel((x, 28)) / SHADE) for x in (28, 84))
    return 0 if high > SHADES else high * SHADES + low


def reading_server(misbehaviour=lambda _handler, _number: False):
    server = OpenAiServer(misbehaviour)
    server.reads = lambda body: f"page {number_of(body)}"
    return server


def submit(mill, pages):
    return mill.submit(shaded_pdf(pages), engine=ENGINE, dpi=72)


def worker_on(mill, *servers, **settings):
    return mill.worker(PAGEMILL_OPENAI_URLS=",".join(server.url for server in servers), **settings)


def crashes(mill):
    with mill.db.read() as session:
        return session.connection().execute(text("SELECT sum(crashes) FROM page")).scalar_one()


def warned(mill, job):
    found = set()
    for document, number, state, attempt in mill.page_rows(job):
        if state == "succeeded":
            page = orjson.loads(mill.blobs.get(page_key(job, document, number, attempt)))
            found |= {warning["code"] for warning in page["warnings"]}
    return found


def ended(mill, job):
    state = mill.wait(job).state
    assert unsound(mill, job) == []
    return state


# --- the connection


def reset(handler):
    """RST instead of an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


PASSING = [
    lambda handler: handler.reply(500, b"oops"),
    lambda handler: handler.reply(502, b"<html>bad gateway"),
    lambda handler: handler.reply(429, {"error": "slow down"}, retry_after="1"),
    lambda handler: handler.reply(503, b""),
    lambda handler: handler.reply(200, b"<html>what?"),
    lambda handler: handler.reply(200, b'{"choices": [{"message": {"content": null}}]}'),
    lambda handler: handler.half(),
    lambda handler: handler.nothing(),
    reset,
]


def test_every_fault_that_passes_costs_no_page(mill):
    """The first time that a page is shown, its answer is a fault; the second time it is read."""
    seen, turns, lock = set(), itertools.cycle(PASSING), threading.Lock()

    def misbehave(handler, number):
        page = number_of(handler.owner.bodies[number - 1])
        with lock:
            if page == 0 or page in seen:
                return False
            seen.add(page)
            act = next(turns)
        act(handler)
        return True

    with reading_server(misbehave) as server, worker_on(mill, server) as worker:
        job = submit(mill, 3 * len(PASSING))
        assert ended(mill, job) is State.SUCCEEDED
        assert (warned(mill, job), crashes(mill)) == (set(), 0)
        assert len(seen) == 3 * len(PASSING)
        assert worker.terminate() == 0


def test_one_of_two_servers_that_is_ill_costs_no_page(mill):
    with reading_server() as ill, reading_server() as well, worker_on(mill, ill, well) as worker:
        ill.misbehaviour = lambda handler, _number: handler.reply(500, b"out of memory") or True
        job = submit(mill, 40)
        assert ended(mill, job) is State.SUCCEEDED
        assert {page.attempt for page in mill.pages(job)} == {1}
        assert worker.terminate() == 0


def test_pressure_puts_pages_off_and_nothing_else(mill):
    """Longer than patience and than the time after which an engine that does nothing counts as dead."""
    with reading_server() as server, worker_on(mill, server, PAGEMILL_VL_STALL_TIMEOUT="2") as worker:
        server.misbehaviour = lambda handler, _number: handler.reply(429, b"full", retry_after="1") or True
        job = submit(mill, 40)
        wait_until(lambda: len(server.bodies) > 1, "the first refusal")
        time.sleep(8)
        assert worker.running
        server.misbehaviour = lambda _handler, _number: False
        assert ended(mill, job) is State.SUCCEEDED
        assert [page.number for page in mill.pages(job) if page.errors] == [], worker.output()[-8000:]
        assert crashes(mill) == 0
        assert worker.terminate() == 0


def test_a_page_that_is_never_answered_is_one_page(mill):
    hang = threading.Event()

    def misbehave(handler, number):
        return number_of(handler.owner.bodies[number - 1]) == 7 and hang.wait(120)

    with reading_server(misbehave) as server, worker_on(mill, server, PAGEMILL_VL_REQUEST_TIMEOUT="1") as worker:
        job = submit(mill, 12)
        assert ended(mill, job) is State.PARTIAL
        [failed] = [page for page in mill.pages(job) if page.state is not PageState.SUCCEEDED]
        assert (failed.number, failed.error.code, failed.errors) == (7, "page_timeout", 3)
        hang.set()
        assert worker.terminate() == 0


def test_a_server_that_goes_ends_the_worker_and_no_page(mill):
    with reading_server() as first:
        first.misbehaviour = lambda _handler, _number: bool(time.sleep(0.05))
        worker = worker_on(mill, first, PAGEMILL_OPENAI_PATIENCE="1", PAGEMILL_VL_CONCURRENCY="8")
        with worker:
            job = submit(mill, 120)
            mill.wait_for_pages(job, 10)
            first.close()
            assert worker.wait() == ENGINE_DIED
        assert mill.count(job)["failed"] == mill.count(job)["running"] == 0
        assert mill.workers()[-1].detail.startswith("no server answers: ")
        inside = crashes(mill)
        assert inside <= 8, "what was sent may be what it died of; what was not is not"
    with reading_server() as second, worker_on(mill, second) as worker:
        assert ended(mill, job) is State.SUCCEEDED
        assert crashes(mill) == inside
        assert worker.terminate() == 0


# --- cancel, SIGTERM


@pytest.fixture
def held():
    """A server that keeps every page until told otherwise."""
    release = threading.Event()
    with reading_server() as server:
        server.release = release
        yield server
        release.set()


def hold(server):
    server.misbehaviour = lambda _handler, _number: not server.release.wait(120)


def test_a_canceled_job_hangs_up_on_the_server(mill, held):
    with worker_on(mill, held, PAGEMILL_VL_CONCURRENCY="4") as worker:
        hold(held)
        job = submit(mill, 12)
        wait_until(lambda: len(held.bodies) == 5, "four pages to be sent")
        lifecycle.cancel(mill.db, job)
        assert mill.wait(job).state is State.CANCELED
        held.misbehaviour = lambda _handler, _number: False
        other = submit(mill, 12)
        assert ended(mill, other) is State.SUCCEEDED, "the four places are free again, though nothing was answered"
        assert worker.terminate() == 0


def test_sigterm_gives_back_what_is_not_answered_in_time(mill, held):
    with worker_on(mill, held, PAGEMILL_GRACE="10") as worker:
        hold(held)
        job = submit(mill, 6)
        wait_until(lambda: len(held.bodies) == 7, "all pages to be sent")
        worker.send(signal.SIGTERM)
        assert worker.wait(30) == 0
    assert mill.count(job)["pending"] == 6
    assert crashes(mill) == 0
    held.release.set()
    held.misbehaviour = lambda _handler, _number: False
    with worker_on(mill, held) as worker:
        assert ended(mill, job) is State.SUCCEEDED
        assert worker.terminate() == 0
