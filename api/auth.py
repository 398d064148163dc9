"""Who asks, and what they may do.

A key sees and touches its own jobs, one with the scope `admin` everybody's. Without keys a server serves whoever
reaches it: on a loopback address, or where it was told to (`PAGEMILL_AUTH=open`). On loopback the only stranger who
reaches it is a page in a browser on the same machine; so requests must name the server by a loopback name (against DNS
rebinding) and must not come from another site (against forged requests).
"""

from __future__ import annotations

import ipaddress
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

from jobs import keys
from jobs.errors import Forbidden, InvalidRequest, Unauthorized
from jobs.models import KeyGrants, KeyLimits, Scope
from jobs.store.database import Database

T = TypeVar("T")
Mode = Literal["auto", "keys", "open"]

FRESH = 3.0
"""Seconds for which a key's look-up counts: how long a revoked key still opens a server."""
_REMEMBERED = 10_000
_MOMENT = 0.5
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]@/]+)(?::\d+)?")  # urlsplit takes the part in brackets of `[::1].evil`


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    owner: str
    """Id of the key, empty without one: the owner of what is submitted."""
    scopes: frozenset[Scope]
    limits: KeyLimits = keys.NO_LIMITS
    grants: KeyGrants = keys.NO_GRANTS

    @property
    def sees(self) -> str | None:
        """Whose jobs: those of this owner, or all where None."""
        return None if Scope.ADMIN in self.scopes else self.owner

    def may(self, *scopes: Scope) -> bool:
        """Whether it has one of these, or is an administrator."""
        return Scope.ADMIN in self.scopes or not self.scopes.isdisjoint(scopes)


ANYBODY = Principal("", frozenset(Scope))


class Doorkeeper:
    """Knows keys by their look-up in the database, remembered for seconds. Thread-safe."""

    def __init__(
        self,
        database: Database,
        mode: Mode,
        host: str,
        limits: KeyLimits = keys.NO_LIMITS,
        grants: KeyGrants = keys.NO_GRANTS,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`host`: the address that is listened on; `limits`, `grants`: of keys that have none of their own; the grants
        are those of whoever comes without a key, too."""
        self._limits, self._grants = limits, grants
        self._anybody = replace(ANYBODY, grants=grants)
        self._database = database
        self._mode = mode
        self._loopback = is_loopback(host) and not host.lower().endswith(".localhost")  # which may be bound elsewhere
        self._found: _Recent[Principal | None] = _Recent(clock)
        self._any: _Recent[bool] = _Recent(clock)

    def check_start(self) -> None:
        """Raises InvalidRequest where this server would serve strangers or nobody, DatabaseUnavailable."""
        if self._mode != "auto" or self._loopback:
            return
        self._database.require_schema()
        if not self._keys_were_made():
            raise InvalidRequest(
                "nobody could use this server: it listens on more than this machine and there is no API key. Make one:"
                " pagemill keys create NAME (--data DIR for a pagemill up). Or let everybody in: PAGEMILL_AUTH=open",
                where="PAGEMILL_API_HOST",
            )

    def admit(self, token: str | None, *, host: str | None, origin: str | None, site: str | None) -> Principal:
        """Who a request comes from. `token`: of its Authorization header; `host`, `origin`, `site`: of Host, Origin and
        Sec-Fetch-Site. Raises Unauthorized and Forbidden."""
        if token is not None:
            if len(token) > keys.MAX_SECRET:
                raise Unauthorized("this is no API key", where="Authorization", limit=keys.MAX_SECRET)
            principal = self._found.get(token, lambda: self._look_up(token))
            if principal is None:
                raise Unauthorized("this API key is not known here, or was revoked", where="Authorization")
            return principal
        if self._mode == "keys" or (self._mode == "auto" and (not self._loopback or self._keys_were_made())):
            raise Unauthorized("an API key is needed: Authorization: Bearer pm_…", where="Authorization")
        if self._mode == "auto":
            _check_nearby(host)
        _check_same_site(host, origin, site)
        return self._anybody

    def remembers(self, token: str | None) -> bool:
        """Whether `admit` answers at once, without asking the database."""
        return self._any.is_fresh("") if token is None else self._found.is_fresh(token)

    def _look_up(self, token: str) -> Principal | None:
        key = keys.find(self._database, token)
        if key is None:
            return None
        return Principal(key.id, frozenset(key.scopes), key.limits.over(self._limits), key.grants.over(self._grants))

    def _keys_were_made(self) -> bool:
        return self._any.get("", lambda: keys.were_made(self._database))


class _Recent(Generic[T]):
    """Answers that count for `FRESH` seconds, the latest of them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def is_fresh(self, name: str) -> bool:
        """Whether `get` will not ask, now and in the next moment."""
        with self._lock:
            known = self._answers.get(name)
        return known is not None and self._clock() + _MOMENT < known[0]

    def get(self, name: str, ask: Callable[[], T]) -> T:
        with self._lock:
            known = self._answers.get(name)
        if known is not None and self._clock() < known[0]:
            return known[1]
        answer = ask()
        with self._lock:
            self._answers[name] = (self._clock() + FRESH, answer)
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        return answer


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address or name."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _check_nearby(host: str | None) -> None:
    name = _HOST.fullmatch(host or "")
    if name is None or not is_loopback(name[1]):
        detail = "without API keys this server answers under loopback names alone, as http://127.0.0.1"
        raise Forbidden(detail, where="Host", actual=(host or "")[:80])


def _check_same_site(host: str | None, origin: str | None, site: str | None) -> None:
    own = {f"{scheme}://{(host or '').lower()}" for scheme in ("http", "https")}
    if site in ("cross-site", "same-site") or (origin is not None and origin.lower() not in own):
        raise Forbidden("without API keys, pages of other sites may not use this server", where="Origin")


def require(principal: Principal, scopes: Iterable[Scope]) -> None:
    """Raises Forbidden where the key has none of these scopes."""
    wanted = tuple(scopes)
    if not principal.may(*wanted):
        names = " or ".join(scope.value for scope in wanted)
        held = ", ".join(sorted(principal.scopes))
        raise Forbidden(f"this needs the scope {names}", where="Authorization", limit=names, actual=held)
