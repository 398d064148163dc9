"""What the rounds found, as the section shows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.environments import REQUIREMENTS
from tests.bench.modelled import IMAGE_TOKENS, PAGE_TOKENS, Model
from tests.bench.peers.contender import IN_FLIGHT, Round
from tests.bench.peers.pages import Pages
from tests.bench.plot import Panel, svg
from tests.bench.report import Section, Spread, table

FLOOR = "bare client"
GOALS = {20.0: 16, 50.0: 35}
"""Pages/s of pagemill by the rate of the model."""
GOAL_CPU = 0.035
"""Seconds a page of pagemill, everything included."""
PINNED = {"olmocr": "olmocr", "docling": "docling-slim", "mineru": "mineru", "openai": "aiohttp"}
HEAD = (
    "",
    "pages/s",
    "÷ bare client",
    "engine idle",
    "idle with backlog",
    "CPU-s a page",
    "of the server",
    "first text, s",
)

LOAD = """
{pages.count} pages ({pages.origin}) through an OpenAI-compatible server around the modelled engine: 64 sequences,
answers of {answer} tokens in the mean, at most {image} tokens of image. Everybody, the server included, shares this
machine's cores; nobody caches. At most {most} requests in flight, pages at 144 dpi (olmOCR: 1,288 pixels of the
longer side; MinerU: its own 200 dpi, a request for a page's layout and one for each block). The clock runs from the
start of a command to its end; that of the service, which is up, from the submit by HTTP until every document's
Markdown was fetched. CPU is that of all that a command starts; of the service that of API, worker, render processes,
PostgreSQL and Valkey. `engine idle` is the part of its work that the engine was not asked for, from begin to end;
`with backlog` from the first request to the last. `first text` is a page's where pages can be read one by one (bare
client, service), else a document's. Bare client: asyncio, aiohttp {aiohttp}, two render processes; no queue, no
retries. Peers ({peers}), with the options of `tests/bench/peers/others.py`, one round each.
""".strip()


@dataclass(slots=True)
class Figures:
    """Rounds by rate and contender, in the order in which they came."""

    rounds: dict[float, dict[str, list[Round]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, model: Model, measured: Round) -> None:
        self.rounds[model.pages_per_second][name].append(measured)

    def leave_out(self, name: str, reason: str) -> None:
        self.left_out[name] = (reason.strip().splitlines() or ["no reason told"])[-1]


def section(found: Figures, pages: Pages) -> Section:
    """One table and one plot for each rate."""
    parts = [_load(pages)]
    plots = {}
    for rate, by_name in found.rounds.items():
        name = f"b6-{rate:g}.svg"
        plots[name] = _plot(by_name)
        parts += [f"**At a modelled {rate:g} pages/s**{_goal(rate)}:", _table(by_name), _ratios(by_name)]
        parts.append(f"![Requests in the engine over time, at {rate:g} pages/s](bench/{name})")
    parts += [f"Left out: {name}: {reason}." for name, reason in found.left_out.items()]
    return Section("\n\n".join(part for part in parts if part), plots)


def _load(pages: Pages) -> str:
    return LOAD.format(
        pages=pages,
        answer=PAGE_TOKENS,
        image=IMAGE_TOKENS,
        most=IN_FLIGHT,
        aiohttp=pinned("openai"),
        peers=", ".join(f"{name} {pinned(name)}" for name in ("olmocr", "docling", "mineru")),
    )


def pinned(name: str) -> str:
    """The version of what that environment is for."""
    lines = (Path(REQUIREMENTS) / f"{name}.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{PINNED[name]}=="))


def _goal(rate: float) -> str:
    goal = GOALS.get(rate)
    return (
        f" (goals of pagemill: {goal} pages/s, {GOAL_CPU} CPU-s a page, first text no later than the bare client)"
        if goal
        else ""
    )


def _table(by_name: dict[str, list[Round]]) -> str:
    floor = by_name.get(FLOOR)
    rows = [(name, *_cells(rounds, floor)) for name, rounds in by_name.items()]
    return table(HEAD, rows)


def _cells(rounds: list[Round], floor: list[Round] | None) -> list[str]:
    def spread(value: Callable[[Round], float], spec: str) -> str:
        return format(Spread(tuple(value(measured) for measured in rounds)), spec)

    ratio = format(ratios(rounds, floor), ".2f") if floor else ""
    return [
        spread(lambda measured: measured.pages_per_second, ".1f"),
        ratio,
        spread(lambda measured: measured.idle, ".0%"),
        spread(lambda measured: measured.idle_with_backlog, ".0%"),
        spread(lambda measured: measured.cpu, ".3f"),
        spread(lambda measured: measured.server_cpu, ".4f"),
        spread(lambda measured: measured.first, ".1f"),
    ]


def ratios(rounds: list[Round], floor: list[Round]) -> Spread:
    """Pages/s of each round ÷ those of the other side in the same round."""
    pairs = zip(rounds, floor, strict=False)
    return Spread(tuple(ours.pages_per_second / theirs.pages_per_second for ours, theirs in pairs))


def _ratios(by_name: dict[str, list[Round]]) -> str:
    """pagemill's command ÷ each peer: both start cold."""
    ours = by_name.get("pagemill run")
    if not ours:
        return ""
    speed, cpu = _median(ours, "pages_per_second"), _median(ours, "cpu")
    told = [
        f"{name}: {speed / _median(rounds, 'pages_per_second'):.1f} times as fast, {_median(rounds, 'cpu') / cpu:.1f}"
        " times less CPU a page"
        for name, rounds in by_name.items()
        if name != FLOOR and not name.startswith("pagemill")
    ]
    parts = "; ".join(f"{name} {1000 * seconds:.1f}" for name, seconds in _by_part(by_name).items())
    return (f"`pagemill run` against {'; '.join(told)}. " if told else "") + (
        f"CPU of the service by part, ms a page: {parts}." if parts else ""
    )


def _by_part(by_name: dict[str, list[Round]]) -> dict[str, float]:
    """Seconds a page, of the last round that told them."""
    rounds = [measured for rounds in by_name.values() for measured in rounds if measured.took.cpu_by_part]
    if not rounds:
        return {}
    last = rounds[-1]
    return {name: seconds * last.cpu / last.took.cpu for name, seconds in (last.took.cpu_by_part or {}).items()}


def _median(rounds: list[Round], name: str) -> float:
    return Spread(tuple(getattr(measured, name) for measured in rounds)).median


def _plot(by_name: dict[str, list[Round]]) -> str:
    panels = [Panel(f"{name}: requests in the engine", rounds[0].flight) for name, rounds in by_name.items()]
    return svg(panels, height=60)
