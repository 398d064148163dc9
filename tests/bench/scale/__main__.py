"""`python -m tests.bench.scale [PART=SIZE…] [--journal FILE]`, such as `many=1000000 large=10000 listed=100000`.

Further parts are tables that write no journal: `questions`, `owners`, `ends` and `standing`, each with several sizes by
commas. The figures of the others go to the journal as they come, a line each, and are told at the end; `--tell` tells
those of a journal that is there already, also of a run that still goes on or was cut short. Nothing is written to the
docs: that does `python -m tests.bench scale`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.bench.machine import describe
from tests.bench.scale.ends import ended
from tests.bench.scale.journal import Journal
from tests.bench.scale.loads import large, listed, many
from tests.bench.scale.owners import owning
from tests.bench.scale.questions import tables
from tests.bench.scale.standing import standing
from tests.bench.scale.telling import told

LOADS = {"many": many, "large": large, "listed": listed}
TABLES = {
    "questions": tables,
    "owners": owning,
    "ends": ended,
    "standing": lambda sizes: standing((sizes[0], sizes[-1]), 3),
}


def main(arguments: list[str]) -> int:
    asked = _parser().parse_args(arguments)
    parts = dict(part.split("=", 1) for part in asked.parts)
    unknown = parts.keys() - {*LOADS, *TABLES}
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join([*LOADS, *TABLES])}")
        return 2
    print(describe(), flush=True)
    loads = {name: int(size) for name, size in parts.items() if name in LOADS}
    if loads:
        journal = Journal(asked.journal)
        for name, size in loads.items():
            LOADS[name](journal, size, workers=asked.workers, every=asked.every)
    if loads or asked.tell:
        _tell(asked.journal)
    for name in parts.keys() - loads.keys():
        print(f"\n{name}\n\n{TABLES[name]([int(size) for size in parts[name].split(',')])}", flush=True)
    return 0


def _tell(journal: Path) -> None:
    """The section on the terminal, its plots beside the journal."""
    section = told(journal)
    print(section.text, flush=True)
    for name, plot in section.plots.items():
        journal.with_name(name).write_text(plot)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART=SIZE", help=", ".join([*LOADS, *TABLES]))
    parser.add_argument("--journal", type=Path, default=Path(tempfile.gettempdir()) / "pagemill-scale.jsonl")
    parser.add_argument("--tell", action="store_true", help="only tell what the journal has")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
