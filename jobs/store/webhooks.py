"""Webhooks: events enter with the end of their job, are rung when due, claimed, and what became of them is noted.

A delivery is claimed as a page is: `attempt` is the fence, and a claim makes it due again a while later, should whoever
sends it die. Where several rows are locked, it is by ascending id.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
from sqlmodel import Session, col, select

from jobs.ids import new_event_id
from jobs.models import WebhookAttempt, WebhookDelivery, WebhookPublic, WebhookSecret, WebhookState
from jobs.store.clock import rfc3339
from jobs.store.sql import Sql, json_value

KEPT_ATTEMPTS = 10
LISTED = 100
"""Events of one job that are listed: an event comes with every end, and a job ends again with every retry."""


OWNERS_A_ROUND = 200
"""Owners that one round of ringing looks at, by lot: each costs a query."""


class DeliveryRef(NamedTuple):
    """A delivery and the attempt that a message expects of it."""

    id: str
    attempt: int


# --- events

_ENDED_JOB = Sql(
    """SELECT owner, options, metadata, state, finished_at, documents_total, documents_succeeded, documents_partial,
              documents_failed, documents_canceled, pages_total, pages_running, pages_succeeded, pages_failed,
              pages_canceled
       FROM job WHERE id = :job"""
)
_INSERT = Sql(
    """INSERT INTO webhook_delivery
         (id, job_id, owner, url, host, event, body, state, attempt, failures, attempts, next_at, created_at)
       VALUES (:id, :job, :owner, :url, :host, :event, :body, 'pending', 0, 0, {json:'[]'}, {now}, {now})"""
)


def insert_event(session: Session, job: str) -> None:
    """Tell the job's webhook, where it has one, how it ended. The job's row is locked, its totals are folded."""
    owner, options, metadata, state, finished, *counts = _ENDED_JOB.run(session, job=job).one()
    webhook = (json_value(options) or {}).get("webhook")
    if webhook is None:
        return
    event = f"job.{state}"
    body = {
        "type": event,
        "timestamp": rfc3339(finished),
        "data": {"id": job, "state": state, **_counts(counts), "metadata": json_value(metadata) or {}},
    }
    _INSERT.run(
        session,
        id=new_event_id(),
        job=job,
        owner=owner,
        url=webhook["url"],
        host=urlsplit(webhook["url"]).netloc,
        event=event,
        body=orjson.dumps(body).decode(),
    )


def _counts(counts: Sequence[int]) -> dict[str, dict[str, int]]:
    documents = dict(zip(("total", "succeeded", "partial", "failed", "canceled"), counts[:5], strict=True))
    pages = dict(zip(("total", "running", "succeeded", "failed", "canceled"), counts[5:], strict=True))
    documents["unfinished"] = 2 * documents["total"] - sum(documents.values())
    pages["pending"] = 2 * pages["total"] - sum(pages.values())
    return {"documents": documents, "pages": pages}


_LOCK_OF_JOB = Sql("SELECT id FROM webhook_delivery WHERE job_id = :job ORDER BY id {update}")
_DROP = Sql("DELETE FROM webhook_delivery WHERE job_id = :job")


def drop_events(session: Session, job: str) -> None:
    """Nobody is told anything more of this job, whose row is locked."""
    _LOCK_OF_JOB.run(session, job=job)
    _DROP.run(session, job=job)


# --- ringing

_OWNERS = Sql(
    """WITH RECURSIVE waiting(owner) AS (
         SELECT (SELECT min(owner) FROM webhook_delivery WHERE state = 'pending')
         UNION ALL
         SELECT (SELECT min(d.owner) FROM webhook_delivery d WHERE d.state = 'pending' AND d.owner > w.owner)
         FROM waiting w WHERE w.owner IS NOT NULL)
       SELECT owner FROM waiting WHERE owner IS NOT NULL"""
)
"""One index probe an owner, however many deliveries each of them has."""
_HOSTS = Sql(
    """WITH RECURSIVE waiting(host) AS (
         SELECT (SELECT min(host) FROM webhook_delivery WHERE state = 'pending' AND owner = :owner)
         UNION ALL
         SELECT (SELECT min(d.host) FROM webhook_delivery d
                 WHERE d.state = 'pending' AND d.owner = :owner AND d.host > w.host)
         FROM waiting w WHERE w.host IS NOT NULL)
       SELECT host FROM waiting w
       WHERE host IS NOT NULL AND EXISTS (
         SELECT 1 FROM webhook_delivery d
         WHERE d.state = 'pending' AND d.owner = :owner AND d.host = w.host AND d.next_at <= {now})"""
)
"""For which something is due; two index probes a host."""
_IN_FLIGHT = Sql(
    """SELECT owner, host, count(*) FROM webhook_delivery
       WHERE rung_at IS NOT NULL AND rung_at > {later:-:expires} GROUP BY owner, host"""
)
_DUE = Sql(
    """SELECT id FROM webhook_delivery
       WHERE state = 'pending' AND owner = :owner AND host = :host AND next_at <= {now}
         AND (rung_at IS NULL OR rung_at <= {later:-:expires})
       ORDER BY next_at LIMIT :limit"""
)
_LOCK = Sql("SELECT id FROM webhook_delivery WHERE id IN (SELECT id FROM {list:ids(id text)}) ORDER BY id {update}")
_STAMP = Sql(
    """UPDATE webhook_delivery SET rung_at = {now}
       WHERE id IN (SELECT id FROM {list:ids(id text)}) AND state = 'pending' AND next_at <= {now}
         AND (rung_at IS NULL OR rung_at <= {later:-:expires})
       RETURNING id, attempt"""
)
_UNRING = Sql(
    """UPDATE webhook_delivery SET rung_at = NULL
       WHERE id IN (SELECT id FROM {list:ids(id text)}) AND state = 'pending' AND next_at <= {now}"""
)


def due(session: Session, total: int, window: int, expires: float) -> list[str]:
    """Deliveries to ring: about `total` in flight, shared among the owners that have some, `window` for each at most,
    and an owner's share among the hosts for which it has some. Whoever has many is in nobody else's way, and a slow
    receiver in no other one's. Rings older than `expires` seconds were lost."""
    owners = [row[0] for row in _OWNERS.run(session)]
    in_flight: dict[str, dict[str, int]] = {}
    for owner, host, count in _IN_FLIGHT.run(session, expires=expires):
        in_flight.setdefault(owner, {})[host] = count
    share = max(1, min(window, total // max(1, len(owners))))
    found: list[str] = []
    for owner in random.sample(owners, min(len(owners), OWNERS_A_ROUND)):
        found += _due_of(session, owner, share, in_flight.get(owner, {}), expires)
    return found


def _due_of(session: Session, owner: str, share: int, in_flight: dict[str, int], expires: float) -> list[str]:
    """A host that comes when others hold the whole share gets its part at once; so the owner may come to hold twice its
    share, and no more."""
    free = 2 * share - sum(in_flight.values())
    hosts = [row[0] for row in _HOSTS.run(session, owner=owner)] if free > 0 else []
    part = max(1, share // max(1, len(hosts)))
    found: list[str] = []
    for host in random.sample(hosts, min(len(hosts), share)):
        limit = min(part - in_flight.get(host, 0), free - len(found))
        if limit > 0:
            found += [row[0] for row in _DUE.run(session, owner=owner, host=host, expires=expires, limit=limit)]
    return found


def stamp(session: Session, ids: Sequence[str], expires: float) -> list[DeliveryRef]:
    """Note that these are rung; returns those that nobody else rang meanwhile."""
    rows = [{"id": i} for i in ids]
    _LOCK.run(session, ids=rows)
    return [DeliveryRef(row[0], row[1]) for row in _STAMP.run(session, ids=rows, expires=expires)]


def unring(session: Session, refs: Sequence[DeliveryRef]) -> None:
    """They could not be rung."""
    rows = [{"id": ref.id} for ref in refs]
    _LOCK.run(session, ids=rows)
    _UNRING.run(session, ids=rows)


# --- sending

_LANES = Sql(
    """SELECT id, owner, host FROM webhook_delivery
       WHERE id IN (SELECT id FROM {list:ids(id text)}) AND state = 'pending'"""
)
_CLAIM = Sql(
    """UPDATE webhook_delivery SET attempt = attempt + 1, rung_at = {now}, next_at = {later::lease}
       WHERE id = :id AND attempt = :attempt AND state = 'pending' AND next_at <= {now}
       RETURNING owner, url, body, attempt, failures, attempts, rung_at"""
)
_RECORD = Sql(
    """UPDATE webhook_delivery
       SET state = :state, failures = :failures, attempts = {json::attempts}, rung_at = NULL,
           next_at = {later::delay}, finished_at = CASE WHEN :ended THEN {now} ELSE NULL END
       WHERE id = :id AND attempt = :attempt AND state = 'pending'"""
)
_LOCK_RECEIVERS = Sql(
    """SELECT id FROM webhook_delivery WHERE state = 'pending' AND owner = :owner AND url = :url
       ORDER BY id {update}"""
)
_STOP = Sql(
    """UPDATE webhook_delivery SET state = 'stopped', rung_at = NULL, finished_at = {now}
       WHERE state = 'pending' AND owner = :owner AND url = :url"""
)


def lanes(session: Session, refs: Sequence[DeliveryRef]) -> dict[str, tuple[str, str]]:
    """Owner and host of those that are to be sent still."""
    rows = _LANES.run(session, ids=[{"id": ref.id} for ref in refs])
    return {row[0]: (row[1], row[2]) for row in rows}


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours to send."""

    ref: DeliveryRef
    owner: str
    url: str
    body: str
    failures: int
    attempts: list[dict[str, Any]]
    at: str
    """The database's time, RFC 3339."""


def claim(session: Session, ref: DeliveryRef, lease: float) -> Claimed | None:
    """Take the delivery. It is due again in `lease` seconds unless `record` says otherwise. None where it is not to be
    sent, or by somebody else."""
    row = _CLAIM.run(session, id=ref.id, attempt=ref.attempt, lease=lease).first()
    if row is None:
        return None
    owner, url, body, attempt, failures, attempts, at = row
    log = orjson.loads(attempts) if isinstance(attempts, str) else attempts
    return Claimed(DeliveryRef(ref.id, attempt), owner, url, body, failures, log, rfc3339(at))


def record(
    session: Session, claimed: Claimed, attempt: WebhookAttempt, state: WebhookState, failures: int, delay: float
) -> bool:
    """Note what became of an attempt, `delay` seconds before the next one. False where it was claimed anew, replayed or
    stopped meanwhile: then this attempt counts for nothing."""
    log = [*claimed.attempts, attempt.model_dump(mode="json")][-KEPT_ATTEMPTS:]
    if state is WebhookState.STOPPED:
        _LOCK_RECEIVERS.run(session, owner=claimed.owner, url=claimed.url)
    recorded = _RECORD.run(
        session,
        id=claimed.ref.id,
        attempt=claimed.ref.attempt,
        state=state.value,
        ended=state is not WebhookState.PENDING,
        failures=failures,
        attempts=orjson.dumps(log).decode(),
        delay=delay,
    ).rowcount
    if recorded and state is WebhookState.STOPPED:
        _STOP.run(session, owner=claimed.owner, url=claimed.url)
    return recorded == 1


# --- log and replay

_REPLAY = Sql(
    """UPDATE webhook_delivery
       SET state = 'pending', attempt = attempt + 1, failures = 0, next_at = {now}, rung_at = NULL, finished_at = NULL
       WHERE id = :id AND job_id = :job"""
)


def of_job(session: Session, job: str) -> list[WebhookPublic]:
    """Newest first."""
    query = select(WebhookDelivery).where(WebhookDelivery.job_id == job)
    return [_public(row) for row in session.exec(query.order_by(col(WebhookDelivery.id).desc()).limit(LISTED))]


def get(session: Session, job: str, event: str) -> WebhookPublic | None:
    row = session.get(WebhookDelivery, event)
    return _public(row) if row is not None and row.job_id == job else None


def replay(session: Session, job: str, event: str) -> bool:
    """Due at once, with the whole schedule before it. An attempt that is under way counts for nothing."""
    return _REPLAY.run(session, job=job, id=event).rowcount == 1


def _public(row: WebhookDelivery) -> WebhookPublic:
    return WebhookPublic(
        id=row.id,
        job_id=row.job_id,
        type=row.event,
        url=row.url,
        state=WebhookState(row.state),
        attempts=tuple(WebhookAttempt.model_validate(attempt) for attempt in row.attempts),
        next_attempt_at=row.next_at if row.state == WebhookState.PENDING else None,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


# --- secrets

_INSERT_SECRET = Sql(
    """INSERT INTO webhook_secret (id, owner, sealed, created_at) VALUES (:id, :owner, :sealed, {now})
       ON CONFLICT (owner) WHERE expires_at IS NULL DO NOTHING"""
)
_RETIRE = Sql("UPDATE webhook_secret SET expires_at = {later::overlap} WHERE owner = :owner AND expires_at IS NULL")
_FORGET = Sql(
    """DELETE FROM webhook_secret WHERE owner = :owner AND expires_at IS NOT NULL
         AND (expires_at <= {now} OR id NOT IN (
           SELECT id FROM webhook_secret WHERE owner = :owner AND expires_at IS NOT NULL
           ORDER BY id DESC LIMIT :kept))"""
)
_SEALED = Sql(
    """SELECT sealed FROM webhook_secret WHERE owner = :owner AND (expires_at IS NULL OR expires_at > {now})
       ORDER BY id DESC"""
)


@dataclass(frozen=True, slots=True)
class SealedSecret:
    sealed: str
    created_at: datetime
    expires_at: datetime | None


def insert_secret(session: Session, secret_id: str, owner: str, sealed: str) -> bool:
    """False where the owner has one already."""
    return _INSERT_SECRET.run(session, id=secret_id, owner=owner, sealed=sealed).rowcount == 1


def retire_secret(session: Session, owner: str, overlap: float, kept: int) -> None:
    """The current secret signs for `overlap` seconds more, beside at most `kept - 1` older ones."""
    _RETIRE.run(session, owner=owner, overlap=overlap)
    _FORGET.run(session, owner=owner, kept=kept)


def sealed_secrets(session: Session, owner: str) -> list[str]:
    """What signs now, the current one first."""
    return [row[0] for row in _SEALED.run(session, owner=owner)]


def secrets_of(session: Session, owner: str) -> list[SealedSecret]:
    """As `sealed_secrets`, with their times."""
    signing = set(sealed_secrets(session, owner))
    query = select(WebhookSecret).where(WebhookSecret.owner == owner).order_by(col(WebhookSecret.id).desc())
    rows = [row for row in session.exec(query) if row.sealed in signing]
    return [SealedSecret(row.sealed, row.created_at, row.expires_at) for row in rows]
