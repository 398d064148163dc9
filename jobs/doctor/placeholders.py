"""Which secrets are none: the placeholders that examples and templates carry."""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(r"change[-_ ]?me|<.*>|\$\{.*\}|your[-_ ].*|placeholder|todo|xxx+", re.IGNORECASE)


def is_placeholder(text: str) -> bool:
    """`change-me…`, `CHANGEME`, `<…>`, `${…}` that nobody filled in, and their like."""
    return _PLACEHOLDER.match(text.strip()) is not None
