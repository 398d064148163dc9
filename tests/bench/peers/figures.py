"""What the rounds found, as the section shows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.environments import ROOT
from tests.bench.modelled import IMAGE_TOKENS, PAGE_TOKENS, Model
from tests.bench.peers.contender import Contender, Round
from tests.bench.peers.pages import Pages
from tests.bench.peers.verdicts import FLOOR, is_ours, verdicts
from tests.bench.plot import Panel, svg
from tests.bench.report import Section, Spread, table

HEAD = (
    "",
    "rounds",
    "pages/s",
    "÷ bare client",
    "÷ it, once started",
    "engine idle",
    "idle with backlog",
    "most at once",
    "CPU-s a page",
    "of the server",
    "first request, s",
    "first text, s",
)

LOAD = """
{pages.count} pages ({pages.origin}) through an OpenAI-compatible server around the modelled engine: {sequences}
sequences, answers of {answer} tokens in the mean, at most {image} tokens of image. Everybody, the server included,
shares this machine's cores; nobody caches. A round counts only where the server answered a request for every page, and
every document has its text.

The clock runs from the start of a command to its end: their start counts, the bare client's too. The service is up and
warm; its clock runs from the submit by HTTP until every document's Markdown was fetched, and the page that warmed it is
forgotten by the server. `first request` is the time from there to the first one at the server: of a command its
interpreter, its imports, its processes and the drawing of a page; of the service the upload, the split and the drawing.
`÷ it, once started` takes that time off the bare client alone, as if it had been up and had drawn a page before its
clock began; everybody else's stays as it is.

CPU is that of all that a command starts; of the service that of API, worker, render processes, PostgreSQL, Valkey and
the benchmark's own client, which uploads, polls and fetches. `engine idle` is the part of its work that the engine was
not asked for, from begin to end; `with backlog` from the first request to the last; `most at once` is how many requests
were at the server. `first text` is a page's where pages can be read one by one (bare client, service), else a
document's. `÷` is the median of ratios of the same rounds, of which every other one goes backwards; the peers take part
in the first ones only, by default in one (`B6_PEER_ROUNDS`).
""".strip()


@dataclass(slots=True)
class Figures:
    """Rounds by rate, contender and number, in the order in which they came."""

    variables: Mapping[str, str] = field(default_factory=dict)
    """What was set for this run."""
    not_asked: Sequence[str] = ()
    """Contenders that this run was told to leave out."""
    rates_not_asked: Sequence[float] = ()
    """Modelled pages/s that it was told to leave out."""
    rounds: dict[float, dict[str, dict[int, Round]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    given: dict[str, str] = field(default_factory=dict)
    """By contender that took part."""
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, contender: Contender, model: Model, number: int, measured: Round) -> None:
        self.rounds[model.pages_per_second][contender.name][number] = measured
        self.given[contender.name] = contender.given

    def not_measured(self, name: str, reason: str) -> None:
        """The last line of the reason says it."""
        lines = reason.replace(f"{ROOT}/", "").strip().splitlines()
        self.failed[name] = (lines or ["no reason told"])[-1].strip()


def section(found: Figures, pages: Pages) -> Section:
    """One table and one plot for each rate."""
    parts = [_load(pages), "\n".join(f"- {name}: {given}." for name, given in found.given.items()), _asked(found)]
    plots = {}
    for rate, by_name in found.rounds.items():
        name = f"b6-{rate:g}.svg"
        plots[name] = _plot(by_name)
        parts += [f"**At a modelled {rate:g} pages/s**:", _table(by_name), verdicts(rate, by_name)]
        parts += [_against_peers(by_name), _parts(by_name)]
        parts.append(f"![Requests in the engine over time, at {rate:g} pages/s](bench/{name})")
    parts += [f"{name}: not measured: {reason.rstrip('.')}." for name, reason in found.failed.items()]
    return Section("\n\n".join(part for part in parts if part), plots, ", ".join(_left_out(found)))


def _load(pages: Pages) -> str:
    return LOAD.format(pages=pages, sequences=Model().sequences, answer=PAGE_TOKENS, image=IMAGE_TOKENS)


def _asked(found: Figures) -> str:
    told = ", ".join(f"`{name}={value}`" for name, value in found.variables.items())
    left = ", ".join(_left_out(found))
    parts = [f"Set for this run: {told}." if told else "", f"Not asked for: {left}." if left else ""]
    return " ".join(part for part in parts if part)


def _left_out(found: Figures) -> list[str]:
    return [*found.not_asked, *(f"{rate:g} pages/s" for rate in found.rates_not_asked)]


def _table(by_name: Mapping[str, Mapping[int, Round]]) -> str:
    floor = by_name.get(FLOOR, {})
    return table(HEAD, [(name, len(rounds), *_cells(rounds, floor)) for name, rounds in by_name.items()])


def _cells(rounds: Mapping[int, Round], floor: Mapping[int, Round]) -> list[str]:
    def spread(value: Callable[[Round], float], spec: str) -> str:
        return format(Spread(tuple(value(measured) for measured in rounds.values())), spec)

    compared, started = ratios(rounds, floor, speed), ratios(rounds, floor, speed, once_started)
    return [
        spread(lambda measured: measured.pages_per_second, ".1f"),
        format(compared, ".2f") if compared else "",
        format(started, ".2f") if started else "",
        spread(lambda measured: measured.idle, ".0%"),
        spread(lambda measured: measured.idle_with_backlog, ".0%"),
        str(max(measured.most for measured in rounds.values())),
        spread(lambda measured: measured.cpu, ".3f"),
        spread(lambda measured: measured.server_cpu, ".4f"),
        spread(lambda measured: measured.asked, ".2f"),
        spread(lambda measured: measured.first, ".1f"),
    ]


def speed(measured: Round) -> float:
    return measured.pages_per_second


def once_started(measured: Round) -> float:
    """Pages/s from its first request on."""
    seconds = measured.took.ended - measured.took.began
    return measured.pages_per_second * seconds / (seconds - measured.asked)


def cpu(measured: Round) -> float:
    return measured.cpu


def ratios(
    rounds: Mapping[int, Round],
    others: Mapping[int, Round],
    value: Callable[[Round], float],
    theirs: Callable[[Round], float] | None = None,
) -> Spread | None:
    """The value of each round ÷ that of the other side (or `theirs` of it) in the same round; None where they have no
    round in common."""
    both, other = sorted(rounds.keys() & others.keys()), theirs or value
    return Spread(tuple(value(rounds[number]) / other(others[number]) for number in both)) if both else None


def _against_peers(by_name: Mapping[str, Mapping[int, Round]]) -> str:
    """pagemill and each peer, in the rounds that both have."""
    ours = [name for name in by_name if is_ours(name)]
    peers = [name for name in by_name if name != FLOOR and not is_ours(name)]
    lines = [_against(name, by_name[name], peer, by_name[peer]) for peer in peers for name in ours]
    return "\n".join(line for line in lines if line)


def _against(name: str, ours: Mapping[int, Round], peer: str, theirs: Mapping[int, Round]) -> str:
    faster, dearer = ratios(ours, theirs, speed), ratios(theirs, ours, cpu)
    if faster is None or dearer is None:
        return ""
    count = len(faster.values)
    rounds = "the one round" if count == 1 else f"the {count} rounds"
    return (
        f"- {name} against {peer}, in {rounds} of both: {faster:.1f} times the pages/s; {peer} takes {dearer:.1f}"
        " times the CPU a page."
    )


def _parts(by_name: Mapping[str, Mapping[int, Round]]) -> str:
    every = [measured for rounds in by_name.values() for measured in rounds.values()]
    parts = "; ".join(f"{name} {1000 * seconds:.1f}" for name, seconds in by_part(every).items())
    return f"CPU of the service by part in its last round, ms a page: {parts}." if parts else ""


def by_part(rounds: Iterable[Round]) -> dict[str, float]:
    """Seconds a page, of the last round that told them."""
    told = [measured for measured in rounds if measured.took.cpu_by_part]
    if not told:
        return {}
    last = told[-1]
    return {name: seconds * last.cpu / last.took.cpu for name, seconds in (last.took.cpu_by_part or {}).items()}


def _plot(by_name: Mapping[str, Mapping[int, Round]]) -> str:
    firsts = {name: next(iter(rounds.values())) for name, rounds in by_name.items()}
    return svg([Panel(f"{name}: requests in the engine", first.flight) for name, first in firsts.items()], height=60)
