"""What pydantic finds wrong with an input, in the words of those who sent it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def complaint(found: Mapping[str, Any]) -> str:
    """One entry of `ValidationError.errors()` as a sentence without its place."""
    if found["type"] == "extra_forbidden":
        return f"there is no option {'.'.join(str(part) for part in found['loc'])[:80]!r}"
    return str(found["msg"]).removeprefix("Value error, ")
