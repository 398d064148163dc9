"""File names that users gave, cleaned for display. Never used in object keys."""

from __future__ import annotations

import unicodedata

MAX_NAME = 255
"""Characters of a displayed name; NAME_MAX of common file systems, in bytes there."""

# Cc and Cf hold control and bidirectional characters ("gpj.exe" shown as "exe.jpg"), Cs lone surrogates,
# Zl and Zp line separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def display_name(given: str, fallback: str) -> str:
    """The name as given, as a relative path that stays where it is put: no drive, no leading `/`, no `..`, no
    characters that cannot be seen. Folders are kept: `a/x.pdf` and `b/x.pdf` are two documents."""
    visible = "".join("_" if unicodedata.category(c) in _HIDDEN else c for c in given.replace("\\", "/"))
    if visible[1:2] == ":" and visible[:1].isalpha():
        visible = visible[2:]
    parts = [part.strip() for part in visible.split("/")]
    name = "/".join(part for part in parts if part not in ("", ".", ".."))
    return _shortened(name) or fallback


def _shortened(name: str) -> str:
    """At most MAX_NAME characters, the end (with the suffix) kept."""
    return name if len(name) <= MAX_NAME else name[-MAX_NAME:].lstrip("/. ")
