"""API keys: made, shown once, revoked, and recognised.

A key is 256 random bits, so its plain SHA-256 tells nothing about it: what passwords need (salt, slow hashes) guards
against guessing, and nobody guesses 256 bits (OWASP, Authentication; RFC 6750 for the bearer scheme).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from jobs.errors import InvalidRequest, NotFound
from jobs.ids import new_key_id
from jobs.models import KeyGrants, KeyLimits, KeyPublic, Scope
from jobs.store import keys
from jobs.store.database import Database

PREFIX = "pm_"
"""Begins every key, so that scanners for leaked secrets can know one."""
_BYTES = 32
_HINT = len(PREFIX) + 6
MAX_NAME = 100
MAX_SECRET = 200
"""Longer texts are no keys: whoever asks need not look them up, nor remember them."""

NO_LIMITS = KeyLimits()
NO_GRANTS = KeyGrants()


def create(
    db: Database,
    name: str,
    scopes: Sequence[Scope],
    limits: KeyLimits = NO_LIMITS,
    grants: KeyGrants = NO_GRANTS,
) -> tuple[KeyPublic, str]:
    """A new key and what it says, which is told this once. Raises InvalidRequest for a name that nobody can read."""
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidRequest("a key needs a name of printable characters", where="name", limit=MAX_NAME)
    if not scopes:
        raise InvalidRequest("a key needs a scope", where="scope", limit=1, actual=0)
    secret = PREFIX + secrets.token_urlsafe(_BYTES)
    key_id = new_key_id()
    ordered = [scope for scope in Scope if scope in scopes]
    with db.write() as session:
        keys.insert(
            session, key_id=key_id, name=name, digest=_digest(secret), hint=secret[:_HINT], scopes=ordered,
            limits=limits, grants=grants,
        )  # fmt: skip
        made = keys.get(session, key_id)
    assert made is not None
    return made, secret


def listed(db: Database) -> list[KeyPublic]:
    """All keys ever made, the oldest first."""
    with db.read() as session:
        return keys.all_keys(session)


def limit(db: Database, key_id: str, limits: KeyLimits) -> KeyPublic:
    """Give a key other limits; servers and workers hear of it within seconds. Raises NotFound."""
    with db.write() as session:
        if not keys.set_limits(session, key_id, limits):
            raise _no_key(key_id)
        session.expire_all()
        key = keys.get(session, key_id)
    assert key is not None
    return key


def grant(db: Database, key_id: str, grants: KeyGrants) -> KeyPublic:
    """Let a key reach other buckets; servers hear of it within seconds. Raises NotFound."""
    with db.write() as session:
        if not keys.set_grants(session, key_id, grants):
            raise _no_key(key_id)
        session.expire_all()
        key = keys.get(session, key_id)
    assert key is not None
    return key


def revoke(db: Database, key_id: str) -> KeyPublic:
    """The key opens nothing any more, within seconds on every server. Its jobs go on. Raises NotFound."""
    with db.write() as session:
        if not keys.revoke(session, key_id):
            raise _no_key(key_id)
        session.expire_all()
        key = keys.get(session, key_id)
    assert key is not None
    return key


def find(db: Database, secret: str) -> KeyPublic | None:
    """The key that says this and is not revoked."""
    with db.read() as session:
        key = keys.by_digest(session, _digest(secret))
    return key if key is not None and key.revoked_at is None else None


def were_made(db: Database) -> bool:
    """Whether there ever was a key. Revoking the last one does not open a server again."""
    with db.read() as session:
        return keys.any_key(session)


def _no_key(key_id: str) -> NotFound:
    return NotFound(f"there is no key {key_id[:80]!r}", where="key")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
