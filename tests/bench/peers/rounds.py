"""B6: pagemill and its peers read the same PDFs with the same modelled server.

B6_ONLY chooses who takes part (`bare,service,run,olmocr,docling,mineru`), B6_RATES the modelled pages/s (`20,50`).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.modelled import Model
from tests.bench.peers import others, ours
from tests.bench.peers.contender import Contender, Round, measure
from tests.bench.peers.figures import Figures, section
from tests.bench.peers.pages import Pages, lay_out
from tests.bench.report import Scale, Section

COUNT, FEW = 480, 120
RATES = (20.0, 50.0)
EVERY_ROUND: dict[str, Callable[[], Contender]] = {
    "bare": others.bare,
    "service": ours.ServiceUp,
    "run": ours.command,
}
ONCE: dict[str, Callable[[], Contender]] = {**others.PEERS}
"""They take minutes."""


def run(scale: Scale) -> Section:
    """Everybody at every rate: ours and the bare client in turns, round after round, the peers once."""
    found = Figures()
    only = os.environ.get("B6_ONLY", "")
    wanted = only.split(",") if only else [*EVERY_ROUND, *([] if scale.quick else ONCE)]
    rates = [float(rate) for rate in os.environ.get("B6_RATES", "").split(",") if rate] or RATES[scale.quick :]
    with _pages(scale.of(COUNT, FEW)) as pages:
        for rate in rates:
            for number in range(scale.rounds):
                names = [name for name in wanted if name in EVERY_ROUND or number == 0]
                for name in names:
                    _measure(found, name, Model(rate), pages)
        return section(found, pages)


@contextmanager
def _pages(count: int) -> Iterator[Pages]:
    with tempfile.TemporaryDirectory(prefix="pagemill-bench-pages-") as folder:
        yield lay_out(Path(folder), count)


def _measure(found: Figures, name: str, model: Model, pages: Pages) -> None:
    """A peer that cannot be had here, or fails, is left out with the reason; one of ours ends the run."""
    make = (EVERY_ROUND | ONCE)[name]
    try:
        contender = make()
        measured = measure(contender, model, pages)
    except (subprocess.CalledProcessError, RuntimeError) as error:
        if name in EVERY_ROUND:
            raise
        found.leave_out(name, str(error))
        return
    found.add(contender.name, model, measured)
    print(f"{contender.name} at {model.pages_per_second:g}: {_line(measured)}", flush=True)


def _line(measured: Round) -> str:
    return (
        f"{measured.pages_per_second:.1f} pages/s, {measured.cpu * 1000:.1f} ms of CPU a page,"
        f" idle {measured.idle:.0%}, first text after {measured.first:.1f} s"
    )
