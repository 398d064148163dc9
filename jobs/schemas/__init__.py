"""JSON schemas of what pagemill stores and answers, produced from the pydantic models.

`python -m jobs.schemas` writes them beside this file, `python -m jobs.schemas --check` names those that differ.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from jobs.doctor.findings import Report
from jobs.errors import Problem
from jobs.results import DocumentResult, JobManifest, PageResult

MODELS: dict[str, type[BaseModel]] = {
    "page": PageResult,
    "document": DocumentResult,
    "job": JobManifest,
    "problem": Problem,
    "doctor": Report,
}
DIRECTORY = Path(__file__).parent
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_path(name: str) -> Path:
    return DIRECTORY / f"{name}.schema.json"


def schema_text(name: str) -> str:
    """The schema as it is committed, keys sorted, a newline at the end. What is null is left out of the JSON."""
    schema = MODELS[name].model_json_schema(by_alias=True, mode="validation")
    body = {"$schema": DIALECT, "$id": f"urn:pagemill:schema:{name}:1", **schema}
    return json.dumps(body, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def stale() -> list[Path]:
    """Schema files that are missing or differ from the models."""
    paths = {schema_path(name): schema_text(name) for name in MODELS}
    return [path for path, text in paths.items() if not path.is_file() or path.read_text("utf-8") != text]


def write() -> list[Path]:
    """Bring the files up to date; the paths that changed."""
    changed = stale()
    for name in MODELS:
        if schema_path(name) in changed:
            schema_path(name).write_text(schema_text(name), "utf-8")
    return changed
