"""The settings by themselves: names, values, secrets, addresses, files."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

from jobs.doctor.findings import Finding, error, ok, warning
from jobs.doctor.scene import Scene, host_of, is_near, passwords_in
from jobs.placeholders import is_placeholder, visible
from jobs.settings import (
    ApiSettings,
    BlobSettings,
    BrokerSettings,
    DatabaseSettings,
    SecretSettings,
    known_variables,
)
from jobs.vault import MIN_KEY

_FEW = 8
"""Different characters that a random key of 16 has at least, but for one in 10^9."""
_BROKERS = ("redis", "rediss", "sentinel", "redis+socket")


def names(scene: Scene) -> Iterator[Finding]:
    known = known_variables()
    for name in scene.unknown:
        near = difflib.get_close_matches(name, known, 1, 0.8)
        meant = f"; is {near[0]} meant?" if near else ""
        yield error("config-unknown", f"there is no setting {name}{meant}", where=name)
    if not scene.unknown:
        yield ok("config-unknown", f"all of the {_set(scene)} PAGEMILL_… variables are known")


def _set(scene: Scene) -> int:
    return sum(name.startswith("PAGEMILL_") for name in scene.variables)


def values(scene: Scene) -> Iterator[Finding]:
    for complaint in scene.complaints:
        yield error("config-value", complaint.detail, where=complaint.where)
    if not scene.complaints:
        yield ok("config-value", "all values can be")


# --- secrets


def placeholders(scene: Scene) -> Iterator[Finding]:
    """Of every variable that is a secret by its type, of passwords inside of addresses, and of the access key."""
    shown = ((name, scene.variables.get(name, "")) for name in sorted(visible()))
    found = [name for name, text in (*scene.secret_texts(), *shown) if is_placeholder(text)]
    for name in dict.fromkeys(found):
        yield error("config-placeholder", f"{name} is still a placeholder", where=name)
    if not found:
        yield ok("config-placeholder", "no secret is a placeholder")


def secret_key(scene: Scene) -> Iterator[Finding]:
    key: SecretStr | None = scene.of(SecretSettings).secret_key
    where, text = "PAGEMILL_SECRET_KEY", "" if key is None else key.get_secret_value()
    if key is None:
        yield warning("config-secret-key", "is not set: documents with passwords and webhooks are refused", where=where)
    elif len(text) < MIN_KEY:
        yield error("config-secret-key", "is too short: nothing starts", where=where, limit=MIN_KEY, actual=len(text))
    elif len(set(text)) < _FEW:
        yield warning(
            "config-secret-key", "has few different characters", where=where, limit=_FEW, actual=len(set(text))
        )
    else:
        yield ok("config-secret-key", f"is set, {len(text)} characters")


# --- addresses


def urls(scene: Scene) -> Iterator[Finding]:
    wrong = list(_wrong_urls(scene))
    yield from wrong
    if not wrong:
        yield ok("config-url", "database, broker and store have addresses of their kinds")


def _wrong_urls(scene: Scene) -> Iterator[Finding]:
    database, broker, blobs = scene.of(DatabaseSettings), scene.of(BrokerSettings), scene.of(BlobSettings)
    kind = database.database_url.partition(":")[0].partition("+")[0]
    if kind not in ("sqlite", "postgresql", "postgres"):
        yield _wrong("PAGEMILL_DATABASE_URL", "must begin with sqlite:/// or postgresql://")
    elif kind == "postgres":
        yield _wrong("PAGEMILL_DATABASE_URL", "must begin with postgresql://, not postgres://")
    scheme = broker.broker_url.partition(":")[0]
    if scheme not in _BROKERS:
        yield _wrong("PAGEMILL_BROKER_URL", f"must begin with {', '.join(f'{name}://' for name in _BROKERS)}")
    if blobs.store_url.startswith("s3://") and not host_of(blobs.store_url):
        yield _wrong("PAGEMILL_STORE_URL", "names no bucket: s3://BUCKET/PREFIX")
    for name, value in (("S3_ENDPOINT", blobs.s3_endpoint), ("S3_PUBLIC_ENDPOINT", blobs.s3_public_endpoint)):
        if value is not None and (urlsplit(value).scheme not in ("http", "https") or not host_of(value)):
            yield _wrong(f"PAGEMILL_{name}", "must be http://HOST:PORT or https://HOST")


def _wrong(where: str, what: str) -> Finding:
    return error("config-url", f"{where} {what}", where=where)


def cleartext(scene: Scene) -> Iterator[Finding]:
    """Passwords that leave this machine unencrypted. A network of containers is as good as none to us: a warning."""
    open_ways = list(_cleartext(scene))
    for where, what in open_ways:
        yield warning("config-cleartext", f"{what} goes over the network in clear text", where=where)
    if not open_ways:
        yield ok("config-cleartext", "no password leaves this machine unencrypted")


def _cleartext(scene: Scene) -> Iterator[tuple[str, str]]:
    database, broker, blobs = scene.of(DatabaseSettings), scene.of(BrokerSettings), scene.of(BlobSettings)
    if database.database_url.startswith("postgres"):
        mode = parse_qs(urlsplit(database.database_url).query).get("sslmode", ["prefer"])[-1]
        away = not is_near(host_of(database.database_url))
        if away and passwords_in(database.database_url) and mode in ("disable", "allow"):
            yield "PAGEMILL_DATABASE_URL", "the password of the database"
    if broker.broker_url.startswith(("redis://", "sentinel://")) and passwords_in(broker.broker_url):
        hosts = [host_of(part) for part in broker.broker_url.split(";")]
        if not all(map(is_near, hosts)):
            yield "PAGEMILL_BROKER_URL", "the password of Redis"
    public = blobs.s3_public_endpoint
    if blobs.store_url.startswith("s3://") and public and public.startswith("http://") and not is_near(host_of(public)):
        yield "PAGEMILL_S3_PUBLIC_ENDPOINT", "what links lead to"


def files(scene: Scene) -> Iterator[Finding]:
    engine = scene.engine
    named = {
        "PAGEMILL_VLLM_CHAT_TEMPLATE": engine.vllm_chat_template,
        "PAGEMILL_RAPIDOCR_DETECTION": engine.rapidocr_detection,
        "PAGEMILL_RAPIDOCR_RECOGNITION": engine.rapidocr_recognition,
        "PAGEMILL_RAPIDOCR_DICTIONARY": engine.rapidocr_dictionary,
        "PAGEMILL_RAPIDOCR_LAYOUT": engine.rapidocr_layout,
        "PAGEMILL_VLLM_MODEL": _local(engine.vllm_model),
        "PAGEMILL_VL_LAYOUT_MODEL": _local(engine.vl_layout_model),
    }
    missing = {where: path for where, path in named.items() if path is not None and not path.exists()}
    for where, path in missing.items():
        yield error("config-files", f"{path} is not there", where=where)
    if not missing:
        count = sum(path is not None for path in named.values())
        yield ok("config-files", f"{count} named, all there" if count else "none is named")


def _local(model: str | None) -> Path | None:
    """A path, where it is none of a hub's ids (`owner/name`)."""
    return Path(model) if model is not None and model.startswith(("/", "./", "../", "~")) else None


# --- who may come in


def api_open(scene: Scene) -> Iterator[Finding]:
    api = scene.of(ApiSettings)
    if api.auth == "open" and not is_near(api.api_host):
        yield warning("config-api-open", f"listens on {api.api_host} and asks nobody for a key", where="PAGEMILL_AUTH")
    elif is_near(api.api_host):
        yield ok("config-api-open", f"listens on {api.api_host}, which only this machine reaches")
    else:
        yield ok("config-api-open", f"listens on {api.api_host} and asks for keys")
