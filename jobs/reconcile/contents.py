"""A deep look: what stored objects say, not only that they are there. Each is read once, whole ones one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import ValidationError

from jobs.blobs import BlobMissing, page_key, result_key
from jobs.reconcile.differences import Difference
from jobs.reconcile.parts import Parts
from jobs.results import PageResult
from jobs.store.naming import NamingDocument, NamingPage


def broken_results(
    parts: Parts, row: NamingDocument, pages: Sequence[NamingPage]
) -> list[tuple[NamingPage, Difference]]:  # fmt: skip
    """Stored results that are not JSON, not a page's result, or another page's."""
    found = []
    for page in pages:
        key = page_key(row.job_id, row.id, page.number, page.attempt)
        wrong = _wrong_result(parts, key, page.number)
        if wrong:
            found.append((page, Difference("result_broken", f"{row.id}/{page.number}", key, wrong)))
    return found


def _wrong_result(parts: Parts, key: str, number: int) -> str | None:
    try:
        result = PageResult.model_validate_json(parts.blobs.get(key))
    except BlobMissing:
        return None  # read anew meanwhile, or deleted: the next run tells
    except ValidationError as error:
        return f"not a page's result: {error.errors()[0]['msg']}"
    return None if result.number == number else f"the result of page {result.number}"


def broken_files(parts: Parts, row: NamingDocument) -> list[Difference]:
    """document.json that is not JSON, or tells another document or another end. Holds one document's JSON in memory."""
    assert row.result_attempt is not None
    key = result_key(row.job_id, row.id, row.result_attempt, "document.json")
    told = _json(parts, key)
    if told is None:
        return []
    wrong = told if isinstance(told, str) else _another(told, {"id": row.id, "job_id": row.job_id, "state": row.state})
    return [Difference("document_files_broken", row.id, key, wrong)] if wrong else []


def wrong_manifest(parts: Parts, key: str, job: str, state: str) -> str | None:
    """What is wrong with a job.json; None where it tells this job and this end, or is gone."""
    told = _json(parts, key)
    if told is None or isinstance(told, str):
        return told
    return _another(told, {"id": job, "state": state})


def _json(parts: Parts, key: str) -> dict[str, Any] | str | None:
    try:
        told = orjson.loads(parts.blobs.get(key))
    except BlobMissing:
        return None
    except orjson.JSONDecodeError as error:
        return f"not JSON: {error}"
    return told if isinstance(told, dict) else "not a JSON object"


def _another(told: dict[str, Any], right: dict[str, str]) -> str | None:
    wrong = [f"{name} {told.get(name)!r}" for name, value in right.items() if told.get(name) != value]
    return ", ".join(wrong) or None


def sha256_of(parts: Parts, key: str) -> str | None:
    """Of an object, read in pieces; None where it is gone."""
    digest = hashlib.sha256()
    try:
        for piece in parts.blobs.stream(key):
            digest.update(piece)
    except BlobMissing:
        return None
    return digest.hexdigest()
