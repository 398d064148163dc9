"""The object store in an S3: every act that pagemill needs of it, tried. (It imports boto3: see checks.py.)"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from jobs.blobs.s3_probing import LinkAnswer, S3Probe, S3Refusal
from jobs.doctor.clocks import clock
from jobs.doctor.findings import Finding, Level, NotChecked, error, ok, warning
from jobs.doctor.scene import Scene
from jobs.errors import InvalidRequest
from jobs.settings import BlobSettings

TIMEOUT = 5.0
"""Seconds of one call; boto3 tries each three times."""
SLOW = 0.25
"""Seconds of writing one small object. A worker writes from 16 threads: 64 pages a second."""
ROUNDS = 3
_SKEWED = "RequestTimeTooSkewed"
SKEW, FATAL_SKEW = 30.0, 600.0
"""Seconds. Signatures count for 15 minutes (Signature Version 4), and the Date header tells whole seconds."""


def store_s3(scene: Scene) -> Iterator[Finding]:
    settings = scene.of(BlobSettings)
    try:
        probe = S3Probe(settings, min(TIMEOUT, settings.s3_timeout))
    except (InvalidRequest, ValueError) as failure:
        raise NotChecked(f"no client can be made: {failure}") from None
    try:
        try:
            skew = probe.look()
            there = ok("store-bucket", "the bucket is there")
        except S3Refusal as refusal:
            if refusal.code != "NoSuchBucket":
                yield from _refused(refusal)
                raise NotChecked(_why(refusal)) from None
            skew, there = _made(probe, settings)
        yield ok("store-reachable", "it answers")
        yield ok("store-access", "the access key opens it")
        yield there
        if there.level is Level.ERROR:
            raise NotChecked("there is no bucket")
        yield _clock(skew)
        yield from _acts(probe)
    finally:
        probe.close()


def _made(probe: S3Probe, settings: BlobSettings) -> tuple[float, Finding]:
    """By how much the store's clock is before ours in seconds, and what of the bucket that was not there: some stores
    (SeaweedFS as it comes) make it with the first object, and pagemill's would have been one."""
    bucket = settings.store_url.removeprefix("s3://").partition("/")[0]
    where = "PAGEMILL_STORE_URL"
    try:
        probe.write()
        skew = probe.look()
    except S3Refusal:
        return 0.0, error("store-bucket", f"there is no bucket {bucket}", where=where, actual=bucket)
    text = f"there was no bucket {bucket}: the store makes one with the first object, and just did"
    return skew, warning("store-bucket", text, where=where, actual=bucket, do=_WRONG_NAME)


_WRONG_NAME = "Nothing, where the name is right; else correct PAGEMILL_STORE_URL, and remove that bucket."


def _why(refusal: S3Refusal) -> str:
    """In a few words, for what then cannot be looked at."""
    if not refusal.code:
        return "the store does not answer"
    return "the store does not take our clock" if refusal.code == _SKEWED else "the store does not let us in"


def _refused(refusal: S3Refusal) -> Iterator[Finding]:
    """Why not even a listing was given. What must have been well before it is told, too."""
    if not refusal.code:
        yield error("store-reachable", f"it does not answer ({refusal})", where="PAGEMILL_S3_ENDPOINT")
        return
    yield ok("store-reachable", "it answers")
    if refusal.code == _SKEWED:
        yield error("store-clock", f"it refuses what this host's clock signed ({refusal})", limit=FATAL_SKEW)
    else:
        yield error("store-access", f"it refuses us ({refusal})", where="PAGEMILL_S3_ACCESS_KEY")


def _clock(skew: float) -> Finding:
    if abs(skew) > FATAL_SKEW:
        text = f"the store's clock and this host's differ by {abs(skew):.0f} s"
        return error("store-clock", text, limit=FATAL_SKEW, actual=round(skew))
    return clock("store-clock", "the store's", skew, SKEW)


def _acts(probe: S3Probe) -> Iterator[Finding]:
    times = []
    for _ in range(ROUNDS):
        begun = time.monotonic()
        failed = _tried("store-write", probe.write)
        times.append(time.monotonic() - begun)
        if failed is not None:
            yield failed
            raise NotChecked("nothing can be written there")
    best = min(times)  # of several: what the way takes, not what else goes on
    text = f"writing a small object takes {1000 * best:.0f} ms"
    slow = warning("store-latency", text, limit=SLOW, actual=round(best, 3))
    yield slow if best > SLOW else ok("store-latency", text)
    yield _tried("store-range", probe.read_range) or ok("store-range", "parts of objects can be read")
    yield _tried("store-multipart", probe.multipart) or ok("store-multipart", "8 MiB went there in two parts")
    yield _conditional(probe)
    yield _link("store-presign-get", probe.fetch_link, "fetched")
    yield _link("store-presign-put", probe.put_link, "put to")
    rest = (probe.read, probe.list, probe.copy, probe.remove)
    broken = next(filter(None, (_tried("store-write", act) for act in rest)), None)
    yield broken or ok("store-write", "objects can be put, read, listed, copied and removed")


def _tried(id_: str, act: Callable[[], None]) -> Finding | None:
    """The error where an act is refused."""
    try:
        act()
    except S3Refusal as refusal:
        return error(id_, str(refusal))
    return None


def _conditional(probe: S3Probe) -> Finding:
    id_ = "store-conditional"
    try:
        honoured = probe.honours_conditions()
    except S3Refusal as refusal:
        return warning(id_, f"a PUT with If-None-Match is refused ({refusal})", limit=412, actual=refusal.status)
    if not honoured:
        return warning(id_, "the second of two PUTs with If-None-Match: * replaced the first", limit=412, actual=200)
    return ok(id_, "of two PUTs with If-None-Match: * the second is refused")


def _link(id_: str, act: Callable[[], LinkAnswer], done: str) -> Finding:
    """Tells the status alone: a link's address is as good as a key."""
    try:
        answer = act()
    except S3Refusal as refusal:
        return error(id_, f"a link cannot be {done} ({refusal})", where="PAGEMILL_S3_PUBLIC_ENDPOINT")
    if answer.status not in (200, 201, 204) or not answer.right:
        text = f"a link is answered with {answer.status}" + ("" if answer.right else ", and not with the object")
        return error(id_, text, where="PAGEMILL_S3_PUBLIC_ENDPOINT", limit=200, actual=answer.status)
    return ok(id_, f"a link can be {done}")
