"""The ledger: recount everything and name whatever does not agree.

`ledger` looks at the rows as they lie; `watch` adds triggers that write down every change of state, so that `moves`
can compare what happened with the tables of allowed transitions.
"""

from __future__ import annotations

from collections import Counter

from sqlalchemy import text
from sqlmodel import Session, select

from jobs.models import FINAL, PAGE_FINAL, PAGE_TRANSITIONS, TRANSITIONS, Document, Job, Page, PageState, State
from jobs.store.database import Database

OPEN = frozenset(State) - FINAL
SPENDINGS = ("engine_micros", "tokens_in", "tokens_out")


def ledger(session: Session) -> list[str]:
    """Everything that contradicts something else, one sentence each; empty when the books are right."""
    session.expire_all()
    pages: dict[str, list[Page]] = {}
    for page in session.exec(select(Page)):
        pages.setdefault(page.document_id, []).append(page)
    documents: dict[str, list[Document]] = {}
    wrong: list[str] = []
    for document in session.exec(select(Document)):
        documents.setdefault(document.job_id, []).append(document)
        wrong += _document(document, pages.pop(document.id, []))
    wrong += [f"pages of no document: {id_}" for id_ in pages]
    for job in session.exec(select(Job)):
        wrong += _job(job, documents.pop(job.id, []))
    return wrong + [f"documents of no job: {id_}" for id_ in documents]


def assert_exact(db: Database) -> None:
    with db.read() as session:
        wrong = ledger(session)
    assert not wrong, "\n".join(wrong)


def _document(document: Document, pages: list[Page]) -> list[str]:
    counted = Counter(page.state for page in pages)
    told = {state.value: getattr(document, state.value) for state in PageState}
    rules = {
        "counters equal a count of the page rows": all(told[state] == counted[state] for state in told),
        "the total is the sum of the counters": document.total == sum(told.values()) == len(pages),
        "counters are never negative": min(told.values()) >= 0,
        "an ended document is sealed": document.state in OPEN or document.sealed,
        "an ended document has nothing to run": document.state in OPEN or not (document.pending or document.running),
        "an ended document says when": (document.state in FINAL) == (document.finished_at is not None)
        or document.state == State.FAILED,  # born failed: no worker ever ended it
        "a queued document has no pages and no attempt": document.state != State.QUEUED
        or not (pages or document.attempt or document.worker),
        "only a sealed document has a result of its own": document.state != State.SUCCEEDED
        or document.source_pages is not None,
        "only running and canceled documents are held": document.worker is None
        or document.state in (State.RUNNING, State.CANCELED),
        "only open documents are rung": document.rung_at is None or document.state in OPEN,
    }
    wrong = [f"{document.id} ({document.state}): not true that {rule}; rows {dict(counted)}, counters {told}"
             for rule, holds in rules.items() if not holds]  # fmt: skip
    return wrong + [line for page in pages for line in _page(page)]


def _page(page: Page) -> list[str]:
    rules = {
        "the state is one of the five": page.state in frozenset(PageState),
        "a running page has a worker and an attempt": page.state != PageState.RUNNING
        or (page.worker is not None and page.attempt > 0),
        "only ended pages say when": (page.state in PAGE_FINAL) == (page.finished_at is not None),
        "only pending pages are rung": page.rung_at is None or page.state == PageState.PENDING,
        "a failed page says why": page.state != PageState.FAILED or page.error is not None,
        "a good page has no error": page.state != PageState.SUCCEEDED or page.error is None,
    }
    return [f"{page.document_id}/{page.number} ({page.state}): not true that {rule}"
            for rule, holds in rules.items() if not holds]  # fmt: skip


def _job(job: Job, documents: list[Document]) -> list[str]:
    if job.purged_at is not None:
        return [f"{job.id} is purged and has documents"] if documents else []
    ended = job.state in FINAL
    states = Counter(document.state for document in documents)
    rules = {
        "an ended job is sealed": not ended or job.sealed,
        "an ended job has no open document": not ended or not (states[State.QUEUED] or states[State.RUNNING]),
        "a queued job has no document that was begun": job.state != State.QUEUED or not states[State.RUNNING],
        "an ended job says when": ended == (job.finished_at is not None),
        "only ended jobs have a manifest": ended or not job.manifest,
        "a canceled or good job keeps no password": job.state not in (State.CANCELED, State.SUCCEEDED)
        or job.password is None,
    }
    if ended:
        rules["an ended job's totals are those of its documents"] = _totals(job) == _summed(documents)
    return [f"{job.id} ({job.state}): not true that {rule}; documents {dict(states)}"
            for rule, holds in rules.items() if not holds]  # fmt: skip


_DOCUMENT_TOTALS = (State.SUCCEEDED, State.PARTIAL, State.FAILED, State.CANCELED)
_PAGE_TOTALS = ("total", "running", "succeeded", "failed", "canceled")


_SUMS = (*_PAGE_TOTALS, *SPENDINGS)


def _totals(job: Job) -> list[int]:
    return [job.documents_total, *(getattr(job, f"documents_{state.value}") for state in _DOCUMENT_TOTALS),
            *(getattr(job, name if name in SPENDINGS else f"pages_{name}") for name in _SUMS)]  # fmt: skip


def _summed(documents: list[Document]) -> list[int]:
    states = Counter(document.state for document in documents)
    return [len(documents), *(states[state] for state in _DOCUMENT_TOTALS),
            *(sum(getattr(document, name) for document in documents) for name in _SUMS)]  # fmt: skip


# --- every move --------------------------------------------------------------------------------------------------

_NAMES = {"page": "NEW.document_id || '/' || NEW.number", "document": "NEW.id", "job": "NEW.id"}


def watch(db: Database) -> None:
    """From now on, every change of a state or an attempt is written down, in the transaction that makes it."""
    with db.write() as session:
        connection = session.connection()
        connection.execute(
            text("CREATE TABLE moves (what TEXT, id TEXT, old TEXT, new TEXT, old_attempt INT, new_attempt INT)")
        )
        for table, name in _NAMES.items():
            old, new = ("0", "0") if table == "job" else ("OLD.attempt", "NEW.attempt")
            insert = f"INSERT INTO moves VALUES ('{table}', {name}, OLD.state, NEW.state, {old}, {new});"
            condition = f"OLD.state <> NEW.state OR {old} <> {new}"
            for statement in _trigger(connection.dialect.name, table, condition, insert):
                connection.exec_driver_sql(statement)


def _trigger(dialect: str, table: str, condition: str, insert: str) -> list[str]:
    if dialect == "sqlite":
        return [f"CREATE TRIGGER watch_{table} AFTER UPDATE ON {table} WHEN {condition} BEGIN {insert} END"]
    return [
        f"CREATE FUNCTION watch_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {insert} RETURN NULL; END $$",
        f"CREATE TRIGGER watch_{table} AFTER UPDATE ON {table} FOR EACH ROW WHEN ({condition}) "
        f"EXECUTE FUNCTION watch_{table}()",
    ]


def moves(db: Database, what: str) -> list[tuple[str, str, str, int, int]]:
    """What happened to `page`, `document` or `job` rows: (id, old, new, old attempt, new attempt)."""
    with db.read() as session:
        rows = session.connection().execute(
            text("SELECT id, old, new, old_attempt, new_attempt FROM moves WHERE what = :what"), {"what": what}
        )
        return [tuple(row) for row in rows]


def assert_allowed(db: Database) -> None:
    """Every move stands in the tables of jobs/models.py, attempts only grew, and no page succeeded twice."""
    allowed = {(a.value, b.value) for a, targets in TRANSITIONS.items() for b in targets}
    allowed_pages = {(a.value, b.value) for a, targets in PAGE_TRANSITIONS.items() for b in targets}
    tables = {"page": allowed_pages, "document": allowed, "job": allowed}
    wrong = []
    for what, table in tables.items():
        for id_, old, new, before, after in moves(db, what):
            if old != new and (old, new) not in table:
                wrong.append(f"{what} {id_}: {old} -> {new}")
            if after < before:
                wrong.append(f"{what} {id_}: attempt {before} -> {after}")
    successes = Counter(id_ for id_, old, new, *_ in moves(db, "page") if new == PageState.SUCCEEDED != old)
    wrong += [f"page {id_} succeeded {count} times" for id_, count in successes.items() if count > 1]
    assert not wrong, "\n".join(wrong[:50])
