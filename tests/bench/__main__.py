"""`python -m tests.bench [--quick] [--rounds N] [NAME…]`: the figures of docs/benchmarks.md, load.md and capacity.md.

Without names, all. B1 to B6 write their section of docs/benchmarks.md and their plots, unless they are `--quick` or
were told to leave something out. What lacks something says so before it measures anything, and once more at the end,
and the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable

from tests.bench import (
    against_celery,
    big_upload,
    control_plane,
    cpu_engine,
    dispatching,
    fairness,
    footprint,
    front_door,
    frozen_redis,
    inbox,
    plane,
    processes,
    recogniser,
    scale,
    soak,
    timers,
    waits,
)
from tests.bench.machine import describe
from tests.bench.peers import rounds as peers
from tests.bench.rendering import run as rendering
from tests.bench.report import NotMeasured, Scale, Section, write
from tests.bench.service import idle, share

SECTIONS: dict[str, Callable[[Scale], Section]] = {
    "B1": share.run,
    "B2": idle.run,
    "B3": plane.run,
    "B4": against_celery.run,
    "B5": rendering.run,
    "B6": peers.run,
    "scale": scale.run,
}
"""Each writes its section."""

PRINTED: dict[str, Callable[[], str]] = {
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


NAMES = (*SECTIONS, *PRINTED)


def main(arguments: list[str]) -> int:
    asked = _parser().parse_args(arguments)
    unknown = [name for name in asked.names if name not in NAMES]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(NAMES)}")
        return 2
    print(describe())
    scale = Scale(1 if asked.quick else asked.rounds, asked.quick)
    complaints = [complaint for name in asked.names or NAMES if (complaint := _told(name, scale))]
    if complaints:
        print("\n" + "\n".join(complaints), flush=True)
    return 1 if complaints else 0


def _told(name: str, scale: Scale) -> str | None:
    """Why it was not measured, if so: its section keeps what it had, and the others come all the same."""
    print(f"\n## {name}", flush=True)
    try:
        print(_run(name, scale), flush=True)
    except NotMeasured as why:
        complaint = f"{name} was not measured: {why}"
    except Exception:  # noqa: BLE001 - hours of other benchmarks may follow
        traceback.print_exc()
        complaint = f"{name} was not measured: it failed"
    else:
        return None
    print(complaint, flush=True)
    return complaint


def _run(name: str, scale: Scale) -> str:
    if name in PRINTED:
        return PRINTED[name]()
    machine = describe()
    section = SECTIONS[name](scale)
    if section.left_out:
        return f"{section.text}\n\n{name} is not written to the docs: this run left out {section.left_out}."
    if not scale.quick:
        write(name, machine, section)
    return section.text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="one small round, to see that it runs; writes nothing")
    parser.add_argument("--rounds", type=int, default=Scale().rounds, help="of the B ones")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
