"""B6: pagemill and its peers read the same PDFs with the same modelled server.

B6_ONLY chooses who takes part (`bare,service,run,olmocr,docling,mineru`), B6_RATES the modelled pages/s (`20,50`),
B6_PEER_ROUNDS in how many rounds the peers do, which take a minute or two each (1). A run that leaves somebody or a
rate out is shown and not written to the docs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.environments import environment
from tests.bench.modelled import Model
from tests.bench.peers import others, ours
from tests.bench.peers.contender import Contender, Round, measure
from tests.bench.peers.figures import Figures, section
from tests.bench.peers.pages import Pages, lay_out
from tests.bench.report import NotMeasured, Scale, Section

COUNT, FEW = 480, 120
RATES = (20.0, 50.0)
EVERY_ROUND: dict[str, Callable[[], Contender]] = {
    "bare": others.bare,
    "service": ours.ServiceUp,
    "run": ours.command,
}
PEERS: dict[str, Callable[[], Contender]] = {**others.PEERS}
EVERYBODY = EVERY_ROUND | PEERS
VARIABLES = ("B6_ONLY", "B6_RATES", "B6_PEER_ROUNDS")


def run(scale: Scale) -> Section:
    """Everybody at every rate in turns, round after round; the peers in the first rounds alone.

    Raises NotMeasured where the documents, or an environment of anybody who is wanted, cannot be had: before anything
    is measured. And at the end, with what was found shown, where a peer failed.
    """
    peer_rounds = int(os.environ.get("B6_PEER_ROUNDS") or 1)
    wanted = turn(_wanted(quick=scale.quick), 0, peer_rounds)
    rates = [float(rate) for rate in os.environ.get("B6_RATES", "").split(",") if rate] or RATES[scale.quick :]
    found = Figures(
        variables={name: os.environ[name] for name in VARIABLES if os.environ.get(name)},
        not_asked=[name for name in EVERYBODY if name not in wanted],
        rates_not_asked=[rate for rate in RATES if rate not in rates],
    )
    with _pages(scale) as pages:
        contenders = _contenders(wanted)
        for rate in rates:
            for number in range(scale.rounds):
                for name in turn([*contenders], number, peer_rounds):
                    _measure(found, contenders[name], Model(rate), number, pages, may_fail=name in PEERS)
    shown = section(found, pages)
    if found.failed:
        print(shown, flush=True)
        raise NotMeasured("; ".join(f"{at}: {reason}" for at, reason in found.failed.items()))
    return shown


def turn(names: Sequence[str], number: int, peer_rounds: int) -> list[str]:
    """Who takes part in this round, in its order: every other one backwards, so that a machine that grows faster or
    slower meanwhile favours nobody."""
    some = [name for name in names if name in EVERY_ROUND or number < peer_rounds]
    return some[:: -1 if number % 2 else 1]


def _wanted(*, quick: bool) -> list[str]:
    """Raises ValueError for a name that nobody has."""
    wanted = [name for name in os.environ.get("B6_ONLY", "").split(",") if name]
    if unknown := set(wanted) - set(EVERYBODY):
        raise ValueError(f"B6_ONLY names {', '.join(sorted(unknown))}; there are {', '.join(EVERYBODY)}")
    return wanted or [*EVERY_ROUND, *([] if quick else PEERS)]


@contextmanager
def _pages(scale: Scale) -> Iterator[Pages]:
    with tempfile.TemporaryDirectory(prefix="pagemill-bench-pages-") as folder:
        yield lay_out(Path(folder), scale.of(COUNT, FEW), quick=scale.quick)


def _contenders(wanted: list[str]) -> dict[str, Contender]:
    """Each made once, with its environment. Raises NotMeasured that names all who cannot be."""
    environment("openai")  # the modelled server's
    contenders, lacking = {}, []
    for name in wanted:
        try:
            contenders[name] = EVERYBODY[name]()
        except NotMeasured as why:
            lacking.append(f"{name}: {why}")
    if lacking:
        without = "B6_ONLY chooses who takes part, for a run that is not written to the docs"
        raise NotMeasured("; ".join([*lacking, without]))
    return contenders


def _measure(found: Figures, contender: Contender, model: Model, number: int, pages: Pages, *, may_fail: bool) -> None:
    """A peer that fails is reported, and may do better at another rate; one of ours ends the run."""
    at = f"{contender.name} at {model.pages_per_second:g} pages/s, round {number + 1}"
    try:
        measured = measure(contender, model, pages)
    except RuntimeError as error:
        if not may_fail:
            raise
        print(f"{at}: {error}", flush=True)
        found.not_measured(at, str(error))
        return
    found.add(contender, model, number, measured)
    print(f"{at}: {_line(measured)}", flush=True)


def _line(measured: Round) -> str:
    return (
        f"{measured.pages_per_second:.1f} pages/s, {measured.cpu * 1000:.1f} ms of CPU a page,"
        f" idle {measured.idle:.0%}, first text after {measured.first:.1f} s"
    )
