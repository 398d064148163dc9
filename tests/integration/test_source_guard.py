"""Sources that lead to where nobody may ask: however an address is written, wherever a redirect points, and whatever a
name means a moment later. Real servers on loopback, the fetcher as a worker has it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs import lifecycle
from jobs.blobs import Places
from jobs.ids import new_job_id
from jobs.lifecycle import UNKNOWN_TYPE
from jobs.models import KeyGrants
from jobs.options import JobOptions
from jobs.settings import BlobSettings, LimitSettings, OutboundSettings
from jobs.store import reading
from tests.documents import pdf
from tests.protocol import document_refs, new_document, one, register
from tests.receiver import HOST, Answer, Receiver
from workers.fetch import MAX_REDIRECTS, Fetcher
from workers.hands import Hands
from workers.listing import Reach
from workers.outbound import Outbound, resolve_host
from workers.retries import Backoff

SECRET = "internal and secret"


@pytest.fixture
def inside():
    """What only this machine should reach."""
    with Receiver(lambda _: Answer(200, {}, SECRET.encode())) as found:
        yield found


@pytest.fixture
def fetched(db, blobs):
    """A function: these URLs as the documents of a job, and what became of each: its state, code, and error."""
    worker = register(db)
    ended = []

    def fetch(*urls, allow="", resolve=resolve_host):
        documents = [
            new_document(number, media_type=UNKNOWN_TYPE, bytes=0, sha256="", source_url=url)
            for number, url in enumerate(urls)
        ]
        job = new_job_id()
        lifecycle.submit(db, job_id=job, options=JobOptions(), engine="echo", documents=documents, vault=None)
        outbound = Outbound(OutboundSettings(outbound_allow=allow, outbound_http=True), resolve=resolve)
        with ThreadPoolExecutor(4) as threads:
            fetcher = Fetcher(
                db, blobs, Places(BlobSettings()), outbound, Reach(KeyGrants(), (), web=True),
                LimitSettings(), Backoff(1, 1, 1), Hands(), threads,
                threading.Event(), lambda: worker, on_fetched=lambda: None, on_ended=ended.append,
            )  # fmt: skip
            assert fetcher.run(document_refs(db, [document.id for document in documents])) == len(urls)
        with db.read() as session:
            found = reading.list_documents(session, job, limit=1000)
        return [(d.error.code if d.error else None, d.error) for d in found]

    return fetch


SPELLINGS = [
    "127.0.0.1", "localhost", "LOCALHOST.", "127.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.0.0.1",
    "0177.0.0.1", "017700000001", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fd00:ec2::254]", "169.254.169.254", "[::ffff:a9fe:a9fe]",
    "2852039166", "0xa9fea9fe", "10.0.0.1", "192.168.0.1", "100.64.0.1", "[64:ff9b::a9fe:a9fe]", "metadata.localhost",
    "127.0.0.1.", "①②⑦.⓪.⓪.①",
]  # fmt: skip


def test_no_spelling_of_an_internal_address_is_asked(fetched, inside):
    urls = [f"{scheme}://{host}:{inside.port}/latest" for host in SPELLINGS for scheme in ("http", "https")]
    found = fetched(*urls)
    # Where the resolver does not know a spelling, there is nothing to ask either.
    assert {code for code, _ in found} <= {"source_forbidden", "source_unreachable"}
    assert [code for code, _ in found].count("source_forbidden") > 2 * len(SPELLINGS) - 12
    assert inside.received == []


def test_no_redirect_leads_inside(fetched, inside):
    """The first address is allowed, and says something else each time."""
    targets = [f"{scheme}://{host}:{inside.port}/" for host in SPELLINGS for scheme in ("http", "https")]
    targets += [
        f"//{HOST}:{inside.port}/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "gopher://127.0.0.1:6379/_FLUSHALL",
    ]
    targets += [f"http://a:b@{HOST}:{inside.port}/", f"http://{HOST}:{inside.port}\\@example.org/", "http://[::1", ""]
    answers = {f"/{number}": target for number, target in enumerate(targets)}

    def answer(request):
        return Answer(302, {"Location": answers[request.path].encode().decode("latin-1")})

    with Receiver(answer) as outside:
        found = fetched(*[outside.url(path) for path in answers], allow=f"{HOST}:{outside.port}")
        assert len(outside.received) == len(targets)
    assert {code for code, _ in found} <= {"source_forbidden", "source_unreachable"}
    assert inside.received == []
    assert SECRET not in str([error for _, error in found])


def test_redirects_are_followed_where_they_may_lead_and_not_for_ever(fetched, inside):
    inside.answer = lambda _: Answer(200, {}, pdf(1))
    with Receiver() as outside:
        allow = f"{HOST}:{outside.port},{HOST}:{inside.port}"
        outside.answer = lambda _: Answer(307, {"Location": inside.url("/a.pdf")})
        assert [code for code, _ in fetched(outside.url("/"), allow=allow)] == [None]
        outside.received.clear()
        outside.answer = lambda request: Answer(302, {"Location": request.path + "x"})
        [(code, error)] = fetched(outside.url("/?key=hidden"), allow=allow)
        assert (code, error.limit) == ("source_forbidden", MAX_REDIRECTS)
        assert "hidden" not in error.model_dump_json()
        assert len(outside.received) == MAX_REDIRECTS + 1


def test_a_name_that_means_something_else_a_moment_later_is_checked_each_time(fetched, inside):
    """Rebinding: public when it is checked, internal when it is connected to; and between two redirects."""
    answers = iter([["127.0.0.2"], [HOST], [HOST]])
    asked = []

    def resolve(host, port):
        asked.append(host)
        return next(answers)

    redirect = Answer(302, {"Location": f"http://rebinding.example:{inside.port}/again"})
    with Receiver(lambda _: redirect, host="127.0.0.2", port=inside.port) as outside:
        url = f"http://rebinding.example:{inside.port}/"
        found = fetched(url, allow="127.0.0.2", resolve=resolve)
        assert [code for code, _ in found] == ["source_forbidden"]
        assert asked == ["rebinding.example"] * 2, "once for each request, and what was checked is connected to"
        assert len(outside.received) == 1
    assert inside.received == []
    assert HOST not in found[0][1].detail, "what a name means inside is nobody's business"


def test_what_an_internal_server_says_is_not_told(fetched, inside, db):
    """A server that may be asked but refuses: its answer is a number, not its text."""
    inside.answer = lambda _: Answer(403, {"Content-Type": "text/plain"}, SECRET.encode())
    [(code, error)] = fetched(inside.url("/a?token=hidden"), allow=HOST)
    assert (code, error.actual) == ("source_forbidden", 403)
    told = one(db, "SELECT CAST(error AS text) FROM document")
    assert SECRET not in told
    assert "hidden" not in told
