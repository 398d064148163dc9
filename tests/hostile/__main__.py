"""`python -m tests.hostile [PART…]`: every hostile and public file, and those made here, through everything.

Prints the figures of docs/reliability.md. Exit status 1 when a worker died, anything hung past its deadline, took more
memory than allowed, was left over, or ended as a file of its kind must not. Without the documents beside the checkout
only the files that are made here are sent.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.machine import describe
from tests.hostile import corpus
from tests.hostile.bombs import BOMBS, truncated
from tests.hostile.ordeal import Specimen, ordeal
from tests.hostile.report import Report
from tests.services import Valkey
from tests.testdata import TESTDATA

WRONG = "not the password"
CUTS = 100


@dataclass(frozen=True, slots=True)
class Part:
    """Files to send (made in a folder where they are not there yet), and what they may end as where that is known."""

    specimens: Callable[[Path], Sequence[Specimen]]
    ends: Callable[[Specimen], frozenset[str] | None] = lambda _: None
    needs_documents: bool = True
    engine: str = "echo"
    pages: str | None = None
    settings: dict[str, str] = field(default_factory=dict)

    def run(self, folder: Path, valkey: Valkey) -> Report:
        (folder / "files").mkdir()
        specimens = self.specimens(folder / "files")
        report = Report()
        with ordeal(folder, valkey, self.engine, **self.settings) as found:
            verdicts = found.run(specimens, pages=self.pages)
            report.add(verdicts)
            ends = {specimen.name: self.ends(specimen) for specimen in specimens}
            for verdict in verdicts:
                wanted = ends[verdict.name]
                if wanted is not None and verdict.code not in wanted:
                    report.faults.append(f"{verdict.name} ended as {verdict.code} and not as {' or '.join(wanted)}")
            report.look(found)
        return report


def _locked(password: str | None) -> Callable[[Path], Sequence[Specimen]]:
    return lambda _: [
        Specimen(one.name, one.path, password) for one in corpus.hostile() if one.name in corpus.passwords()
    ]


def _known(specimen: Specimen) -> frozenset[str] | None:
    return frozenset({"succeeded"}) if specimen.password is not None else None


_BOMB_ENDS = {bomb.name: bomb.ends for bomb in BOMBS}

PARTS: dict[str, Part] = {
    "hostile": Part(lambda _: corpus.hostile(), _known),
    "no-password": Part(_locked(None), lambda _: frozenset({"password_required"})),
    "wrong-password": Part(_locked(WRONG), lambda _: frozenset({"password_incorrect"})),
    "public": Part(lambda _: corpus.public(), lambda _: frozenset({"succeeded"})),
    "made": Part(
        lambda folder: [bomb.specimen(folder) for bomb in BOMBS],
        lambda specimen: _BOMB_ENDS[specimen.name],
        needs_documents=False,
    ),
    "truncated": Part(lambda folder: list(truncated(folder, CUTS)), needs_documents=False),
    "hostile-rapidocr": Part(
        lambda _: corpus.hostile(), engine="rapidocr", pages="1", settings={"PAGEMILL_PAGE_TIMEOUT": "120"}
    ),
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(PARTS)}")
        return 2
    print(describe())
    failed = [name for name, report in _reports(names or list(PARTS)) if report.faults]
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


def _reports(names: Sequence[str]) -> Iterator[tuple[str, Report]]:
    with Valkey() as valkey:
        for name in names:
            print(f"\n## {name}", flush=True)
            if PARTS[name].needs_documents and TESTDATA is None:
                print("left out: no shared/testdata above this checkout")
                continue
            with tempfile.TemporaryDirectory(prefix="pagemill-hostile-") as directory:
                report = PARTS[name].run(Path(directory), valkey)
            print("\n".join(report.lines()), flush=True)
            yield name, report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
