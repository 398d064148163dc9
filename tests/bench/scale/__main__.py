"""`python -m tests.bench.scale [PART=SIZE…] [--journal FILE]`, such as `many=1000000 large=10000 listed=100000`.

The figures go to the journal as they come, a line each, and are told at the end; `--tell` tells those of a journal that
is there already, also of a run that still goes on or was cut short. Nothing is written to the docs: that does
`python -m tests.bench scale`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.bench.machine import describe
from tests.bench.scale.journal import Journal
from tests.bench.scale.loads import large, listed, many
from tests.bench.scale.questions import tables
from tests.bench.scale.telling import told

LOADS = {"many": many, "large": large, "listed": listed}


def main(arguments: list[str]) -> int:
    asked = _parser().parse_args(arguments)
    parts = dict(part.split("=", 1) for part in asked.parts)
    unknown = parts.keys() - {*LOADS, "questions"}
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join([*LOADS, 'questions'])}")
        return 2
    print(describe(), flush=True)
    if not asked.tell:
        journal = Journal(asked.journal)
        for name in LOADS.keys() & parts.keys():
            LOADS[name](journal, int(parts[name]), workers=asked.workers, every=asked.every)
    section = told(asked.journal, tables([int(size) for size in parts.get("questions", "").split(",") if size]))
    print(section.text, flush=True)
    for name, plot in section.plots.items():
        asked.journal.with_name(name).write_text(plot)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART=SIZE", help="many=PAGES large=PAGES listed=DOCUMENTS questions=SIZE,…"
    )
    parser.add_argument("--journal", type=Path, default=Path(tempfile.gettempdir()) / "pagemill-scale.jsonl")
    parser.add_argument("--tell", action="store_true", help="only tell what the journal has")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
