"""Submitting and looking while Redis is frozen, against the same while it is well; for keys with and without a limit of
requests, which are counted in Redis."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import httpx

from api.rates import AWAY
from jobs import keys
from jobs.models import KeyLimits, Scope
from tests.api_server import PDF, ApiServer, files
from tests.services import Postgres, Valkey

COUNT = 200
WITHIN = 2.0
"""How many times its normal time the median may take."""


def run(count: int = COUNT) -> str:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(Valkey())
        postgres = stack.enter_context(Postgres(fsync=True))
        server = ApiServer(
            postgres.create_database("bench"), auth="keys", broker_url=valkey.url, store_url=f"file:{root / 'objects'}"
        )
        database = server.database()
        database.migrate()
        scopes = [Scope.SUBMIT, Scope.READ]
        secrets = {
            "no limit": keys.create(database, "free", scopes)[1],
            "10,000/s": keys.create(database, "limited", scopes, KeyLimits(requests_per_second=10_000))[1],
        }
        database.dispose()
        stack.callback(server.remove)
        server.start()
        lines = [f"{count} submits and looks each, ms: median and most; ratio of the medians"]
        for name, secret in secrets.items():
            with server.client(headers={"Authorization": f"Bearer {secret}"}) as http:
                measure(http, 20)  # warm
                normal = measure(http, count)
                valkey.freeze()
                frozen = measure(http, count)
                valkey.thaw()
                time.sleep(AWAY)  # the server asks again
            lines += [_line(name, method, normal[method], frozen[method]) for method in normal]
    return "\n".join([*lines, f"load average after: {os.getloadavg()[0]:.1f}"])


def measure(http: httpx.Client, count: int) -> dict[str, list[float]]:
    """Seconds of each submit and of each look at its job."""
    found: dict[str, list[float]] = {"POST": [], "GET": []}
    for _ in range(count):
        started = time.perf_counter()
        made = http.post("jobs", files=files(PDF))
        between = time.perf_counter()
        assert http.get(f"jobs/{made.json()['id']}").status_code == 200
        found["POST"].append(between - started)
        found["GET"].append(time.perf_counter() - between)
    return found


def _line(key: str, method: str, normal: list[float], frozen: list[float]) -> str:
    ratio = median(frozen) / median(normal)
    assert ratio < WITHIN, f"{method} of a key with {key}: {ratio:.2f}"
    told = [f"{median(found) * 1000:6.1f} {max(found) * 1000:6.0f}" for found in (normal, frozen)]
    return f"{key:>10} {method:>4}: normal {told[0]}, frozen {told[1]}, ratio {ratio:.2f}"
