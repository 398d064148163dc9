"""The tree of errors: as drawn, as data, across processes."""

from __future__ import annotations

import pickle
import re

import pytest

import jobs.errors
from jobs.errors import (
    DocumentError,
    FileTooLarge,
    PageError,
    PagemillError,
    PageTimeout,
    Problem,
    RequestError,
    ServiceError,
)


def all_errors():
    found, todo = [], [PagemillError]
    while todo:
        error = todo.pop()
        found.append(error)
        todo += error.__subclasses__()
    return [error for error in found if error.__module__ == "jobs.errors"]


GROUPS = (PagemillError, RequestError, DocumentError, PageError, ServiceError)
LEAVES = [error for error in all_errors() if error not in GROUPS]


def test_the_drawn_tree_is_the_tree():
    """Parent, status, code and whether it is retryable, line by line."""
    drawn, parent = {}, None
    for line in jobs.errors.__doc__.splitlines():
        found = re.match(r"^ {4}([│ ]*)[├└]── (\w+)(?: +(\d+) (\w+))?(.*)$", line)
        if found and not found[3]:
            parent = found[2]
        elif found:
            drawn[found[2]] = (parent, int(found[3]), found[4], "(retryable)" in found[5])
    assert drawn == {e.__name__: (e.__base__.__name__, e.status, e.code, e.retryable) for e in LEAVES}


def test_codes_are_one_errors_each_but_for_a_groups_own():
    codes = [error.code for error in LEAVES]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_every_error_is_a_problem(error):
    problem = error("what happened", where="x.pdf", limit=3, actual=4).problem()
    assert problem.model_dump() == {
        "type": f"urn:pagemill:error:{error.code}", "title": error.title(), "status": error.status,
        "detail": "what happened", "code": error.code, "retryable": error.retryable, "where": "x.pdf", "limit": 3,
        "actual": 4,
    }  # fmt: skip
    assert 400 <= error.status <= 599
    assert problem.title
    assert not problem.title.endswith(".")
    assert Problem.model_validate_json(problem.model_dump_json()) == problem


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_the_docstring_is_the_default_message(error):
    assert str(error()) == error().detail == error.title()


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_errors_survive_the_way_from_another_process(error):
    sent = error("detail", where="page 3", limit=1.5, actual="many", retry_after=7)
    got = pickle.loads(pickle.dumps(sent))
    assert type(got) is error
    assert (got.detail, got.where, got.limit, got.actual, got.retry_after) == ("detail", "page 3", 1.5, "many", 7)
    assert str(got) == "detail"


def test_an_error_is_told_where_once():
    error = PageTimeout("slow").at("page 3")
    assert error.at("x.pdf").where == "page 3"


def test_limits_keep_their_kind():
    problem = FileTooLarge("big", limit=10, actual=11.5).problem()
    assert (problem.limit, problem.actual) == (10, 11.5)
    assert "limit" not in PageTimeout().problem().model_dump(exclude_none=True)


def test_client_errors_and_service_errors_have_the_status_of_their_kind():
    assert all(400 <= e.status < 500 for e in LEAVES if issubclass(e, RequestError | DocumentError | PageError))
    assert all(e.status >= 500 for e in LEAVES if issubclass(e, ServiceError))
    assert all(e.retryable for e in LEAVES if e.status in (429, 503))
