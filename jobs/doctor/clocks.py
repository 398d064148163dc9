"""Clocks: of this host, and of those it talks to."""

from __future__ import annotations

from jobs.doctor.findings import Finding, ok, warning

SKEW = 5.0
"""Seconds. The protocol has the database's clock alone; logs, links and uploads' days have this host's."""


def clock(id_: str, whose: str, skew: float, limit: float = SKEW) -> Finding:
    """`skew`: seconds by which the other clock is before ours."""
    text = f"{whose} clock and this host's differ by {abs(skew):.1f} s"
    return warning(id_, text, limit=limit, actual=round(skew, 1)) if abs(skew) > limit else ok(id_, text)
