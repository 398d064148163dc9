"""The committed schemas are what the models say, and samples of every stored object pass them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from jobs import schemas
from jobs.errors import CorruptFile, PageTimeout
from jobs.results import (
    LABELS,
    Block,
    DocumentResult,
    EngineInfo,
    JobDocument,
    JobManifest,
    PageEntry,
    PageImage,
    PageResult,
    SourceInfo,
    Warning_,
)

PAGE = PageResult(
    number=3,
    image=PageImage(width=1654, height=2339, dpi=200, rotation=90),
    blocks=(
        Block(label="paragraph_title", bbox=(1, 2, 3, 4), content="Title", score=0.9, order=0, level=2),
        Block(label="image", bbox=(1, 9, 30, 40), order=1, figure="page-0003-figure-1.jpg"),
    ),
    engine=EngineInfo(name="rapidocr", version="3.10.0", model="m"),
    score=0.9,
    warnings=(Warning_(code="low_confidence", detail="mean score of the text is 0.50"),),
    timings={"render": 0.1},
)
DOCUMENT = DocumentResult(
    id="doc_1",
    job_id="job_1",
    state="partial",
    source=SourceInfo(name="a.pdf", media_type="application/pdf", bytes=7, sha256="0" * 64, pages=2),
    options={"dpi": 200},
    engine="rapidocr",
    created_at="2026-01-01T00:00:00Z",
    pages=(
        PageEntry(number=3, state="succeeded", result=PAGE),
        PageEntry(number=4, state="failed", error=PageTimeout().problem()),
    ),
)
JOB = JobManifest(
    id="job_1",
    state="partial",
    engine="rapidocr",
    options={},
    metadata={"any": ["thing"]},
    created_at="2026-01-01T00:00:00Z",
    finished_at="2026-01-01T00:00:09Z",
    documents=(
        JobDocument(id="doc_1", name="a.pdf", state="partial", pages=2, markdown="doc_1/a.md", json="doc_1/a.json"),
        JobDocument(id="doc_2", name="b.pdf", state="failed", pages=0, error=CorruptFile(where="b.pdf").problem()),
    ),
)
SAMPLES = {"page": PAGE, "document": DOCUMENT, "job": JOB, "problem": CorruptFile("no", limit=1, actual="x").problem()}


def validator(name):
    schema = json.loads(schemas.schema_path(name).read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def stored(model):
    return json.loads(model.model_dump_json(by_alias=True, exclude_none=True))


def test_the_committed_schemas_are_the_models():
    assert schemas.stale() == [], "run `python -m jobs.schemas`"


def test_every_schema_has_a_file_and_every_file_a_schema():
    assert {path.name for path in schemas.DIRECTORY.glob("*.json")} == {
        f"{name}.schema.json" for name in schemas.MODELS
    }


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_what_is_stored_passes_its_schema(name):
    validator(name).validate(stored(SAMPLES[name]))


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("page", lambda data: data.update(number=0)),
        ("page", lambda data: data.update(extra=1)),
        ("page", lambda data: data["blocks"][0].update(label="heading")),
        ("page", lambda data: data["blocks"][0].update(bbox=[1, 2, 3])),
        ("page", lambda data: data["image"].update(rotation=45)),
        ("document", lambda data: data["pages"][1]["error"].pop("code")),
        ("document", lambda data: data.update(state="running")),
        ("job", lambda data: data["documents"][0].update(json=7)),
        ("problem", lambda data: data.pop("retryable")),
    ],
)
def test_what_no_model_would_write_is_refused(name, spoil):
    data = stored(SAMPLES[name])
    spoil(data)
    with pytest.raises(ValidationError):
        validator(name).validate(data)


def test_the_schema_names_every_label():
    schema = json.loads(schemas.schema_path("page").read_text("utf-8"))
    assert set(schema["$defs"]["Block"]["properties"]["label"]["enum"]) == set(LABELS)


def test_the_command_names_what_is_stale(tmp_path, monkeypatch, capsys):
    from jobs.schemas.__main__ import main

    monkeypatch.setattr(schemas, "DIRECTORY", tmp_path)
    assert main(["--check"]) == 1
    assert "stale page.schema.json" in capsys.readouterr().out
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert main(["--what"]) == 2


def test_the_module_runs():
    root = Path(schemas.__file__).parents[2]
    done = subprocess.run([sys.executable, "-m", "jobs.schemas", "--check"], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
