"""Taking back what the dead hold: pages and claimed documents of workers that are not alive (rules 6 and 7)."""

from __future__ import annotations

from sqlmodel import Session

from jobs.errors import PageCrashed
from jobs.poison import last_crash
from jobs.store.closing import end_pages
from jobs.store.locks import lock_documents
from jobs.store.recording import count_ended
from jobs.store.sql import Sql
from jobs.store.submitting import json_text

BATCH = 500
"""Documents taken back in one transaction, so that none is long."""

_DOCUMENTS_OF_DEAD = Sql(
    """SELECT DISTINCT p.document_id FROM page p JOIN worker w ON w.id = p.worker
       WHERE p.state = 'running' AND w.state IN ('dead', 'stopped') LIMIT :batch"""
)
_TAKE_PAGES = Sql(
    """UPDATE page SET
         state = CASE WHEN w.died AND page.crashes + 1 >= :limit THEN 'failed' ELSE 'pending' END,
         crashes = page.crashes + CASE WHEN w.died THEN 1 ELSE 0 END,
         error = CASE WHEN w.died AND page.crashes + 1 >= :limit THEN {json:CAST(:error AS text)} ELSE page.error END,
         finished_at = CASE WHEN w.died AND page.crashes + 1 >= :limit THEN {now} ELSE NULL END,
         ready_at = {now}, rung_at = NULL
       FROM (SELECT id, state = 'dead' AS died FROM worker WHERE state IN ('dead', 'stopped')) AS w
       WHERE page.worker = w.id AND page.state = 'running'
         AND page.document_id IN (SELECT id FROM {list:ids(id text)})
       RETURNING document_id, page.state"""
)
_DEAD_HANDS = Sql(
    """SELECT d.id FROM document d JOIN worker w ON w.id = d.worker
       WHERE w.state IN ('dead', 'stopped') ORDER BY d.id LIMIT :batch"""
)
_TAKE_DOCUMENTS = Sql(
    """UPDATE document SET worker = NULL, rung_at = NULL, ready_at = {now},
              crashes = document.crashes + CASE WHEN w.died THEN 1 ELSE 0 END
       FROM (SELECT id, state = 'dead' AND NOT EXISTS (
               SELECT 1 FROM page WHERE page.worker = worker.id AND page.state = 'running') AS died
             FROM worker WHERE state IN ('dead', 'stopped')) AS w
       WHERE document.worker = w.id AND document.id IN (SELECT id FROM {list:ids(id text)})"""
)
_FAIL_DOCUMENTS = Sql(
    """UPDATE document SET state = 'failed', sealed = true, finished_at = {now}, result_attempt = NULL,
              error = {json:CAST(:error AS text)}
       WHERE id IN (SELECT id FROM {list:ids(id text)}) AND state = 'running' AND worker IS NULL
         AND crashes >= :limit RETURNING id, pending + running"""
)


def take_back_pages(session: Session, max_crashes: int) -> int:
    """One batch of pages whose worker is not alive becomes free again. Called on every tick; returns how many.

    A worker that died counts a crash for all it held; one that stopped in good order counts none. A page that was alone
    in `max_crashes` of them fails with page_crashed.
    """
    ids = lock_documents(session, [row[0] for row in _DOCUMENTS_OF_DEAD.run(session, batch=BATCH)])
    if not ids:
        return 0
    error = _crashed(f"{max_crashes} workers died while they read this page alone", max_crashes)
    pages = _TAKE_PAGES.run(session, limit=last_crash(max_crashes), ids=[{"id": i} for i in ids], error=error).all()
    count_ended(session, [(row[0], row[1]) for row in pages])
    return len(pages)


def take_back_documents(session: Session, max_crashes: int) -> int:
    """The same for documents whose splitter or assembler is not alive. A transaction of its own: rule 1's order.

    A death counts for them only where the worker held no page: the pages are the suspects (documents are opened in a
    subprocess and assembled in pieces), and a document in its way each time a page kills must not fail for it. Hence
    it comes before `take_back_pages`.
    """
    ids = lock_documents(session, [row[0] for row in _DEAD_HANDS.run(session, batch=BATCH)])
    if not ids:
        return 0
    rows = [{"id": i} for i in ids]
    taken = _TAKE_DOCUMENTS.run(session, ids=rows).rowcount
    error = _crashed(f"{max_crashes} workers died while they opened or assembled this document", max_crashes)
    failed = _FAIL_DOCUMENTS.run(session, limit=max_crashes, ids=rows, error=error).all()
    end_pages(session, [row[0] for row in failed if row[1]])
    return taken


def _crashed(detail: str, limit: int) -> str | None:
    return json_text(PageCrashed(detail, limit=limit, actual=limit).problem().model_dump(exclude_none=True))
