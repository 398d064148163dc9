"""What must hold of a job that has ended, whatever happened while it ran: nothing lost, nothing doubled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
from jsonschema import Draft202012Validator

from jobs.blobs import job_prefix, page_key
from jobs.models import FINAL, PAGE_FINAL, DocumentPublic, PageState, State
from jobs.schemas import schema_path
from tests.installation import Installation, ledger_errors

ENDED = {state.value for state in PAGE_FINAL}


def unsound(installation: Installation, job_id: str) -> list[str]:
    """Everything that is wrong with the ended job; empty when it is sound.

    The ledger adds up; every page is in one final state, and a succeeded one has the right content under the attempt
    that its row names; document.json and document.md tell each page once, in order; job.json names what is there.
    """
    return [*ledger_errors(installation, job_id), *_unfinished(installation, job_id), *_files(installation, job_id)]


def _unfinished(installation: Installation, job_id: str) -> Iterator[str]:
    for document, number, state, _ in installation.page_rows(job_id):
        if state not in ENDED:
            yield f"{document}/{number} is {state}"
    if installation.job(job_id).state not in FINAL:
        yield f"the job is {installation.job(job_id).state}"


def _files(installation: Installation, job_id: str) -> Iterator[str]:
    manifest = installation.manifest(job_id)
    yield from _schema_errors("job", manifest)
    if manifest["state"] != installation.job(job_id).state:
        yield f"job.json says {manifest['state']}"
    documents = {document.id: document for document in installation.documents(job_id)}
    lines = Counter(line["id"] for line in manifest["documents"])
    if lines != Counter(documents.keys()):
        yield f"job.json names {lines}"
    for line in manifest["documents"]:
        yield from _document(installation, documents[line["id"]], line)


def _document(installation: Installation, document: DocumentPublic, line: dict[str, Any]) -> Iterator[str]:
    told = line["state"], line["pages"]
    if told != (document.state, document.pages.total):
        yield f"job.json says {told} of {document.id}"
    has_result = document.state is State.SUCCEEDED or document.state is State.PARTIAL
    if has_result != ("json" in line) or has_result != ("markdown" in line):
        yield f"{document.id} is {document.state} and job.json names {sorted(line)}"
    if not has_result:
        return
    prefix = job_prefix(document.job_id)
    stored = orjson.loads(installation.blobs.get(prefix + line["json"]))
    yield from _schema_errors("document", stored)
    yield from _told_pages(installation, document, stored)
    markdown = installation.blobs.get(prefix + line["markdown"]).decode()
    good = [entry["number"] for entry in stored["pages"] if entry["state"] == "succeeded"]
    for number in good:
        if f"page {number}\n" not in markdown + "\n":
            yield f"{document.id}: document.md has no page {number}"


def _told_pages(installation: Installation, document: DocumentPublic, stored: dict[str, Any]) -> Iterator[str]:
    rows = [row for row in installation.page_rows(document.job_id) if row[0] == document.id]
    told = [(entry["number"], entry["state"]) for entry in stored["pages"]]
    if told != [(number, state) for _, number, state, _ in rows]:
        yield f"{document.id}: document.json tells {len(told)} pages, not those of the {len(rows)} rows"
        return
    for entry, (_, number, state, attempt) in zip(stored["pages"], rows, strict=True):
        if state != PageState.SUCCEEDED:
            continue
        result = orjson.loads(installation.blobs.get(page_key(document.job_id, document.id, number, attempt)))
        if entry["result"] != result:
            yield f"{document.id}: document.json does not hold attempt {attempt} of page {number}"


def _schema_errors(name: str, value: Any) -> Iterator[str]:
    validator = Draft202012Validator(json.loads(schema_path(name).read_text()))
    for error in validator.iter_errors(value):
        yield f"{name} schema: {error.json_path}: {error.message[:200]}"
