"""The table of checks: which function answers for which findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jobs.doctor import broker, configuration, contradictions, database, engine, fleet, gpu, machine, ports, store_local
from jobs.doctor.findings import Finding
from jobs.doctor.run import Check
from jobs.doctor.scene import Scene
from jobs.doctor.table import TABLE, Area
from jobs.errors import InvalidRequest
from jobs.settings import BlobSettings


def _store_s3(scene: Scene) -> Iterator[Finding]:
    from jobs.doctor.store_s3 import store_s3  # it imports boto3, which a local store needs not

    return store_s3(scene)


_STORE_LOCAL = Check("store", ("store-reachable", "store-write", "store-space"), store_local.store_local)
_STORE_S3 = Check(
    "store",
    ("store-reachable", "store-access", "store-bucket", "store-clock", "store-latency", "store-write", "store-range",
     "store-multipart", "store-conditional", "store-presign-get", "store-presign-put"),
    _store_s3,
)  # fmt: skip
_CHECKS = (
    Check("names", ("config-unknown",), configuration.names),
    Check("values", ("config-value",), configuration.values),
    Check("placeholders", ("config-placeholder",), configuration.placeholders),
    Check("secret key", ("config-secret-key",), configuration.secret_key),
    Check("addresses", ("config-url",), configuration.urls),
    Check("clear text", ("config-cleartext",), configuration.cleartext),
    Check("files", ("config-files",), configuration.files),
    Check("contradictions", ("config-contradiction",), contradictions.contradictions),
    Check("sqlite", ("config-sqlite",), contradictions.sqlite),
    Check("local store", ("config-local-store",), contradictions.local_store),
    Check("open api", ("config-api-open",), configuration.api_open),
    Check("keys", ("api-keys",), database.api_keys),
    Check(
        "database",
        ("database-reachable", "database-version", "database-writable", "database-schema", "database-durability",
         "database-connections", "database-latency", "database-clock", "database-space"),
        database.database,
    ),
    Check(
        "redis",
        ("redis-reachable", "redis-auth", "redis-version", "redis-cluster", "redis-writable", "redis-eviction",
         "redis-persistence", "redis-memory", "redis-clients", "redis-latency", "redis-clock"),
        broker.redis,
    ),
    Check(
        "gpu",
        ("gpu-driver", "gpu-device", "gpu-libcuda", "gpu-cuda", "gpu-memory", "gpu-health"),
        gpu.gpu,
    ),
    Check("libraries", ("engine-libraries",), engine.libraries),
    Check("scratch", ("disk-scratch",), machine.scratch),
    Check("shared memory", ("machine-shm",), machine.shm),
    Check("limits", ("machine-files", "machine-processes", "machine-memlock"), machine.limits),
    Check("memory", ("machine-memory",), machine.memory),
    Check("ports", ("machine-ports",), ports.ports),
    Check("workers", ("workers-silent", "workers-alive", "workers-engines", "workers-failed"), fleet.fleet),
)  # fmt: skip


def checks(scene: Scene, only: Sequence[str] = ()) -> list[Check]:
    """What is to be looked at here: everything, or the checks of the areas and ids in `only`. Raises InvalidRequest."""
    known = {*TABLE, *Area}
    for name in only:
        if name not in known:
            raise InvalidRequest(f"there is no finding and no area {name!r}", where="--only")
    blobs = scene.groups.get(BlobSettings)
    store = _STORE_LOCAL if isinstance(blobs, BlobSettings) and blobs.store_url.startswith("file:") else _STORE_S3
    limit = scene.trial.timeout + 30 if scene.trial is not None else None
    trial = Check("engine", ("engine-start",), engine.start, limit)
    all_ = [*_CHECKS, store, trial]
    return [check for check in all_ if not only or _asked_for(check, only)]


def _asked_for(check: Check, only: Sequence[str]) -> bool:
    return any(id_ in only or TABLE[id_].area in only for id_ in check.ids)


def areas() -> Sequence[str]:
    return [area for area in Area if area is not Area.DOCTOR]
