"""Objects of drop folders: each is taken once, whoever sees it and however often.

The row's insert decides. A scanner that dies between it and the job leaves a claim that runs out; what it had copied
belongs to no job and is swept as an abandoned upload. Row and job become one in the job's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from jobs.store.clock import rfc3339
from jobs.store.sql import Sql

FORGET_AFTER = 90 * 86_400.0
"""Seconds after which an object that was moved away is forgotten; a retry then leaves it where it is."""
FORGET_BATCH = 1000

_UNKNOWN = Sql(
    """SELECT found.id FROM {list:found(id text)} LEFT JOIN inbox_object o ON o.id = found.id
       WHERE o.id IS NULL OR (o.state = 'taken' AND o.held_until < {now})"""
)
_CLAIM = Sql(
    """INSERT INTO inbox_object (id, inbox, key, etag, modified, version, bytes, state, holder, held_until, taken_at)
       SELECT id, :inbox, key, etag, modified, version, bytes, 'taken', :holder, {later::seconds}, {now}
       FROM {list:found(id text, key text, etag text, modified text, version text, bytes bigint)} WHERE true
       ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
         WHERE inbox_object.state = 'taken' AND inbox_object.held_until < {now}
       RETURNING id, taken_at"""
)
_RENEW = Sql(
    """UPDATE inbox_object SET held_until = {later::seconds}
       WHERE id IN (SELECT id FROM {list:ids(id text)}) AND holder = :holder AND state = 'taken'"""
)
_SKIP = Sql(
    """DELETE FROM inbox_object
       WHERE id IN (SELECT id FROM {list:ids(id text)}) AND holder = :holder AND state = 'taken'"""
)
_SUBMIT = Sql(
    """UPDATE inbox_object SET state = 'submitted', holder = NULL, held_until = NULL, job_id = :job,
              document_id = taken.d
       FROM {list:taken(i text, d text)}
       WHERE inbox_object.id = taken.i AND inbox_object.holder = :holder AND inbox_object.state = 'taken'
       RETURNING id"""
)


@dataclass(frozen=True, slots=True)
class Found:
    """An object as it was seen in an inbox."""

    id: str
    """Hash of the inbox and of what follows."""
    name: str
    """Its key beneath the inbox."""
    etag: str
    modified: str
    """RFC 3339, whole seconds."""
    version: str | None
    bytes: int


def unknown(session: Session, ids: Sequence[str]) -> set[str]:
    """Those of these objects that nobody has taken, or whose taker died: one look at an index for each."""
    return {row[0] for row in _UNKNOWN.run(session, found=[{"id": i} for i in ids])}


def claim(session: Session, inbox: str, found: Sequence[Found], holder: str, seconds: float) -> dict[str, str]:
    """Take those of these objects that are nobody's, for so many seconds. Returns their ids and, as RFC 3339, when
    each was first taken: the order of what lay under one key."""
    rows = sorted(found, key=lambda f: f.id)  # two scanners wait for each other's rows, never in a circle
    listed = [
        {"id": f.id, "key": f.name, "etag": f.etag, "modified": f.modified, "version": f.version, "bytes": f.bytes}
        for f in rows
    ]
    taken = _CLAIM.run(session, inbox=inbox, holder=holder, seconds=seconds, found=listed)
    return {row[0]: rfc3339(row[1]) for row in taken}


def renew(session: Session, holder: str, ids: Sequence[str], seconds: float) -> None:
    """Hold on to those that are still ours for so many seconds from now; none at all lets them go."""
    _RENEW.run(session, holder=holder, seconds=seconds, ids=[{"id": i} for i in sorted(ids)])


def skip(session: Session, holder: str, ids: Sequence[str]) -> None:
    """These were overwritten or gone before they were copied; should one be there again, it is taken again."""
    _SKIP.run(session, holder=holder, ids=[{"id": i} for i in sorted(ids)])


def submit(session: Session, holder: str, job: str, documents: Sequence[tuple[str, str]]) -> set[str]:
    """In the job's transaction: these objects (id, document) are its documents. Returns the ids that were still ours;
    where one is missing, another scanner has it, and the job must not be."""
    taken = [{"i": i, "d": document} for i, document in sorted(documents)]
    return {row[0] for row in _SUBMIT.run(session, holder=holder, job=job, taken=taken)}


# --- originals

_OF_DOCUMENT = Sql(
    """SELECT id, inbox, key, etag, modified, original, moved_etag FROM inbox_object
       WHERE document_id = :document AND state = 'submitted'"""
)
_TAGGED = Sql("UPDATE inbox_object SET original = 'tagged', ended_at = {now} WHERE id = :id")
# Whoever moves a file back wants it read again, and a file that was only moved is what it was.
_MOVED = Sql(
    """UPDATE inbox_object SET original = :to, moved_etag = :etag, ended_at = {now},
              id = CASE WHEN id LIKE '%/%' THEN id ELSE id || '/' || document_id END
       WHERE id = :id"""
)
_FORGET = Sql(
    """DELETE FROM inbox_object WHERE id IN (
         SELECT id FROM inbox_object WHERE original IN ('done','failed') AND ended_at < {later:-:age}
           AND inbox = :inbox LIMIT :batch)"""
)


@dataclass(frozen=True, slots=True)
class Original:
    """The object that a document was made from."""

    id: str
    inbox: str
    name: str
    etag: str
    modified: str
    """RFC 3339, whole seconds."""
    state: str
    """`done` or `failed`, where it was moved to, or `tagged`; empty where it was left as it is."""
    moved_etag: str | None
    """Of the object where it was moved to."""


def original_of(session: Session, document: str) -> Original | None:
    row = _OF_DOCUMENT.run(session, document=document).first()
    return None if row is None else Original(*row)


def note_tagged(session: Session, object_id: str) -> None:
    _TAGGED.run(session, id=object_id)


def note_moved(session: Session, object_id: str, to: str, etag: str) -> None:
    """`to`: done or failed; `etag`: of the object there. The row stays for its document; an object like it would be a
    new one."""
    _MOVED.run(session, id=object_id, to=to, etag=etag)


def forget(session: Session, inbox: str, age: float = FORGET_AFTER) -> int:
    """Delete rows of objects that have not been in the inbox for so many seconds. Returns how many."""
    return _FORGET.run(session, inbox=inbox, age=age, batch=FORGET_BATCH).rowcount
