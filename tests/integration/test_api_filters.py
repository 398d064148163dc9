"""Lists over HTTP narrowed by what users ask for, and what is refused; on both databases."""

from __future__ import annotations

import json

import pytest

from api.filters import JOB_PARAMETERS
from api.main import create_app
from jobs import keys
from jobs.models import PageState, Scope
from tests.api_server import PDF, ApiServer, files, finish


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request, tmp_path_factory):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('filters') / 'pagemill.db'}"
    else:
        url = request.getfixturevalue("postgres").create_database("api_filters")
    api = ApiServer(url, auth="keys")
    database = api.database()
    database.migrate()
    database.dispose()
    with api:
        yield api


@pytest.fixture
def make(server):
    database = server.database()
    clients = []

    def make(*scopes):
        key, secret = keys.create(database, "somebody", scopes or (Scope.SUBMIT, Scope.READ))
        clients.append(server.client(headers={"Authorization": f"Bearer {secret}"}))
        return key.id, clients[-1]

    yield make
    for client in clients:
        client.close()
    database.dispose()


@pytest.fixture
def http(make):
    """A client whose key is new: it sees only what its test submits."""
    return make()[1]


def submit(http, *contents, **options):
    data = {"options": (None, json.dumps(options), "application/json")}
    response = http.post("jobs", files=[*files(*(contents or (PDF,))), *data.items()])
    assert response.status_code == 202, response.text
    return response.json()["id"]


def listed(http, place="jobs", **query):
    """All of a list, two at a time."""
    found, cursor = [], None
    while True:
        answer = http.get(place, params={"limit": 2} | query | ({} if cursor is None else {"cursor": cursor}))
        assert answer.status_code == 200, answer.text
        found += [item.get("id", item.get("number")) for item in answer.json()["items"]]
        if (cursor := answer.json()["next_cursor"]) is None:
            return found


def refusal(answer):
    body = answer.json()
    return answer.status_code, body["code"], body["where"]


def test_the_lists_take_what_they_document():
    described = create_app().openapi()["paths"]
    for path, known in {
        "/v1/jobs": JOB_PARAMETERS,
        "/v1/jobs/{job}/documents": ("limit", "cursor", "state", "code"),
        "/v1/jobs/{job}/documents/{document}/pages": ("limit", "cursor", "state", "code"),
    }.items():
        parameters = described[path]["get"]["parameters"]
        assert {one["name"] for one in parameters if one["in"] == "query"} == set(known)


def test_jobs_by_what_was_said_of_them(http):
    one = submit(http, metadata={"case": "2024-117", "pages": 3, "urgent": True})
    two = submit(http, metadata={"case": "2024-118", "pages": 3}, priority="interactive")
    assert listed(http, **{"metadata.case": "2024-117"}) == [one]
    assert listed(http, **{"metadata.pages": "3"}) == [two, one]
    assert listed(http, **{"metadata.pages": "3", "metadata.urgent": "true"}) == [one]
    assert listed(http, **{"metadata.KEY": "x"}) == [], "the documentation's name is a key like any other"
    assert listed(http, priority="interactive") == [two]
    assert listed(http, engine="echo") == [two, one]
    assert listed(http, engine="other") == []
    assert listed(http, state=["queued", "running"]) == [two, one]
    assert listed(http, state="failed") == []


def test_jobs_by_time(http):
    jobs = [submit(http) for _ in range(3)]
    created = [http.get(f"jobs/{job}").json()["created_at"] for job in jobs]
    assert listed(http, created_after=created[1]) == [jobs[2], jobs[1]]
    assert listed(http, created_before=created[1]) == [jobs[0]]
    assert listed(http, created_after=created[1], created_before=created[2]) == [jobs[1]]
    assert listed(http, created_before="2020-01-01T00:00:00Z") == []
    assert listed(http, created_after="2020-01-01T00:00:00+02:00") == jobs[::-1]
    plain = http.get("jobs?created_after=2020-01-01T00:00:00+02:00")
    assert len(plain.json()["items"]) == 3, "a + that nobody escaped"


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2026-01-31", "2026-01-31T09:30:00", "1700000000", "2026-13-01T00:00:00Z", "2026-01-31T25:00:00Z",
     "0001-01-01T00:00:00+23:59", "2026-01-31T09:30:00Z; DROP TABLE job", "", "９999-01-01T00:00:00Z"],
)  # fmt: skip
def test_what_is_no_time(http, text):
    for name in ("created_after", "created_before"):
        assert refusal(http.get("jobs", params={name: text})) == (400, "invalid_request", f"query.{name}")


def test_what_failed_with_a_code(server, http):
    job = submit(http, PDF, ("empty.pdf", b""))
    fine = submit(http)
    finish(server, job, [PageState.SUCCEEDED, PageState.FAILED, PageState.FAILED])
    finish(server, fine)
    first, second = [item["id"] for item in http.get(f"jobs/{job}/documents").json()["items"]]
    assert listed(http, code="page_timeout") == [job]
    assert listed(http, code="empty_file") == [job]
    assert listed(http, code="page_crashed") == listed(http, code="' OR 1=1 --") == []
    documents, pages = f"jobs/{job}/documents", f"jobs/{job}/documents/{first}/pages"
    assert listed(http, documents, code="page_timeout") == [first]
    assert listed(http, documents, code="empty_file") == [second]
    assert listed(http, documents, state="failed") == [second]
    assert listed(http, documents, state=["failed", "partial"]) == [first, second]
    assert listed(http, pages, state="failed") == listed(http, pages, code="page_timeout") == [2, 3]
    assert listed(http, pages, state="succeeded") == [1]
    assert listed(http, pages, state="succeeded", code="page_timeout") == []


@pytest.mark.parametrize(
    "key", ["case' OR '1'='1", 'case") OR 1=1 --', "$", "$.case", "case[0]", ":case", "%s", "%(case)s", "\\", "ä\u2028"]
)
def test_metadata_keys_are_data(http, key):
    plain = submit(http, metadata={"case": "x"})
    odd = submit(http, metadata={key: "y"})
    assert listed(http, **{f"metadata.{key}": "x"}) == []
    assert listed(http, **{f"metadata.{key}": "y"}) == [odd]
    assert listed(http, **{"metadata.case": key}) == []
    assert listed(http, **{"metadata.case": "x"}) == [plain]


def test_what_is_refused(http):
    place = f"jobs/{submit(http)}/documents"
    document = http.get(place).json()["items"][0]["id"]
    for path in ("jobs", place, f"{place}/{document}/pages"):
        for name in ("status", "State", "offset", "metadata", "metadata.a" if path != "jobs" else "metadata_a"):
            assert refusal(http.get(path, params={name: "x"})) == (400, "invalid_request", f"query.{name}"), path
    assert refusal(http.get("jobs", params={"metadata.": "x"})) == (400, "invalid_request", "query.metadata.")
    assert refusal(http.get("jobs", params={"metadata.a": "x\0"})) == (400, "invalid_request", "query.metadata.a")
    assert refusal(http.get("jobs", params={"metadata.a": "x" * 1001}))[0] == 400
    assert refusal(http.get("jobs", params={"code": "\0"})) == (400, "invalid_request", "query.code")
    many = {f"metadata.k{n}": "x" for n in range(6)}
    assert refusal(http.get("jobs", params=many)) == (400, "invalid_request", "query.metadata")
    assert http.get("jobs", params=dict(list(many.items())[:5])).status_code == 200
    for wrong in ({"state": "done"}, {"priority": "high"}, {"limit": 0}, {"cursor": "x"}):
        assert http.get("jobs", params=wrong).status_code == 400, wrong


def test_whose_jobs_are_listed_is_for_administrators_to_choose(make):
    (one, mine), (two, theirs), (_, admin) = make(), make(), make(Scope.ADMIN)
    my_job, their_job = submit(mine), submit(theirs)
    for asked in (one, two, "-"):
        assert refusal(mine.get("jobs", params={"owner": asked})) == (403, "forbidden", "query.owner")
    assert listed(admin, owner=one) == [my_job]
    assert listed(admin, owner=two) == [their_job]
    assert listed(admin, owner="-") == []
    assert {my_job, their_job} <= set(listed(admin))
    assert listed(theirs, state="queued") == [their_job]


def test_pages_of_a_list_stay_as_they_are_while_jobs_arrive(http):
    jobs = [submit(http, metadata={"n": n % 2}) for n in range(7)]
    first = http.get("jobs", params={"limit": 2, "metadata.n": "0"}).json()
    submit(http, metadata={"n": 0})
    rest = http.get("jobs", params={"limit": 9, "metadata.n": "0", "cursor": first["next_cursor"]}).json()
    assert [item["id"] for item in first["items"] + rest["items"]] == [jobs[n] for n in (6, 4, 2, 0)]
    assert rest["next_cursor"] is None
