"""Crops in the engine and pages that wait, over time, as a small SVG."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT, MARGIN = 640, 150, 46
INK, FLIGHT, BACKLOG = "#444", "#0a6", "#c60"
Series = Sequence[tuple[float, int]]


def svg(flight: Series, backlog: Series) -> str:
    """Two panels with one time axis: crops in the engine above, pages that wait in the database below."""
    end = max(at for at, _ in flight)
    height = 2 * (HEIGHT + MARGIN)
    panels = _panel(flight, end, 0, FLIGHT, "crops in the engine")
    panels += _panel(backlog, end, HEIGHT + MARGIN, BACKLOG, "pages that wait in the database")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + 2 * MARGIN}" height="{height}"'
        f' font-family="sans-serif" font-size="12" fill="{INK}">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{panels}</svg>\n'
    )


def _panel(series: Series, end: float, top: int, colour: str, title: str) -> str:
    most = max(value for _, value in series) or 1
    bottom = top + MARGIN / 2 + HEIGHT
    points = " ".join(
        f"{MARGIN + WIDTH * at / end:.1f},{bottom - HEIGHT * value / most:.1f}" for at, value in _thinned(series)
    )
    return (
        f'<path d="M{MARGIN} {bottom - HEIGHT}V{bottom}H{MARGIN + WIDTH}" fill="none" stroke="{INK}"/>\n'
        f'<text x="{MARGIN}" y="{top + 16}">{title}</text>\n'
        f'<text x="{MARGIN - 6}" y="{bottom - HEIGHT + 10}" text-anchor="end">{most}</text>\n'
        f'<text x="{MARGIN - 6}" y="{bottom}" text-anchor="end">0</text>\n'
        f'<text x="{MARGIN + WIDTH}" y="{bottom + 14}" text-anchor="end">{end:.0f} s</text>\n'
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>\n'
    )


def _thinned(series: Series) -> Series:
    """At most two points a pixel; the lowest of each place, since what matters is whether it falls to zero."""
    step = max(1, len(series) // WIDTH)
    return [min(series[at : at + step], key=lambda point: point[1]) for at in range(0, len(series), step)]
