"""docs/errors.md: every code of jobs.errors and every warning of a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import api.client
import api.problems
import jobs.errors
from jobs.errors import DocumentError, PageError, PagemillError, RequestError, ServiceError
from jobs.results import Warning_
from tests.reference.advice import ERRORS, WARNINGS
from tests.reference.tables import code, table

_HEAD = """# Errors

<!-- Written by `make docs` from jobs/errors.py, jobs/results.py and tests/reference/advice.py; a test compares. -->

One object everywhere ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)): the body of an HTTP error
(`application/problem+json`), `error` of a job, a document, a page, and what the command prints as one line.

    {"type": "urn:pagemill:error:too_many_pages", "title": "The document has more pages than allowed",
     "status": 422, "code": "too_many_pages", "retryable": false,
     "detail": "30000 pages are selected", "limit": 20000, "actual": 30000}

`code` is for programs, `detail` for people; `where` names the input, `limit` and `actual` the rule that was broken.
`retryable`: the same may succeed later without a change. What is retryable on a page is tried again by itself with
growing pauses, `PAGEMILL_MAX_ERRORS` times in all; whatever has failed in the end runs again with `pagemill retry JOB`.

A bad page fails alone: its document is `partial` where others succeeded and `failed` where none did, and so is the job
by its documents. `error` of a document says why it could not be opened, fetched or split; `error` of a job why its
prefix or manifest could not be read. Which pages of a document failed and why:
`GET /v1/jobs/{job}/documents/{document}/pages?state=failed`; which jobs have that: `GET /v1/jobs?code=page_timeout`.

"""

_BRANCHES: tuple[tuple[str, str, type[PagemillError]], ...] = (
    (
        "Requests",
        "The request is refused and nothing was changed. In HTTP answers; `invalid_request` is also the error of a job"
        " whose list of documents makes no sense, and of a line of a manifest.",
        RequestError,
    ),
    (
        "Documents",
        "In HTTP answers where every file of a submission is bad, else `error` of the document. `deadline_exceeded` is"
        " also that of pages that had not ended, and of jobs that were not read to their end.",
        DocumentError,
    ),
    ("Pages", "`error` of a page.", PageError),
    (
        "The service",
        "Some part of pagemill is ill. In HTTP answers, with `Retry-After`; on documents and pages only where it did"
        " not get better within the tries.",
        ServiceError,
    ),
)

_EXITS = (
    ("any", "0", "done; all of it succeeded"),
    ("any", "1", "an error, told in one line; of `run`, `submit --watch`, `fetch`: something failed, which is listed"),
    ("any", "2", "wrong usage"),
    ("`pagemill run`", "130, 143", "stopped by Ctrl-C or SIGTERM; the same command goes on"),
    ("`pagemill reconcile`", "1", "differences were found, or are left after `--fix`"),
    ("`pagemill reconcile`", "2", "something could not be looked at"),
    ("`pagemill doctor`", "0", "all is well; what was skipped does not count"),
    ("`pagemill doctor`", "1", "at least one error: something does not work, or what was acknowledged can be lost"),
    ("`pagemill doctor`", "3", "warnings only: it works, and will cost something some day"),
    ("`pagemill eval --max-cer`", "1", "the error rate is higher"),
    ("`pagemill api`", "3", "it could not listen"),
    ("`pagemill api`", "0, 130", "told to end by SIGTERM, or by Ctrl-C; what it was answering was finished first"),
    ("`pagemill worker`", "0", "told to end (SIGTERM, drain): what it held was finished or handed back"),
    ("`pagemill worker`", "1", "it could not start: a setting, the engine, no database"),
    ("`pagemill worker`", "70", "its engine died, or its loop stood still: start it again"),
    ("`pagemill worker`", "75", "more memory than `PAGEMILL_WORKER_MEMORY`; it drained first: start it again"),
)


def render() -> str:
    return _HEAD + "\n".join([*(_branch(*branch) for branch in _BRANCHES), _warnings(), _exits()])


def codes() -> dict[str, type[PagemillError]]:
    """Every code that is given, by the class that gives it."""
    return {error.code: error for _, _, branch in _BRANCHES for error in _given(branch)}


def warning_codes() -> tuple[str, ...]:
    return get_args(Warning_.model_fields["code"].annotation)


def _given(branch: type[PagemillError]) -> Iterator[type[PagemillError]]:
    """The errors below a branch, of jobs and of the two modules of api that add a code."""
    for error in branch.__subclasses__():
        if error.__module__ in (jobs.errors.__name__, api.client.__name__, api.problems.__name__):
            yield error
        yield from _given(error)


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _branch(title: str, about: str, branch: type[PagemillError]) -> str:
    rows = [
        (
            code(error.code),
            str(error.status),
            "yes" if error.retryable else "no",
            f"{error.title()}.",
            ERRORS[error.code],
        )
        for error in _given(branch)
    ]
    return f"## {title}\n\n{about}\n\n" + table(("code", "status", "retryable", "what it means", "what to do"), rows)


def _warnings() -> str:
    rows = [(code(name), *WARNINGS[name]) for name in warning_codes()]
    about = "The page succeeded, and whoever reads it should know: `warnings` of its result, with `detail` and `bbox`."
    return f"## Warnings\n\n{about}\n\n" + table(("code", "what it means", "what to do"), rows)


def _exits() -> str:
    return "## Exit statuses\n\n" + table(("command", "status", "means"), _EXITS)
