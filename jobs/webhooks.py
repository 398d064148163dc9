"""Webhooks as their owners see them: signing secrets, the log of deliveries, replay. docs/webhooks.md."""

from __future__ import annotations

import base64
import secrets

from jobs.errors import InvalidRequest, NotFound
from jobs.ids import new_webhook_secret_id
from jobs.models import WebhookPublic, WebhookSecretPublic
from jobs.store import reading, webhooks
from jobs.store.database import Database
from jobs.vault import Vault

PREFIX = "whsec_"
"""Standard Webhooks, "Secret serialization"."""
_BYTES = 32
"""The specification asks for 24 to 64 random bytes."""
OVERLAP = 24 * 3600.0
"""Seconds for which a secret that was rotated away goes on signing beside the new one."""
KEPT = 4
"""Secrets that were rotated away and sign still, at most: each of them is a signature in every delivery's header."""


def current_secrets(db: Database, vault: Vault | None, owner: str) -> list[WebhookSecretPublic]:
    """What signs this owner's deliveries, the current one first; the first one is made where there is none. Raises
    InvalidRequest without PAGEMILL_SECRET_KEY."""
    opened = _needed(vault, "")
    ensure_secret(db, opened, owner)
    with db.read() as session:
        found = webhooks.secrets_of(session, owner)
    return [
        WebhookSecretPublic(secret=opened.open(s.sealed), created_at=s.created_at, expires_at=s.expires_at)
        for s in found
    ]


def rotate_secret(db: Database, vault: Vault | None, owner: str) -> list[WebhookSecretPublic]:
    """A new secret; the one before goes on signing beside it for a day. Two rotations at once are one. Raises
    InvalidRequest without PAGEMILL_SECRET_KEY."""
    sealed = _needed(vault, "").seal(_new_secret())
    with db.write() as session:
        webhooks.retire_secret(session, owner, OVERLAP, KEPT)
        webhooks.insert_secret(session, new_webhook_secret_id(), owner, sealed)
    return current_secrets(db, vault, owner)


def ensure_secret(db: Database, vault: Vault | None, owner: str, where: str = "") -> None:
    """Make the owner's first secret where it has none. Raises InvalidRequest without PAGEMILL_SECRET_KEY."""
    opened = _needed(vault, where)
    with db.read() as session:
        if webhooks.sealed_secrets(session, owner):
            return
    with db.write() as session:
        webhooks.insert_secret(session, new_webhook_secret_id(), owner, opened.seal(_new_secret()))


def _needed(vault: Vault | None, where: str) -> Vault:
    if vault is None:
        raise InvalidRequest(
            "webhooks cannot be signed: the server has no PAGEMILL_SECRET_KEY", where=where or "PAGEMILL_SECRET_KEY"
        )
    return vault


def _new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def deliveries(db: Database, job_id: str) -> list[WebhookPublic]:
    """A job's events, the newest first. Raises NotFound and Gone."""
    with db.read() as session:
        reading.get_job(session, job_id)
        return webhooks.of_job(session, job_id)


def replay(db: Database, job_id: str, event: str) -> WebhookPublic:
    """Send an event again, whatever became of it, under its old id. Raises NotFound and Gone."""
    with db.write() as session:
        reading.get_job(session, job_id)
        if not webhooks.replay(session, job_id, event):
            raise NotFound(f"there is no event {event} of {job_id}", where=event)
        found = webhooks.get(session, job_id, event)
    assert found is not None
    return found
