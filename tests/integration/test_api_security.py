"""What strangers send: names, texts, JSON and forms that were made to do harm. A real server, on both databases."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import quote

import pytest

from jobs import keys
from jobs.models import PageState, Scope
from tests.api_server import PDF, ApiServer, files, finish
from tests.protocol import change

MIB = 1 << 20
HTML = "<script>alert(1)</script>"
DISPOSED = r"""; filename="[ !#-$&-.0-\[\]-~]*"(; filename\*=UTF-8''[A-Za-z0-9_.~%-]+)?"""
"""RFC 6266: nothing in quotes that could end them, and the rest percent-encoded."""
NAMES = [
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "/etc/passwd",
    "C:\\boot.ini",
    "a/../../b.pdf",
    "....//....//x.pdf",
    "x\r\nSet-Cookie: a=b.pdf",
    'x"; filename="evil.html',
    "x\x00.pdf",
    "\u202egpj.pdf",
    "naïve ☃ 文書.pdf",
    "%0d%0aX-Evil: 1.pdf",
    "<img src=x onerror=alert(1)>.html",
    "x" * 5000 + ".pdf",
    "COM1",
    "..",
    "",
    "job.json",
]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request, tmp_path_factory):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('security') / 'pagemill.db'}"
    else:
        url = request.getfixturevalue("postgres").create_database("api_security")
    api = ApiServer(url, auth="keys", secret_key="a long secret for tests only")
    database = api.database()
    database.migrate()
    database.dispose()
    with api:
        yield api
        assert "Traceback" not in api.log_text(), "nothing that is sent breaks the server"


@pytest.fixture(scope="module")
def http(server):
    database = server.database()
    _, secret = keys.create(database, "tester", [Scope.ADMIN])
    database.dispose()
    with server.client(headers={"Authorization": f"Bearer {secret}"}) as client:
        yield client


def submitted(http, *parts, **options):
    response = http.post("jobs", files=[*files(*parts), ("options", (None, json.dumps(options)))])
    assert response.status_code == 202, response.text
    return response.json()["id"]


def documents(http, job):
    return http.get(f"jobs/{job}/documents?limit=1000").json()["items"]


def refused(response, status=400, code="invalid_request"):
    assert (response.status_code, response.json()["code"]) == (status, code), response.text[:300]
    return response.json()


# --- names


@pytest.fixture(scope="module")
def named(server, http):
    """A finished job whose documents have these names, and what became of them."""
    job = submitted(http, *[(name, PDF) for name in NAMES])
    finish(server, job)
    return job, documents(http, job)


def test_no_name_leads_out_of_an_archive(http, named, tmp_path):
    job, _ = named
    with zipfile.ZipFile(io.BytesIO(http.get(f"jobs/{job}/result?format=zip").content)) as archive:
        members = archive.namelist()
        archive.extractall(tmp_path / "here")
    assert list(tmp_path.iterdir()) == [tmp_path / "here"]
    assert len(members) == len({m.casefold() for m in members}) == 1 + 3 * len(NAMES)
    for member in members:
        for path in (PurePosixPath(member), PureWindowsPath(member)):
            assert not path.is_absolute(), member
            assert not path.drive, member
            assert ".." not in path.parts, member
        assert member.isprintable(), member
        assert max(len(part.encode()) for part in member.split("/")) <= 255, member


def test_no_name_writes_headers(http, named):
    job, found = named
    for given, document in zip(NAMES, found, strict=True):
        for form in ("markdown", "json", "text", "zip"):
            response = http.get(f"jobs/{job}/documents/{document['id']}/result?format={form}")
            assert response.status_code == 200
            assert not {"set-cookie", "x-evil"} & set(response.headers), given
            kind = "attachment" if form == "zip" else "inline"
            assert re.fullmatch(kind + DISPOSED, response.headers["content-disposition"]), given


@pytest.mark.parametrize("name", NAMES)
def test_names_by_every_other_way_in(http, name):
    """Query of a raw body, upload by link, source by URL: each is shown as a harmless relative path."""
    raw = http.post(f"jobs?name={quote(name)}", content=PDF, headers={"Content-Type": "application/pdf"}).json()["id"]
    shown = [documents(http, raw)[0]["name"]]
    if len(name) <= 1000:
        shown.append(http.post("uploads", json={"bytes": 1, "name": name}).json()["name"])
        sources = {"sources": [{"url": "https://example.org/a.pdf", "name": name}]}
        shown.append(documents(http, http.post("jobs", json=sources).json()["id"])[0]["name"])
    else:
        refused(http.post("uploads", json={"bytes": 1, "name": name}))
    for found in shown:
        assert 1 <= len(found) <= 255
        assert found.isprintable()
        assert not found.startswith("/")
        assert ".." not in found.split("/")


@pytest.mark.parametrize(
    "name", ["..%2f..%2fdocument.3.md", "%2e%2e%2fdocument.3.md", "..%5cjob.json", "page-0001-figure-1.jpg%00"]
)
def test_figures_lead_to_figures_alone(http, named, name):
    job, found = named
    refused(http.get(f"jobs/{job}/documents/{found[0]['id']}/figures/{name}"), 404, "not_found")


# --- what a browser would show


def test_nothing_is_a_page_for_a_browser(server, http):
    """HTML in names, metadata and text comes back as what it is: data, of a type that no browser runs."""
    job = submitted(http, (f"{HTML}.html", PDF), (f"{HTML}.svg", b"<svg onload=alert(1)>"), metadata={HTML: HTML})
    finish(server, job, [PageState.SUCCEEDED, PageState.FAILED])
    document = documents(http, job)[0]["id"]
    place = f"jobs/{job}/documents/{document}"
    asked = [
        "", "jobs", f"jobs/{job}", f"jobs/{job}/documents", f"jobs/{job}/result?format=json",
        f"jobs/{job}/result?format=zip", f"jobs/{job}/result", place, f"{place}/pages", f"{place}/pages.ndjson",
        f"{place}/pages/1", f"{place}/pages/2", f"{place}/pages/1/image", f"{place}/figures/page-0001-figure-1.jpg",
        f"{place}/result", *(f"{place}/result?format={form}" for form in ("markdown", "json", "text", "zip")),
        f"jobs/{HTML}", f"jobs?cursor={HTML}", f"jobs?state={HTML}", f"{place}/result?format={HTML}", f"{place}/{HTML}",
        f"{HTML}", "key", "workers", "pauses", "webhooks/secret", "health/live", "openapi.json",
    ]  # fmt: skip
    kinds = set()
    for path in asked:
        response = http.get(path, headers={"Accept": "text/html,application/xhtml+xml,image/svg+xml,*/*;q=0.1"})
        kinds.add(response.headers["content-type"].partition(";")[0])
        assert response.headers["x-content-type-options"] == "nosniff", path
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "sandbox" in policy, path
        assert "access-control-allow-origin" not in response.headers, path
    assert kinds == {
        "application/json", "application/problem+json", "application/x-ndjson", "application/zip", "image/jpeg",
        "text/markdown", "text/plain",
    }  # fmt: skip


# --- JSON that was made to do harm

BOMBS = {
    "deep arrays": "[" * 20_000 + "]" * 20_000,
    "deep objects": '{"a":' * 8_000 + "1" + "}" * 8_000,
    "deep and open": "[" * 60_000,
    "a number of 50,000 digits": '{"metadata":{"a":' + "9" * 50_000 + "}}",
    "more than 64 bits": '{"metadata":{"a":18446744073709551616}}',
    "beyond floats": '{"metadata":{"a":1e999}}',
    "no number": '{"metadata":{"a":NaN}}',
    "infinite seconds": '{"echo":{"seconds":{"1":1e999}}}',
    "a long text": '{"metadata":{"a":"' + "x" * 60_000 + '"}}',
    "NUL": '{"metadata":{"a":{"b":["x\\u0000"]}}}',
    "NUL in a name": '{"metadata":{"a\\u0000":1}}',
    "NUL in an option": '{"echo":{"seconds":{"\\u0000":1}}}',
    "half a character": '{"metadata":{"a":"\\ud800"}}',
    "no JSON": "{",
    "not UTF-8": b'{"metadata":{"a":"\xff"}}',
    "pages of a novel": json.dumps({"pages": "1," * 30_000}),
    "a page beyond numbers": json.dumps({"pages": "9" * 5_000}),
    "pages in other digits": json.dumps({"pages": "١-٣"}),
    "seconds beyond time": '{"deadline_seconds":1e300}',
    "an engine": json.dumps({"engine": "x" * 60_000}),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_bombs_of_json_are_refused_wherever_they_come(server, http, bomb):
    raw = bomb.encode() if isinstance(bomb, str) else bomb
    job = submitted(http, PDF)
    left, memory = server.objects("uploads/"), server.memory()
    refused(http.post("jobs", files=[*files(PDF), ("options", (None, raw))]))
    refused(
        http.post("jobs", content=b'{"sources":[{"url":"https://a.example"}],"options":' + raw + b"}", headers=JSON)
    )
    refused(http.post("jobs", content=b'{"options":' + raw + b'}\n{"url":"https://a.example"}\n', headers=NDJSON))
    refused(http.patch(f"jobs/{job}", content=raw[:65_000]))
    refused(http.post("uploads", content=raw[:65_000]))
    assert server.objects("uploads/") == left
    assert server.memory() - memory < 64 * MIB


JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}


def test_of_a_name_that_comes_twice_the_last_counts(http):
    raw = b'{"metadata":{"a":1,"a":2},"dpi":100,"dpi":200}'
    job = http.post("jobs", files=[*files(PDF), ("options", (None, raw))]).json()
    assert (job["metadata"], job["options"]["dpi"]) == ({"a": 2}, 200)


def test_metadata_comes_back_as_it_was_sent(http):
    """What databases and encoders stumble over, and is fine."""
    odd = {
        "": "",
        "a\\u0000b": "\\u0000",
        "\u2028": "\U0001f600\uffff",
        "big": 2**64 - 1,
        "small": -(2**63),
        "x": 1e-300,
    }
    odd |= {"'; DROP TABLE job; --": "%s {} $1 :name", "deep": [[[[[[[{}]]]]]]], "none": None}
    job = submitted(http, PDF, metadata=odd)
    assert http.get(f"jobs/{job}").json()["metadata"] == odd
    listed = http.get("jobs").json()["items"]
    assert next(found["metadata"] for found in listed if found["id"] == job) == odd


# --- texts everywhere else

ODD = {"NUL": "a\x00b", "newline": "a\n", "half": "\udcff", "beyond ASCII": "é☃", "long": "x" * 10_000}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_texts_in_paths_and_queries(http, named, text):
    job, found = named
    odd = quote(text, errors="surrogateescape")
    place = f"jobs/{job}/documents/{found[0]['id']}"
    missing = [f"jobs/{odd}", f"jobs/job_{'0' * 32}{odd}", f"jobs/{job}/documents/{odd}", f"{place}/figures/{odd}", odd]
    for path in missing:
        assert http.get(path).status_code in (400, 404), path
    wrong = [
        f"jobs?cursor={odd}",
        f"jobs?state={odd}",
        f"jobs?limit={odd}",
        f"{place}/pages?cursor={odd}",
        f"jobs?cursor=job_{'0' * 32}%0A",
    ]
    wrong += [f"{place}/result?format={odd}", f"{place}/pages/{odd}", f"{place}/pages.ndjson?after={odd}"]
    for path in wrong:
        refused(http.get(path))
    refused(http.post(f"jobs/retry?code={odd}"))
    refused(http.post(f"jobs/{job}/retry?code={odd}"))
    refused(http.put(f"pauses/{odd}"))
    assert http.post(f"jobs/{job}/webhooks/{odd}/replay").status_code == 404
    assert http.put(f"uploads/{odd}", content=b"x").status_code == 404
    assert http.post(f"workers/{odd}/drain").status_code == 404
    for name in ("engine", "pages", "dpi", "priority", odd):
        refused(http.post(f"jobs?{name}={odd}", content=PDF, headers={"Content-Type": "application/pdf"}))


@pytest.mark.parametrize("number", ["99999999999999999999", "1e9", "-1", "0x10", "١", "9" * 5000])
def test_numbers_that_no_database_knows(http, named, number):
    job, found = named
    place = f"jobs/{job}/documents/{found[0]['id']}"
    for path in (f"{place}/pages/{number}", f"{place}/pages.ndjson?after={number}", f"jobs?limit={number}"):
        assert http.get(path).status_code in (400, 404), path
    refused(http.get(f"{place}/pages?cursor={number}"))
    if number != "1e9":  # which is a number of bytes
        assert http.post("uploads", content=f'{{"bytes":{number}}}').status_code in (400, 413)


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"a b", b"a\tb", b"\xff", "é".encode(), b"x" * 60_000])
def test_idempotency_keys_that_are_none(http, key):
    refused(http.post("jobs", files=files(PDF), headers={b"Idempotency-Key": key}))


def test_the_longest_idempotency_key(http):
    made = [http.post("jobs", files=files(PDF), headers={"Idempotency-Key": "~" * 255}).json()["id"] for _ in range(2)]
    assert made[0] == made[1]


@pytest.mark.parametrize("field", ["url", "etag"])
@pytest.mark.parametrize("text", ["s3://a-bucket/a\x00.pdf", "https://example.org/\x1f", "\x7f"])
def test_control_characters_in_sources(http, field, text):
    source = {"url": "s3://a-bucket/a.pdf"} | {field: text}
    assert refused(http.post("jobs", json={"sources": [source]}))["where"] == f"body.sources.0.{field}"


def test_a_manifest_that_makes_no_job_is_not_kept(server, http):
    """One that came before with its key, another one with the same key, and one whose options cannot be kept."""
    line = b'{"url":"https://a.example/"}\n'
    first = http.post("jobs", content=line, headers={**NDJSON, "Idempotency-Key": "manifest"})
    left = server.objects("uploads/")
    again = http.post("jobs", content=line, headers={**NDJSON, "Idempotency-Key": "manifest"})
    assert (first.json()["id"], again.headers["idempotency-replayed"]) == (again.json()["id"], "true")
    other = http.post("jobs", content=line * 2, headers={**NDJSON, "Idempotency-Key": "manifest"})
    refused(other, 422, "idempotency_mismatch")
    refused(http.post("jobs", content=b'{"options":{"metadata":{"a":1e999}}}\n' + line, headers=NDJSON))
    assert server.objects("uploads/") == left


# --- uploads by link


def test_an_upload_that_expired_or_is_anothers_is_not_there(server, http):
    database = server.database()
    _, secret = keys.create(database, "somebody", [Scope.SUBMIT, Scope.READ])
    mine = http.post("uploads", json={"bytes": len(PDF)}).json()["id"]
    with server.client(headers={"Authorization": f"Bearer {secret}"}) as other:
        refused(other.put(f"uploads/{mine}", content=PDF), 404, "not_found")
        assert http.put(f"uploads/{mine}", content=PDF).status_code == 204
        theirs, absent = (
            other.post("jobs", json={"sources": [{"upload": upload}]}) for upload in (mine, "upl_" + "0" * 32)
        )
        told = refused(theirs, 404, "not_found") | {"detail": "", "where": ""}
        assert told == refused(absent, 404, "not_found") | {"detail": "", "where": ""}
    assert http.post("jobs", json={"sources": [{"upload": mine}]}).status_code == 202
    change(database, "UPDATE upload SET expires_at = created_at WHERE id = :id", id=mine)
    refused(http.put(f"uploads/{mine}", content=PDF), 404, "not_found")
    refused(http.post("jobs", json={"sources": [{"upload": mine}]}), 404, "not_found")
    database.dispose()


# --- forms


def boundary(parts):
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


FORM = {"Content-Type": "multipart/form-data; boundary=b"}
DISPOSITION = b'Content-Disposition: form-data; name="file"; filename="a.pdf"'


@pytest.mark.parametrize(
    "head",
    [
        DISPOSITION + b"; x=" + b"y" * 20_000,
        DISPOSITION + b"\r\nX-Long: " + b"y" * 8 * MIB,
        DISPOSITION + b"".join(b"\r\nX-%d: y" % n for n in range(10_000)),
        b"X" * MIB + b": y",
        b"Content-Disposition: form-data; name=" + b"y" * 20_000,
    ],
    ids=["a long parameter", "8 MiB of one header", "10,000 headers", "a long name", "a long part"],
)
def test_huge_headers_of_parts(server, http, head):
    memory = server.memory()
    refused(http.post("jobs", content=boundary([head + b"\r\n\r\n" + PDF]), headers=FORM))
    assert server.memory() - memory < 32 * MIB
    assert server.objects("uploads/nothing") == []


def test_a_boundary_of_a_megabyte(http):
    headers = {"Content-Type": "multipart/form-data; boundary=" + "b" * 30_000}
    refused(http.post("jobs", content=b"--b", headers=headers))


def test_ten_thousand_tiny_files(server, http):
    """More than a job may have: refused with the limit, and what was stored of them is gone again."""
    left, memory = set(server.objects("uploads/")), server.memory()
    tiny = boundary([DISPOSITION + b"\r\n\r\n" + PDF] * 10_000)
    body = refused(http.post("jobs", content=tiny, headers=FORM, timeout=300))
    assert (body["where"], body["limit"]) == ("file", 1000)
    assert server.memory() - memory < 48 * MIB
    assert set(server.objects("uploads/")) == left


def test_ten_thousand_files_that_are_empty(server, http):
    memory = server.memory()
    body = refused(http.post("jobs", content=boundary([DISPOSITION + b"\r\n\r\n"] * 10_000), headers=FORM))
    assert body["limit"] == 1000
    assert server.memory() - memory < 48 * MIB
