"""`python -m tests.chaos`: a seeded schedule of faults over real processes, and what came of it."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import orjson

from tests.chaos.report import Report, table, told
from tests.chaos.run import run

DATABASES = {"postgres": ["postgres"], "sqlite": ["sqlite"], "both": ["postgres", "sqlite"]}


def main() -> int:
    """Exit status 1 where anything was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same schedule")
    parser.add_argument("--faults", type=int, default=50, help="on each database")
    parser.add_argument("--pages", type=int, default=5000, help="on each database")
    parser.add_argument("--database", choices=DATABASES, default="both")
    parser.add_argument("--only", default="", help="kinds of faults, separated by commas")
    parser.add_argument("--out", type=Path, help="where the report goes as JSON; its table lies beside it as .md")
    parser.add_argument("--keep", type=Path, default=Path("out/chaos"), help="what is kept of a run with violations")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started and mounted is taken down
    reports = []
    for database in DATABASES[given.database]:
        print(f"=== {database}, seed {given.seed}", flush=True)
        folder = given.keep / f"{database}-{given.seed}"
        report = run(database, given.seed, given.faults, given.pages, folder.resolve(), _say, given.only)
        print(told(report), flush=True)
        reports.append(report)
    print(table(reports))
    if given.out:
        _write(given.out, reports)
    return 1 if any(report.violations for report in reports) else 0


def _say(line: str) -> None:
    print(line, flush=True)


def _write(out: Path, reports: list[Report]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(orjson.dumps([orjson.Fragment(report.json()) for report in reports]))
    out.with_suffix(".md").write_text(table(reports) + "\n")


if __name__ == "__main__":
    sys.exit(main())
