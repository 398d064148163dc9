"""`python -m tests.hostile.fuzz --seed N --files N`: spoiled public documents through everything.

The same seed gives the same files. Exit status 1 when a worker died, anything hung past its deadline, took more memory
than allowed, was left over, or ended without a code that a bad file may have. `--keep DIR` keeps the files of a lot in
which that happened; `--only N` runs the file N alone and keeps it there.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.hostile.corpus import public
from tests.hostile.mutations import Mutant, mutant
from tests.hostile.ordeal import Ordeal, Specimen, Verdict, ordeal
from tests.hostile.report import Report
from tests.services import Valkey

LOT = 100
"""Files of one job."""

MOST_BYTES = 400_000
"""Larger documents are left out: they cost time and bring nothing new."""

PAGES = "1-3"

SETTINGS = {"rapidocr": {"PAGEMILL_PAGE_TIMEOUT": "120"}}
"""Reading takes longer than rendering."""


def fuzz(seed: int, indices: Sequence[int], keep: Path | None = None, suffix: str = "", engine: str = "echo") -> Report:
    """Send these mutants, of files with this suffix only, and count what becomes of them."""
    files = [specimen.path for specimen in public(MOST_BYTES) if specimen.path.name.endswith(suffix)]
    report = Report()
    with tempfile.TemporaryDirectory(prefix="pagemill-fuzz-") as directory, Valkey() as valkey:
        root = Path(directory)
        with ordeal(root, valkey, engine, **SETTINGS.get(engine, {})) as found:
            for start in range(0, len(indices), LOT):
                lot = mutants(seed, indices[start : start + LOT], files)
                report.add(_send(found, lot, root / "mutants", keep))
                print(f"{report.files} files, {len(report.faults)} faults", file=sys.stderr, flush=True)
            report.look(found)
    return report


def mutants(seed: int, indices: Sequence[int], files: Sequence[Path]) -> list[Mutant]:
    return [mutant(seed, index, files) for index in indices]


def _send(found: Ordeal, lot: Sequence[Mutant], folder: Path, keep: Path | None) -> list[Verdict]:
    folder.mkdir(exist_ok=True)
    specimens = []
    for one in lot:
        path = folder / one.name
        path.write_bytes(one.data)
        specimens.append(Specimen(f"{one.name} ({'+'.join(one.steps)} of {one.origin.name})", path))
    try:
        verdicts = found.run(specimens, pages=PAGES)
    except BaseException:
        _keep([specimen.path for specimen in specimens], keep)
        raise
    bad = [specimen.path for specimen, verdict in zip(specimens, verdicts, strict=True) if [*verdict.faults()]]
    _keep([specimens[0].path] if len(lot) == 1 else bad, keep)
    for specimen in specimens:
        specimen.path.unlink()
    return verdicts


def _keep(paths: Sequence[Path], folder: Path | None) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            (folder / path.name).write_bytes(path.read_bytes())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description="Spoiled documents, seeded.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--only", type=int, help="run this one file")
    parser.add_argument("--suffix", default="", help="spoil only documents that end so, as .heic")
    parser.add_argument("--engine", choices=("echo", "rapidocr"), default="echo", help="echo renders and reads layers")
    parser.add_argument("--keep", type=Path, help="folder for the files that did harm")
    arguments = parser.parse_args()
    indices = range(arguments.files) if arguments.only is None else [arguments.only]
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    report = fuzz(arguments.seed, indices, arguments.keep, arguments.suffix, arguments.engine)
    print("\n".join(report.lines()))
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
