"""What changes over time, as a small SVG: panels below each other, with one time axis. And bars."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from tests.bench.report import Spread

WIDTH, HEIGHT, MARGIN = 640, 150, 46
LETTER = 6.6
"""Pixels that a letter of a bar's name takes at most, in the mean of a name."""
INK, FLIGHT, BACKLOG = "#444", "#0a6", "#c60"
Series = Sequence[tuple[float, float]]


class Panel(NamedTuple):
    """One line over time; its axis begins at 0."""

    title: str
    series: Series
    colour: str = FLIGHT


def in_flight(flight: Series, backlog: Series) -> str:
    """Crops in the engine above, pages that wait in the database below."""
    return svg([Panel("crops in the engine", flight), Panel("pages that wait in the database", backlog, BACKLOG)])


def svg(panels: Sequence[Panel], height: int = HEIGHT) -> str:
    """`height`: pixels of a panel; times are seconds and begin at 0."""
    end = max(at for panel in panels for at, _ in panel.series)
    drawn = "".join(_panel(panel, end, number * (height + MARGIN), height) for number, panel in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + 2 * MARGIN}"'
        f' height="{len(panels) * (height + MARGIN)}" font-family="sans-serif" font-size="12" fill="{INK}">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{drawn}</svg>\n'
    )


def bars(
    title: str, values: Sequence[tuple[str, Spread]], mark: float, *, said: str = "goal", spec: str = ".1f"
) -> str:
    """A bar for each median with its name, a line over it from the least to the most of the rounds, and a dashed one
    at `mark`, of which it is `said` what it is."""
    most = max(mark, *(max(value.values) for _, value in values)) * 1.15 or 1
    label, row = round(12 + LETTER * max(len(name) for name, _ in values)), 24
    scale = (WIDTH - 10 - label) / most
    drawn = [f'<text x="8" y="18">{escape(title)}; medians, least and most of the rounds</text>']
    for number, (name, value) in enumerate(values):
        top = 30 + number * row
        end, least, last = (
            label + max(0.0, one) * scale for one in (value.median, min(value.values), max(value.values))
        )
        drawn.append(
            f'<text x="{label - 6}" y="{top + 13}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{label}" y="{top}" width="{end - label:.1f}" height="16" fill="{FLIGHT}"/>'
            f'<path d="M{least:.1f} {top + 4}v8M{least:.1f} {top + 8}H{last:.1f}M{last:.1f} {top + 4}v8"'
            f' stroke="{INK}"/>'
            f'<text x="{last + 4:.1f}" y="{top + 13}">{value.median:{spec}}</text>'
        )
    bottom, at = 30 + len(values) * row, label + mark * scale
    drawn.append(f'<path d="M{at:.1f} 26V{bottom}" stroke="{BACKLOG}" stroke-dasharray="4 3"/>')
    drawn.append(
        f'<text x="{at:.1f}" y="{bottom + 14}" text-anchor="middle" fill="{BACKLOG}">{escape(said)} {mark:g}</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + 40}" height="{bottom + 22}"'
        f' font-family="sans-serif" font-size="12" fill="{INK}">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def _panel(panel: Panel, end: float, top: int, height: int) -> str:
    title, series, colour = panel
    most = max(value for _, value in series) or 1
    bottom = top + MARGIN / 2 + height
    points = " ".join(
        f"{MARGIN + WIDTH * at / end:.1f},{bottom - height * value / most:.1f}" for at, value in _thinned(series)
    )
    return (
        f'<path d="M{MARGIN} {bottom - height}V{bottom}H{MARGIN + WIDTH}" fill="none" stroke="{INK}"/>\n'
        f'<text x="{MARGIN}" y="{top + 16}">{title}</text>\n'
        f'<text x="{MARGIN - 6}" y="{bottom - height + 10}" text-anchor="end">{most:g}</text>\n'
        f'<text x="{MARGIN - 6}" y="{bottom}" text-anchor="end">0</text>\n'
        f'<text x="{MARGIN + WIDTH}" y="{bottom + 14}" text-anchor="end">{end:.0f} s</text>\n'
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>\n'
    )


def _thinned(series: Series) -> Series:
    """At most two points a pixel; the lowest of each place, since what matters is whether it falls to zero."""
    step = max(1, len(series) // WIDTH)
    return [min(series[at : at + step], key=lambda point: point[1]) for at in range(0, len(series), step)]
