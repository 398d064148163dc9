"""Schemathesis over the whole API: requests made from its own description, right ones and wrong ones, against the real
server with jobs in it. No request breaks it, every answer is one that the description has, and none is all refusals."""

import random
from types import SimpleNamespace

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from api import openapi
from jobs import keys
from jobs.models import PageState, Scope
from tests.api_server import ApiServer, files, finish, write_pages
from tests.documents import pdf
from tests.protocol import register

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
EXAMPLES = 12
"""Random requests of each operation, beside those that walk the bounds of each parameter."""
PDF = pdf(3)

schema = schemathesis.openapi.from_path(
    openapi.PATH, config=SchemathesisConfig.from_dict({"seed": 6, "generation": {"max-examples": EXAMPLES}})
)


@schemathesis.serializer("application/x-ndjson", "application/pdf", "image/*")
def as_it_is(_context, value):
    return {"data": value if isinstance(value, bytes) else str(value).encode()}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The server, an administrator's session, and what there is to ask for."""
    url = f"sqlite:///{tmp_path_factory.mktemp('schema') / 'pagemill.db'}"
    server = ApiServer(url, auth="keys", secret_key="a long secret for tests only")
    database = server.database()
    database.migrate()
    _, secret = keys.create(database, "tester", [Scope.ADMIN])
    worker = register(database)
    database.dispose()
    with server, server.client(headers={"Authorization": f"Bearer {secret}"}) as http, requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {secret}"
        jobs = entered(server, http)
        for ids in jobs.values():
            ids |= {"worker": worker, "owner": "-", "name": "page-0001-figure-1.jpg", "number": 1}
        yield SimpleNamespace(url=server.url, session=session, jobs=jobs)


def entered(server, http):
    """Jobs in all states as parameters of paths, two of them to be ended."""
    states = ("queued", "running", "partial", "refused", "finished", "to cancel", "to delete", "deleted")
    jobs = {state: submitted(http, bad=state == "refused") for state in states}
    for state in ("running", "to cancel"):
        write_pages(server, jobs[state]["job"], jobs[state]["document"], [PageState.SUCCEEDED, PageState.RUNNING])
    finish(server, jobs["partial"]["job"], [PageState.SUCCEEDED, PageState.FAILED, PageState.CANCELED])
    finish(server, jobs["finished"]["job"], [PageState.SUCCEEDED] * 3)
    for found in jobs.values():
        told = http.get(f"jobs/{found['job']}/webhooks").json()["items"]
        found["event"] = told[0]["id"] if told else "evt_" + "0" * 32
    assert http.put("pauses/-").is_success
    assert http.delete(f"jobs/{jobs['deleted']['job']}").is_success
    return jobs


def submitted(http, *, bad):
    """A job of a document; where `bad`, the one that is looked at is the second, which was refused for its type."""
    options = ("options", (None, '{"webhook": {"url": "https://example.org/hook"}}'))
    job = http.post("jobs", files=[*files(PDF, *[b"no document"] * bad), options]).json()["id"]
    document = http.get(f"jobs/{job}/documents").json()["items"][-1]["id"]
    upload = http.post("uploads", json={"bytes": len(PDF)}).json()["id"]
    return {"job": job, "document": document, "upload": upload}


def aimed(case, jobs):
    """The request as it was made, or at something that is there: which, its own content decides, so that a request
    that fails is the same one each time."""
    choices = random.Random(repr((case.query, case.body, case.path_parameters)))
    target = choices.choice([jobs[state] for state in states_for(case)] + [{}])
    for name in sorted(set(case.path_parameters) & set(target)):
        if name in ("job", "document") or choices.random() < 0.7:
            case.path_parameters[name] = target[name]
    if "follow" in case.query and target is not jobs["finished"]:
        del case.query["follow"]  # of what does not end: the answer would not either
    if "code" in case.query and choices.random() < 0.5:
        case.query["code"] = "page_timeout"
    if case.path == "/v1/jobs" and choices.random() < 0.5:
        case.query.clear()  # it goes with raw bodies alone
    if isinstance(case.body, bytes) and choices.random() < 0.5:
        case.body = PDF + case.body
    if choices.random() < 0.2:
        case.headers["If-None-Match"] = "*"
    return case


def states_for(case):
    """Whose ids the request may name: those of the finished job most often, which has most to show."""
    if case.method == "DELETE":
        return "to delete", "deleted"
    if case.path.endswith("/cancel"):
        return "to cancel", "deleted"
    if case.path.endswith("/events"):
        return "finished", "partial", "refused", "deleted"  # what has not ended goes on for minutes
    return "queued", "running", "partial", "refused", "deleted", *["finished"] * 4


@pytest.fixture
def answered(request):
    """Statuses that the operation of this test answers with."""
    found = set()
    yield found
    assert any(200 <= status < 300 for status in found), f"nothing but refusals: {sorted(found)}"


@schema.parametrize()
@settings(
    deadline=None, database=None, derandomize=True, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck)
)
def test_the_api_is_what_its_description_says(case, place, answered):
    response = aimed(case, place.jobs).call(base_url=place.url, session=place.session, timeout=30)
    answered.add(response.status_code)
    case.validate_response(response, checks=CHECKS)
