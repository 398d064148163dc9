"""The committed OpenAPI document and its examples."""

import json

import jsonschema
import pytest
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from api import examples
from api.main import create_app
from api.openapi import PATH, render
from jobs.models import DocumentPublic, JobPublic
from jobs.options import JobOptions
from jobs.results import PageResult

DOCUMENT = json.loads(render())


def operations():
    return [
        (method, path, operation) for path, found in DOCUMENT["paths"].items() for method, operation in found.items()
    ]


def test_the_committed_document_is_the_one_the_code_makes():
    assert PATH.read_bytes() == render(), "run: python -m api.openapi"


def test_every_reference_leads_somewhere():
    text = json.dumps(DOCUMENT)
    names = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert names <= set(DOCUMENT["components"]["schemas"])
    assert "HTTPValidationError" not in text


def test_every_schema_is_a_schema():
    assert DOCUMENT["openapi"].startswith("3.1")
    for schema in DOCUMENT["components"]["schemas"].values():
        validator_for(schema, default=Draft202012Validator).check_schema(schema)


@pytest.mark.parametrize(("method", "path", "operation"), operations())
def test_every_error_is_documented_as_a_problem(method, path, operation):
    assert operation["summary"]
    for status, response in operation["responses"].items():
        if int(status) >= 400:
            assert list(response["content"]) == ["application/problem+json"], f"{method} {path} {status}"


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (JobOptions, examples.OPTIONS),
        (JobPublic, examples.JOB),
        (DocumentPublic, examples.DOCUMENT),
        (PageResult, examples.PAGE),
    ],
)
def test_the_examples_are_valid(model, example):
    model.model_validate_json(json.dumps(example))


def test_the_example_of_a_problem_is_one():
    schema = DOCUMENT["components"]["schemas"]["Problem"]
    jsonschema.validate(schema["examples"][0], schema)


def test_no_route_lets_the_framework_read_a_body():
    # It would read it whole, and before anybody was asked for a key (api/bodies.py).
    included = [route.original_router for route in create_app().routes if hasattr(route, "original_router")]
    routes = [route for router in included for route in router.routes if isinstance(route, APIRoute)]
    assert len(routes) > 20
    assert [route.path for route in routes if route.body_field is not None] == []
