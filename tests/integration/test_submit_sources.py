"""Documents by where they lie: JSON and manifests, from S3, the web and uploads by link, with real workers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from jobs import keys, lifecycle
from jobs.models import KeyGrants, KeyLimits, Scope, State
from tests.api_server import ApiServer, files
from tests.documents import pdf
from tests.installation import Installation
from tests.mill import CALM
from tests.protocol import one, rows
from tests.receiver import Answer, Receiver
from tests.soundness import unsound

NDJSON = "application/x-ndjson"


class Place:
    """An installation on S3 with a worker, a server that asks for keys, a bucket of somebody's, and a web server."""

    def __init__(self, mill, server, bucket, seaweedfs, web):
        self.mill, self.server, self.bucket, self.s3, self.web = mill, server, bucket, seaweedfs.client, web
        self.clients = []
        self.own = mill.store["PAGEMILL_STORE_URL"].removeprefix("s3://").partition("/")[0]

    def put(self, key, data=None):
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=pdf(1) if data is None else data)
        return f"s3://{self.bucket}/{key}"

    def key(self, *prefixes, scopes=(Scope.SUBMIT, Scope.READ), **limits):
        grants = KeyGrants(sources=tuple(f"s3://{self.bucket}/{p}" for p in prefixes)) if prefixes else KeyGrants()
        return self.client(grants, scopes, **limits)

    def client(self, grants, scopes=(Scope.SUBMIT, Scope.READ), **limits):
        _, secret = keys.create(self.mill.db, "somebody", scopes, KeyLimits(**limits), grants)
        self.clients.append(self.server.client(headers={"Authorization": f"Bearer {secret}"}))
        return self.clients[-1]

    def ended(self, http, response):
        assert response.status_code == 202, response.text
        job = self.mill.wait(response.json()["id"])
        assert unsound(self.mill, job.id) == []
        return job

    def documents(self, http, job):
        return http.get(f"jobs/{job.id}/documents?limit=1000").json()["items"]


@pytest.fixture
def place(whole):
    yield whole
    while whole.clients:
        whole.clients.pop().close()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def whole(request, tmp_path_factory, valkey, seaweedfs):
    root = tmp_path_factory.mktemp("sources")
    url = (
        f"sqlite:///{root / 'pagemill.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres").create_database("submit_sources")
    )
    own = f"own-{request.param}"
    seaweedfs.create_bucket(own)
    store = {
        "PAGEMILL_STORE_URL": f"s3://{own}/mill",
        "PAGEMILL_S3_ENDPOINT": seaweedfs.url,
        "PAGEMILL_S3_ACCESS_KEY": seaweedfs.access_key,
        "PAGEMILL_S3_SECRET_KEY": seaweedfs.secret_key,
    }
    with Receiver() as web:
        settings = CALM | {"PAGEMILL_OUTBOUND_ALLOW": f"127.0.0.1:{web.port}", "PAGEMILL_MAX_FILE_BYTES": "200000"}
        with Installation(root, url, valkey.url_of(5), store, settings) as mill, mill.worker():
            values = {name.removeprefix("PAGEMILL_").lower(): value for name, value in mill.store.items()}
            server = ApiServer(url, auth="keys", max_file_bytes=200_000, max_documents=3000, **values)
            with server:
                bucket = f"theirs-{request.param}"
                seaweedfs.create_bucket(bucket)
                yield Place(mill, server, bucket, seaweedfs, web)


# --- single sources


def test_json_with_an_object_a_page_of_the_web_and_neighbours_that_are_bad(place):
    url = place.put("in/a b ü.pdf", pdf(2))
    place.put("elsewhere/secret.pdf")
    place.web.answer = answering({"/docs/x.pdf": pdf(3), "/moved": "/docs/x.pdf", "/text": b"just text"})
    http = place.key("in/")
    sources = [
        {"url": url},
        {"url": place.web.url("/docs/x.pdf?token=secret"), "name": "shown/x.pdf"},
        {"url": place.web.url("/moved")},
        {"url": place.web.url("/text")},
        {"url": place.web.url("/none")},
        {"url": f"s3://{place.bucket}/elsewhere/secret.pdf"},
        {"url": f"s3://{place.bucket}/in/none.pdf"},
        {"url": "ftp://example.org/a.pdf"},
        {"url": "http://169.254.169.254/latest/meta-data"},
    ]
    job = place.ended(http, http.post("jobs", json={"sources": sources, "options": {"metadata": {"a": 1}}}))
    assert job.metadata == {"a": 1}
    found = place.documents(http, job)
    told = [(d["name"], d["state"], (d["error"] or {}).get("code"), d["pages"]["succeeded"]) for d in found]
    assert told == [
        ("a b ü.pdf", "succeeded", None, 2),
        ("shown/x.pdf", "succeeded", None, 3),
        ("moved", "succeeded", None, 3),
        ("text", "failed", "unsupported_type", 0),
        ("none", "failed", "source_forbidden", 0),
        ("secret.pdf", "failed", "source_forbidden", 0),
        ("none.pdf", "failed", "source_unreachable", 0),
        ("a.pdf", "failed", "invalid_request", 0),
        ("meta-data", "failed", "source_forbidden", 0),
    ]
    assert found[1]["origin"] == place.web.url("/docs/x.pdf"), "without what may be a secret"
    assert (found[0]["origin"], found[0]["media_type"]) == (url, "application/pdf")
    assert "token=secret" not in http.get(f"jobs/{job.id}/documents").text + place.server.log_text()
    assert (
        one(place.mill.db, "SELECT count(*) FROM document WHERE job_id = :j AND source_url LIKE '%token%'", j=job.id)
        == 0
    )


def answering(paths):
    def answer(request):
        found = paths.get(request.path.partition("?")[0])
        if found is None:
            return Answer(404)
        if isinstance(found, str):
            return Answer(302, {"Location": found})
        return Answer(200, body=found)

    return answer


def test_content_is_pinned_when_it_is_fetched_and_by_an_etag_before(place):
    url = place.put("pin/a.pdf", pdf(1))
    etag = place.s3.head_object(Bucket=place.bucket, Key="pin/a.pdf")["ETag"].strip('"')
    http = place.key("pin/")
    job = place.ended(http, http.post("jobs", json={"sources": [{"url": url, "etag": etag}]}))
    place.s3.delete_object(Bucket=place.bucket, Key="pin/a.pdf")
    [document] = place.documents(http, job)
    assert http.get(f"jobs/{job.id}/documents/{document['id']}/pages/1/image").status_code == 200
    place.put("pin/a.pdf", pdf(9))
    refused = place.ended(http, http.post("jobs", json={"sources": [{"url": url, "etag": etag}]}))
    assert [d["error"]["code"] for d in place.documents(http, refused)] == ["source_changed"]


def test_a_file_that_is_too_large_is_refused_wherever_it_lies(place):
    url = place.put("big/a.pdf", pdf(1) + bytes(300_000))
    place.web.answer = answering({"/big.pdf": pdf(1) + bytes(300_000)})
    http = place.key("big/")
    job = place.ended(http, http.post("jobs", json={"sources": [{"url": url}, {"url": place.web.url("/big.pdf")}]}))
    assert [d["error"]["code"] for d in place.documents(http, job)] == ["file_too_large"] * 2
    small = place.key("big/", file_bytes=100)
    job = place.ended(small, small.post("jobs", json={"sources": [{"url": place.put("big/b.pdf")}]}))
    assert [d["error"]["limit"] for d in place.documents(small, job)] == [100]


def test_a_server_that_is_busy_is_asked_again_and_a_retry_too(place):
    asked = []

    def answer(request):
        asked.append(request.path)
        return Answer(503) if len(asked) < 3 else Answer(200, body=pdf(1))

    place.web.answer = answer
    http = place.key()
    job = place.ended(http, http.post("jobs", json={"sources": [{"url": place.web.url("/slow.pdf")}]}))
    assert (job.state, len(asked)) == (State.SUCCEEDED, 3)
    place.web.answer = lambda _: Answer(500)
    job = place.ended(http, http.post("jobs", json={"sources": [{"url": place.web.url("/ill.pdf")}]}))
    [document] = place.documents(http, job)
    assert (document["error"]["code"], document["error"]["retryable"]) == ("source_unreachable", True)
    place.web.answer = answering({"/ill.pdf": pdf(2)})
    assert http.post(f"jobs/{job.id}/retry?code=source_unreachable").status_code == 200
    assert place.mill.wait(job.id).state is State.SUCCEEDED


def test_the_store_itself_is_no_source_whatever_was_granted(place):
    http = place.client(KeyGrants(sources=(f"s3://{place.own}/",)))
    http.post("jobs", files=files(pdf(1)))
    stored = next(place.mill.blobs.list("uploads/")).key
    for source in (f"s3://{place.own}/mill/{stored}", f"s3://{place.own}/mill/", f"s3://{place.own}/"):
        refused = http.post("jobs", json={"sources": [{"url": source}]})
        assert refused.status_code == 422, (source, refused.text)
        assert refused.json()["code"] == "source_forbidden"
    # SeaweedFS takes `//` for `/`.
    for path in (f"//mill/{stored}", "//mill/", "/mill//uploads/", "//"):
        refused = http.post("jobs", json={"sources": [{"url": f"s3://{place.own}{path}"}]})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request"), (path, refused.text)


def test_what_was_granted_and_taken_away_is_not_fetched(place):
    url = place.put("taken/a.pdf")
    http = place.key("taken/")
    owner = http.get("key").json()["id"]
    lifecycle.pause(place.mill.db, owner)
    job = http.post("jobs", json={"sources": [{"url": url}]}).json()["id"]
    keys.grant(place.mill.db, owner, KeyGrants(sources=(f"s3://{place.bucket}/else/",)))
    lifecycle.resume(place.mill.db, owner)
    ended = place.mill.wait(job)
    assert [d["error"]["code"] for d in place.documents(http, ended)] == ["source_forbidden"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"sources": []}, "body.sources"),
        ({"sources": [{}]}, "body.sources.0"),
        ({"sources": [{"url": "https://a.example", "upload": "upl_x"}]}, "body.sources.0"),
        ({"sources": [{"url": "https://a.example", "password": "x"}]}, "body.sources.0.password"),
        ({"sources": [{"url": "https://a.example"}], "options": {"engine": "none"}}, "options.engine"),
        ({"sources": [{"url": "https://a.example"}] * 1001}, "body.sources"),
        ({"sources": [{"url": "s3://bucket/a", "etag": "a\u0000b"}]}, "body.sources.0.etag"),
        ({"sources": [{"url": "s3://bucket/a", "etag": "a\nb"}]}, "body.sources.0.etag"),
        ({}, "body.sources"),
    ],
)
def test_a_body_that_is_no_submission(place, body, where):
    response = place.key().post("jobs", json=body)
    assert (response.status_code, response.json()["where"]) == (400, where), response.text


def test_bodies_that_are_bombs(place):
    http = place.key()
    deep = b'{"sources":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for body in (deep, b'{"sources": [' + b" " * 2_000_000, b"{" * 1000):
        response = http.post("jobs", content=body, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["code"]) == (400, "invalid_request"), response.text[:300]


# --- prefixes


def test_a_prefix_becomes_one_document_an_object(place):
    for name in ("a.pdf", "sub/b.pdf", "sub/c d+e%20ü.pdf", "sub/"):
        place.put(f"prefix/{name}", b"" if name.endswith("/") else pdf(1))
    place.put("prefix/empty.pdf", b"")
    place.put("prefix/tab\tbed.pdf")
    place.put("prefixed.pdf")
    http = place.key("prefix/")
    job = place.ended(http, http.post("jobs", json={"sources": [{"url": f"s3://{place.bucket}/prefix/"}]}))
    found = {d["name"]: d["state"] for d in place.documents(http, job)}
    good = dict.fromkeys(["a.pdf", "sub/b.pdf", "sub/c d+e%20ü.pdf"], "succeeded")
    assert found == good | {"empty.pdf": "failed", "tab_bed.pdf": "failed"}
    assert job.sealed


def test_prefixes_that_are_not_granted_empty_or_gone(place):
    http = place.key("mine/")
    for source in (f"s3://{place.bucket}/other/", f"s3://{place.bucket}/", "s3://no-such-bucket/"):
        refused = http.post("jobs", json={"sources": [{"url": source}]})
        assert (refused.status_code, refused.json()["code"]) == (422, "source_forbidden"), refused.text
    job = place.ended(http, http.post("jobs", json={"sources": [{"url": f"s3://{place.bucket}/mine/none/"}]}))
    assert (job.state, [d["error"]["code"] for d in place.documents(http, job)]) == ("failed", ["source_unreachable"])


# --- manifests


def lines(*items):
    return b"\n".join(item if isinstance(item, bytes) else json.dumps(item).encode() for item in items)


def test_a_bad_line_fails_its_document_alone(place):
    url = place.put("m/a.pdf", pdf(2))
    http = place.key("m/")
    body = lines(
        {"options": {"pages": "1", "metadata": {"case": "x"}}},
        {"url": url, "name": "first"},
        b"{not json",
        b"",
        {"url": f"s3://{place.bucket}/not-granted/a.pdf"},
        {"upload": "upl_" + "0" * 32},
        {"url": f"s3://{place.bucket}/m/"},
        b'{"url": "' + b"x" * 40_000 + b'"}',
        {"url": f"s3://{place.bucket}/m/a\0.pdf"},
        {"url": url, "etag": "\0"},
        {"url": url, "name": "last"},
    )
    job = place.ended(http, http.post("jobs", content=body, headers={"Content-Type": NDJSON}))
    assert (job.metadata, job.pages.total) == ({"case": "x"}, 2)
    told = [
        (d["name"], (d["error"] or {}).get("code"), (d["error"] or {}).get("where")) for d in place.documents(http, job)
    ]
    bad = "invalid_request"
    assert told == [
        ("first", None, None),
        ("line 3", bad, "line 3"),
        ("a.pdf", "source_forbidden", f"s3://{place.bucket}/not-granted/a.pdf"),
        ("line 6", bad, "line 6"),
        ("line 7", bad, "line 7"),
        ("line 8", bad, "line 8"),
        # PostgreSQL takes no NUL: the whole manifest was begun again and again.
        ("line 9", bad, "line 9"),
        ("line 10", bad, "line 10"),
        ("last", None, None),
    ]


def test_a_manifest_of_thousands_of_lines(place):
    url = place.put("many/a.pdf", pdf(1))
    http = place.key("many/")
    body = lines(*[{"url": url, "name": f"{n}"} for n in range(2500)], *[b"bad"] * 500)
    response = http.post("jobs", content=body, headers={"Content-Type": NDJSON})
    assert response.status_code == 202
    assert (response.json()["sealed"], response.json()["documents"]["total"]) == (False, 0)
    place.mill.until(lambda: place.mill.job(response.json()["id"]).sealed, "the manifest to be entered")
    job = response.json()["id"]
    assert place.mill.job(job).documents.total == 3000
    assert [
        row[0]
        for row in rows(place.mill.db, "SELECT position FROM document WHERE job_id = :j ORDER BY position", j=job)
    ] == list(range(3000))
    assert http.post(f"jobs/{job}/cancel").status_code == 200


def test_options_are_known_however_they_are_written(place):
    http = place.key("m/")
    url = place.put("m/o.pdf")
    first = b'\xef\xbb\xbf{ "options" : {"metadata": {"spaced": true}}}'
    job = place.ended(http, http.post("jobs", content=lines(first, {"url": url}), headers={"Content-Type": NDJSON}))
    assert (job.metadata, job.documents.succeeded, job.documents.total) == ({"spaced": True}, 1, 1)
    left = [stat.key for stat in place.mill.blobs.list("uploads/") if job.id in stat.key]
    assert len(left) == 1, "the manifest is gone: it may name secrets"
    for kind, body in ((NDJSON, lines({"url": url})), ("application/json", b'{"sources":[{"url":"s3://b/a"}]}')):
        refused = http.post("jobs?priority=batch", content=body, headers={"Content-Type": kind})
        assert (refused.status_code, refused.json()["where"]) == (400, "query.priority")


def test_manifests_that_are_refused_whole(place):
    http = place.key("many/")
    before = place.mill.blobs.list("uploads/")
    before = {stat.key for stat in before}
    for body in (b"", b"\n \n", b"x\n" * 3002, lines({"options": {"dpi": 1}}, {"url": "https://a.example"})):
        response = http.post("jobs", content=body, headers={"Content-Type": NDJSON})
        assert (response.status_code, response.json()["code"]) == (400, "invalid_request"), body[:80]
    assert {stat.key for stat in place.mill.blobs.list("uploads/")} <= before


# --- uploads by link


def put_by_link(http, data, **more):
    made = http.post("uploads", json={"bytes": len(data), "name": "put.pdf"} | more)
    assert made.status_code == 201, made.text
    return made.json()


def test_a_file_that_is_put_by_a_link(place):
    http, other = place.key(), place.key()
    data = pdf(2)
    made = put_by_link(http, data)
    assert made["url"].startswith("http://127.0.0.1:"), "past the server"
    early = http.post("jobs", json={"sources": [{"upload": made["id"]}]})
    assert (early.status_code, early.json()["code"]) == (422, "upload_incomplete")
    assert httpx.put(made["url"], content=data + b"x").status_code == 403, "the length is signed"
    assert httpx.put(made["url"], content=data).status_code == 200
    foreign = other.post("jobs", json={"sources": [{"upload": made["id"]}]})
    assert (foreign.status_code, foreign.json()["code"]) == (404, "not_found")
    beside = other.post("jobs", json={"sources": [{"upload": made["id"]}, {"upload": "x"}, {"url": place.web.url()}]})
    assert (beside.status_code, beside.json()["documents"]["failed"]) == (202, 2), "its neighbours go on"
    response = http.post("jobs", json={"sources": [{"upload": made["id"]}]})
    job = place.ended(http, response)
    [document] = place.documents(http, job)
    assert (document["name"], document["bytes"], document["origin"], job.state) == (
        "put.pdf",
        len(data),
        None,
        "succeeded",
    )


def test_a_file_may_be_put_through_the_server_too(place):
    http = place.key()
    made = put_by_link(http, pdf(1))
    assert http.put(f"uploads/{made['id']}", content=pdf(1)).status_code == 204
    assert http.put(f"uploads/{made['id']}", content=bytes(200_001)).json()["code"] == "file_too_large"
    assert http.put(f"uploads/{made['id']}", content=b"").json()["code"] == "upload_incomplete"
    assert place.key().put(f"uploads/{made['id']}", content=b"x").status_code == 404
    assert place.ended(http, http.post("jobs", json={"sources": [{"upload": made["id"]}]})).state is State.SUCCEEDED


def test_what_is_put_after_it_was_submitted_is_not_read(place):
    http = place.key()
    made = put_by_link(http, pdf(1))
    assert httpx.put(made["url"], content=pdf(1)).status_code == 200
    lifecycle.pause(place.mill.db, http.get("key").json()["id"])
    job = http.post("jobs", json={"sources": [{"upload": made["id"]}]}).json()["id"]
    other = pdf(1).replace(b"page", b"PAGE")
    assert len(other) == len(pdf(1))
    assert httpx.put(made["url"], content=other).status_code == 200
    lifecycle.resume(place.mill.db, http.get("key").json()["id"])
    ended = place.mill.wait(job)
    assert [d["error"]["code"] for d in place.documents(http, ended)] == ["source_changed"]


@pytest.mark.parametrize("body", [{}, {"bytes": 0}, {"bytes": "x"}, {"bytes": 1, "x": 1}])
def test_an_upload_says_how_long_it_is(place, body):
    assert place.key().post("uploads", json=body).status_code == 400
    assert place.key().post("uploads", json={"bytes": 200_001}).json()["code"] == "file_too_large"


# --- Idempotency-Key (rule 11)


def test_side_by_side_with_one_key_one_job_is_made(place):
    """On two servers at once."""
    http = place.key()
    own = {name: value for name, value in place.server.settings.items() if name not in ("database_url", "api_port")}
    before = len(list(place.mill.blobs.list("uploads/")))
    with ApiServer(place.server.database_url, **own) as second, second.client(headers=http.headers) as other:

        def post(number):
            return (http, other)[number % 2].post("jobs", files=files(pdf(1)), headers={"Idempotency-Key": "once"})

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(post, range(32)))
    assert {a.status_code for a in answers} == {202}
    assert len({a.json()["id"] for a in answers}) == 1
    assert sum("idempotency-replayed" not in a.headers for a in answers) == 1
    assert len(list(place.mill.blobs.list("uploads/"))) == before + 1, "the others' files are gone"
    assert one(place.mill.db, "SELECT count(*) FROM job WHERE owner = :o", o=http.get("key").json()["id"]) == 1


def test_a_key_that_came_with_something_else(place):
    http, other = place.key(), place.key()
    headers = {"Idempotency-Key": "mine"}
    first = http.post("jobs", files=files(pdf(1)), headers=headers)
    for request in (
        {"files": files(pdf(2))},
        {"files": files(("other.pdf", pdf(1)))},
        {"files": [*files(pdf(1)), ("options", (None, b'{"dpi": 72}', "application/json"))]},
        {"json": {"sources": [{"url": place.web.url()}]}},
    ):
        refused = http.post("jobs", **request, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_mismatch"), request
    assert other.post("jobs", files=files(pdf(1)), headers=headers).json()["id"] != first.json()["id"]
    again = http.post("jobs", files=files(pdf(1)), headers=headers)
    assert (again.json()["id"], again.headers["idempotency-replayed"]) == (first.json()["id"], "true")
    assert http.delete(f"jobs/{first.json()['id']}").status_code == 204
    assert http.post("jobs", files=files(pdf(1)), headers=headers).status_code == 410
    for wrong in ("", "x" * 256, "a b"):
        assert http.post("jobs", files=files(pdf(1)), headers={"Idempotency-Key": wrong}).status_code == 400


def test_bodies_that_name_sources_are_compared_as_they_come(place):
    http = place.key()
    body = {"sources": [{"url": place.web.url("/x.pdf")}]}
    first, second = (http.post("jobs", json=body, headers={"Idempotency-Key": "j"}) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    manifest = lines(body["sources"][0])
    headers = {"Idempotency-Key": "m", "Content-Type": NDJSON}
    first, second = (http.post("jobs", content=manifest, headers=headers) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert one(place.mill.db, "SELECT count(*) FROM listing WHERE job_id = :j", j=first.json()["id"]) <= 1


# --- outputs


def with_output(place, prefix, layout="job", outputs=("out/",)):
    grants = KeyGrants(sources=(f"s3://{place.bucket}/o/",), outputs=tuple(f"s3://{place.bucket}/{p}" for p in outputs))
    return place.client(grants), {"output": {"prefix": f"s3://{place.bucket}/{prefix}", "layout": layout}}


def theirs(place, prefix):
    found = place.s3.list_objects_v2(Bucket=place.bucket, Prefix=prefix).get("Contents", ())
    return {item["Key"].removeprefix(prefix) for item in found}


def test_results_are_written_where_the_job_says(place):
    http, options = with_output(place, "out/a/")
    data = [*files(("x.pdf", pdf(1)), ("x.pdf", pdf(2)), ("bad.pdf", b"no pdf"))]
    data.append(("options", (None, json.dumps(options).encode(), "application/json")))
    job = place.ended(http, http.post("jobs", files=data))
    good = {f"{job.id}/{n}/x.pdf/document.{e}" for n in (0, 1) for e in ("md", "json")}
    wanted = good | {f"{job.id}/2/bad.pdf/error.json"}
    place.mill.until(lambda: theirs(place, "out/a/") == wanted, "the results")
    body = place.s3.get_object(Bucket=place.bucket, Key=f"out/a/{job.id}/1/x.pdf/document.md")["Body"].read()
    assert body == place.mill.markdown(job.id)[1].encode()
    document = place.documents(http, job)[1]["id"]
    shown = f"jobs/{job.id}/documents/{document}"
    place.mill.until(lambda: http.get(shown).json()["output"]["state"] == "published", "the row to say so")
    assert http.get(shown).json()["output"]["url"] == f"s3://{place.bucket}/out/a/{job.id}/1/x.pdf/"


def test_results_of_a_prefix_mirror_it(place):
    place.put("o/sub/a.pdf")
    place.put("o/b.pdf")
    http, options = with_output(place, "out/mirror/", "name")
    body = {"sources": [{"url": f"s3://{place.bucket}/o/"}], "options": options}
    place.ended(http, http.post("jobs", json=body))
    wanted = {f"{name}/document.{end}" for name in ("sub/a.pdf", "b.pdf") for end in ("md", "json")}
    place.mill.until(lambda: theirs(place, "out/mirror/") == wanted, "the results")


@pytest.mark.parametrize(
    ("prefix", "outputs", "status", "code"),
    [
        ("other/", ("out/",), 422, "output_forbidden"),
        ("out", ("out/",), 202, None),
        ("outside/", ("out",), 422, "output_forbidden"),
        ("out/../other/", ("out/",), 400, "invalid_request"),
        ("out/", (), 422, "output_forbidden"),
    ],
)
def test_where_results_may_be_written(place, prefix, outputs, status, code):
    http, options = with_output(place, prefix, outputs=outputs)
    data = [*files(pdf(1)), ("options", (None, json.dumps(options).encode(), "application/json"))]
    response = http.post("jobs", files=data)
    assert (response.status_code, response.json().get("code")) == (status, code), response.text


def test_the_bucket_of_the_store_is_no_output_whatever_was_granted(place):
    http = place.client(KeyGrants(outputs=(f"s3://{place.own}/",)))
    for prefix in (f"s3://{place.own}/", f"s3://{place.own}/elsewhere/", f"s3://{place.own}/mill/jobs/", "file:/tmp/"):
        options = json.dumps({"output": {"prefix": prefix}}).encode()
        response = http.post("jobs", files=[*files(pdf(1)), ("options", (None, options, "application/json"))])
        assert response.status_code in (400, 422), (prefix, response.text)
        assert response.json()["code"] in ("output_forbidden", "invalid_request")


# --- retention


def test_a_job_is_deleted_when_its_time_is_over(place):
    http = place.key()
    options = {"retention_seconds": 1}
    data = [*files(pdf(1)), ("options", (None, json.dumps(options).encode(), "application/json"))]
    job = http.post("jobs", files=data).json()["id"]
    place.mill.until(lambda: http.get(f"jobs/{job}").status_code == 410, "the job to expire")
    body = http.get(f"jobs/{job}").json()
    assert (body["code"], "kept for its time" in body["detail"]) == ("gone", True)
    place.mill.until(
        lambda: not list(place.mill.blobs.list(f"jobs/{job}/")) and not [
            s for s in place.mill.blobs.list("uploads/") if job in s.key
        ],
        "its objects to go",
    )  # fmt: skip
