"""An earlier version at work, in its own tree: everything at random (tests/writers.py there), until it is told that the
schema has changed, and for some steps more.

    writing.py SEED DATABASE_URL OBJECTS      says `working`, reads a line, says what went wrong
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tests.protocol import submit
from tests.writers import WEIGHTS, Plan, Writer, attempt

STEPS = 60


def main(seed: int, url: str, objects: Path) -> int:
    writer = Writer(Plan(seed, 0, url, objects))
    submit(writer.db, 3)
    told = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    errors: list[str] = []
    done = after = 0
    while after < STEPS:
        name = writer.chance.choices(names, weights)[0]
        errors += attempt(name, getattr(writer, name))
        done += 1
        after += told.is_set()
        if done == STEPS:
            print("working", flush=True)
    for error in errors:
        print(" ".join(error.split()))
    print("done")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
