"""The header Prefer (RFC 7240): of its preferences we know `wait`."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_WAIT = 60
"""Seconds. Proxies commonly give up on an answer after a minute."""

# Possessive throughout: what is no Prefer fails in one pass, whatever it looks like.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # noqa: S105 - the grammar's word for it
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_VALUE = rf"(?:\s*+=\s*+(?P<value>{_TOKEN}|{_QUOTED})?+)?+"
_PARAMETERS = rf"(?:\s*+;\s*+(?:{_TOKEN}(?:\s*+=\s*+(?:{_TOKEN}|{_QUOTED})?+)?+)?+)*+"
_PREFERENCE = re.compile(rf"\s*+(?P<name>{_TOKEN}){_VALUE}{_PARAMETERS}\s*+(?:,|$)")


def preferred_wait(headers: Iterable[str]) -> int | None:
    """Seconds of the first `wait` in these Prefer headers, at most `MAX_WAIT`. None without one, and for one that is
    no whole number of seconds: preferences that make no sense are ignored (RFC 7240, 2)."""
    for name, value in _preferences(headers):
        if name == "wait":
            return min(int(value), MAX_WAIT) if value.isascii() and value.isdigit() and len(value) < 10 else None
    return None


def _preferences(headers: Iterable[str]) -> Iterable[tuple[str, str]]:
    for header in headers:
        at = 0
        while at < len(header):
            found = _PREFERENCE.match(header, at)
            if found is None:  # not the grammar: on behind the next comma
                at = header.find(",", at) + 1 or len(header)
                continue
            at = found.end()
            yield found["name"].lower(), (found["value"] or "").strip('"')
