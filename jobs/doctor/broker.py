"""Redis or Valkey: whether it answers, takes messages, keeps them, and how quick it is.

It is asked over a connection as Celery's own, so that Sentinel and TLS are as they will be.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from redis.exceptions import AuthenticationError, RedisError, ResponseError

from jobs.doctor.clocks import clock
from jobs.doctor.disk import size
from jobs.doctor.findings import Finding, NotChecked, error, ok, skipped, warning
from jobs.doctor.scene import Scene, host_of, is_near
from jobs.queue import BROKER_ERRORS, make_app
from jobs.settings import BrokerSettings

PATIENCE = 4.0
"""Seconds for one answer."""
OLDEST = (6, 2)
SLOW = 0.005
"""Seconds of a round trip. A worker takes 160 tasks a second at 2.4 ms, and as few less as it is slower (measured,
celery-redis)."""
FULL, NEARLY = 0.95, 0.8
ROUNDS = 15
_KEEP = 60
"""Seconds after which Redis forgets the probe itself, should we die."""
_DENIED = ("NOAUTH", "WRONGPASS", "invalid password", "invalid username", "AUTH ", "no password is set")


def redis(scene: Scene) -> Iterator[Finding]:
    settings = scene.of(BrokerSettings)
    app = make_app(settings, patience=PATIENCE)
    try:
        with app.connection_for_read() as connection:
            client = _client(connection, None if "PAGEMILL_BROKER_URL" in scene.variables else _NO_BROKER)
            if isinstance(client, Finding):
                yield from _refused(client)
            yield from _answers(client, settings)
    finally:
        app.close()


_NO_BROKER = (
    "Start one and name it in PAGEMILL_BROKER_URL. `pagemill up` brings one along; `pagemill doctor` then finds it in"
    " the folder where that was started, or by --data."
)


def _client(connection: Any, remedy: str | None) -> Any:
    """The client beneath Celery's connection, or why there is none. `remedy`: other than the usual one."""
    try:
        client = connection.default_channel.client
        client.ping()
    except BROKER_ERRORS as failure:
        words = _words(failure)
        if any(mark in words for mark in _DENIED):
            return error("redis-auth", f"Redis refuses to let us in: {words}", where="PAGEMILL_BROKER_URL")
        return error("redis-reachable", f"Redis does not answer: {words}", where="PAGEMILL_BROKER_URL", do=remedy)
    return client


def _refused(finding: Finding) -> Iterator[Finding]:
    if finding.id == "redis-auth":
        yield ok("redis-reachable", "it answers")
    yield finding
    raise NotChecked("Redis does not let us in" if finding.id == "redis-auth" else "Redis does not answer")


def _words(failure: BaseException) -> str:
    """An error and what it came from, in a line."""
    texts: list[str] = []
    seen: BaseException | None = failure
    while seen is not None:
        texts.append(" ".join(str(seen).split()))
        seen = seen.__cause__
    if _in_handshake(failure):
        texts.append(_NO_TLS)
    return "; ".join(dict.fromkeys(filter(None, texts)))[:300] or type(failure).__name__


_NO_TLS = "it takes connections and does not answer in TLS: is it one without TLS, redis:// and not rediss://?"


def _in_handshake(failure: BaseException | None) -> bool:
    """Whether somebody took the connection and kept silent then: redis-py tells it as any other timeout."""
    while failure is not None:
        if isinstance(failure, TimeoutError) and "handshake" in str(failure):
            return True
        failure = failure.__cause__ or failure.__context__
    return False


def _answers(client: Any, settings: BrokerSettings) -> Iterator[Finding]:
    yield ok("redis-reachable", "it answers")
    yield _auth(client, settings)
    info = _asked(client.info)
    if info is None:
        raise NotChecked("Redis does not allow INFO to this user")
    yield from _version(info)
    yield from _latency(client)
    yield _writable(client, settings)
    yield _eviction(info)
    yield _persistence(info, _config(client, "save"))
    yield _memory(info)
    yield _clients(info, _config(client, "maxclients"))


def _asked(call: Callable[[], Any]) -> Any:
    """An answer, or None where an access list forbids the question."""
    try:
        return call()
    except ResponseError:
        return None


def _config(client: Any, name: str) -> str | None:
    """A setting; None where CONFIG is closed to us, as with most services that are rented."""
    found = _asked(lambda: client.config_get(name))
    return None if not found else str(found.get(name, ""))


def _auth(client: Any, settings: BrokerSettings) -> Finding:
    """Whether somebody without a password would be let in."""
    hosts = [host_of(part) for part in settings.broker_url.split(";")]
    if "@" in settings.broker_url:
        return ok("redis-auth", "the password opens it")
    if all(map(is_near, hosts)):
        return ok("redis-auth", "it asks for no password, and only this machine reaches the address")
    return warning("redis-auth", "it asks nobody for a password", where="PAGEMILL_BROKER_URL")


def _version(info: Mapping[str, Any]) -> Iterator[Finding]:
    valkey = info.get("valkey_version")
    text = f"Valkey {valkey}" if valkey else f"Redis {info.get('redis_version', 'of no version')}"
    # Valkey tells the version of Redis that it is compatible with, too.
    version = tuple(int(part) for part in str(info.get("redis_version", "0.0")).split(".")[:2])
    if version < OLDEST:
        yield error("redis-version", text, limit="6.2", actual=str(info.get("redis_version")))
    else:
        yield ok("redis-version", text)
    if info.get("cluster_enabled"):
        yield error("redis-cluster", "cluster-enabled yes", limit="no", actual="yes")
    else:
        yield ok("redis-cluster", "it is no Cluster")


def _latency(client: Any) -> Iterator[Finding]:
    times, skews = [], []
    for _ in range(ROUNDS):
        begun, before = time.monotonic(), time.time()
        told = client.time()
        took = time.monotonic() - begun
        times.append(took)
        skews.append(told[0] + told[1] / 1e6 - (before + took / 2))
    best = min(times)  # of several: what the way takes, not what else goes on
    text = f"a round trip takes {1000 * best:.1f} ms"
    slow = warning("redis-latency", text, limit=SLOW, actual=round(best, 4))
    yield slow if best > SLOW else ok("redis-latency", text)
    yield clock("redis-clock", "Redis's", statistics.median(skews))


def _writable(client: Any, settings: BrokerSettings) -> Finding:
    """As a message is sent and taken."""
    key = f"{settings.broker_prefix}doctor.{secrets.token_hex(8)}"
    try:
        try:
            client.execute_command("LPUSH", key, b"pagemill doctor")
            client.execute_command("EXPIRE", key, _KEEP)
            client.execute_command("RPOP", key)
        finally:
            client.execute_command("DEL", key)
    except (RedisError, AuthenticationError) as failure:
        return error("redis-writable", f"a message cannot be sent and taken: {_words(failure)}")
    return ok("redis-writable", "a message can be sent and taken")


def _eviction(info: Mapping[str, Any]) -> Finding:
    policy, maxmemory = str(info.get("maxmemory_policy", "")), int(info.get("maxmemory", 0))
    text, facts = f"maxmemory-policy {policy}", {"limit": "noeviction", "actual": policy}
    if policy == "noeviction":
        return ok("redis-eviction", text)
    if maxmemory:
        return error("redis-eviction", f"{text}, with maxmemory {size(maxmemory)}", **facts)
    return warning("redis-eviction", f"{text}, which waits for somebody to set maxmemory", **facts)


def _persistence(info: Mapping[str, Any], save: str | None) -> Finding:
    where = "redis-persistence"
    for name, what in (("aof_last_write_status", "its append-only file"), ("rdb_last_bgsave_status", "its snapshot")):
        if info.get(name, "ok") != "ok":
            return error(where, f"writing {what} failed", limit="ok", actual=str(info[name]), do=_DISK_FAILED)
    if info.get("aof_enabled"):
        return ok(where, "it appends to a file")
    if save is None:
        return skipped(where, "no append-only file, and Redis does not tell whether it saves snapshots")
    if save:
        return warning(where, f"snapshots alone (save {save}): a restart forgets the messages since the last one")
    return warning(where, "it keeps nothing: a restart forgets all messages", limit="appendonly yes", actual="no")


_DISK_FAILED = "Look at its log and its disk: with a failed disk it takes no messages any more."


def _memory(info: Mapping[str, Any]) -> Finding:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not most:
        whole = int(info.get("total_system_memory", 0))
        return ok("redis-memory", f"{size(used)} used, no maxmemory" + (f", on {size(whole)}" if whole else ""))
    text = f"{size(used)} of {size(most)} used"
    if used > FULL * most:
        return error("redis-memory", text, limit=most, actual=used)
    if used > NEARLY * most:
        return warning("redis-memory", text, limit=most, actual=used)
    return ok("redis-memory", text)


def _clients(info: Mapping[str, Any], told: str | None) -> Finding:
    connected, most = int(info.get("connected_clients", 0)), int(info.get("maxclients", told or 0))
    if not most:
        return skipped("redis-clients", f"{connected} connected; Redis does not tell how many it takes")
    text = f"{connected} of {most} connected"
    if connected > NEARLY * most:
        return warning("redis-clients", text, limit=most, actual=connected)
    return ok("redis-clients", text)
