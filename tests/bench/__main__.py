"""`python -m tests.bench [NAME…]`: the figures of docs/benchmarks.md, load.md and capacity.md. Without names, all."""

from __future__ import annotations

import sys

from tests.bench import (
    big_upload,
    control_plane,
    cpu_engine,
    dispatching,
    fairness,
    footprint,
    front_door,
    frozen_redis,
    inbox,
    processes,
    recogniser,
    soak,
    timers,
    waits,
)
from tests.bench.machine import describe

BENCHMARKS = {
    "echo-100": lambda: control_plane.run(documents=100, pages=100),
    "echo-1": lambda: control_plane.run(documents=3000, pages=1),
    "echo-100-s3": lambda: control_plane.run(documents=50, pages=100, s3=True),
    "echo-1-s3": lambda: control_plane.run(documents=1000, pages=1, s3=True),
    "dispatch": dispatching.run,
    "fairness": fairness.run,
    "footprint": footprint.run,
    "inbox": lambda: inbox.run(objects=100_000),
    "inbox-some": lambda: inbox.run(objects=5000),
    "timers": timers.run,
    "waits": waits.run,
    "front-door": front_door.run,
    "big-upload": big_upload.run,
    "frozen-redis": frozen_redis.run,
    "soak-echo": soak.echo,
    "soak-rapidocr": soak.rapidocr,
    "rapidocr": cpu_engine.run,
    "rapidocr-some": lambda: cpu_engine.run(every=5),
    "rapidocr-auto": lambda: cpu_engine.run(text="auto"),
    "rapidocr-processes": processes.run,
    "rapidocr-recogniser": recogniser.run,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}")
        return 2
    print(describe())
    for name in names or BENCHMARKS:
        print(f"\n## {name}", flush=True)
        print(BENCHMARKS[name](), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
