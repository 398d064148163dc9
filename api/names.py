"""File names that users gave: cleaned for display, made safe for archives and headers. Never used in object keys."""

from __future__ import annotations

from urllib.parse import quote

from jobs.names import MAX_NAME, display_name

__all__ = ["MAX_NAME", "UniqueNames", "archive_name", "content_disposition", "display_name"]

# What Windows forbids in names, beside the separators.
_FORBIDDEN = str.maketrans(dict.fromkeys('<>:"|?*', "_"))
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{device}{n}" for device in ("com", "lpt") for n in range(1, 10))})


def archive_name(name: str) -> str:
    """A displayed name as a path inside an archive that unpacks on every system, nowhere but below its folder."""
    parts = [_archive_part(part) for part in display_name(name, "document").split("/")]
    return "/".join(parts)


def _archive_part(part: str) -> str:
    safe = part.translate(_FORBIDDEN).rstrip(". ") or "_"
    while len(safe.encode()) > 200:  # room for a counter and ".json" below 255 bytes
        safe = safe[1:]
    return f"_{safe}" if safe.partition(".")[0].lower() in _DEVICES else safe


class UniqueNames:
    """Gives each name once: `x.pdf`, then `x-2.pdf`. Case does not make a difference, as on Windows and macOS."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def take(self, name: str) -> str:
        key = name.casefold()
        count = self._next.get(key, 1)
        chosen = name
        while chosen.casefold() in self._taken:
            count += 1
            chosen = _numbered(name, count)
        self._next[key] = count
        self._taken.add(chosen.casefold())
        return chosen


def _numbered(name: str, count: int) -> str:
    folder, slash, last = name.rpartition("/")
    stem, dot, suffix = last.rpartition(".")
    numbered = f"{stem}-{count}.{suffix}" if dot and stem else f"{last}-{count}"
    return f"{folder}{slash}{numbered}"


def content_disposition(kind: str, filename: str) -> str:
    """`Content-Disposition` by RFC 6266: an ASCII name for the old, the true one for the rest (RFC 8187).

    `kind`: "inline" or "attachment". Nothing of the name can end the header or the quoted string.
    """
    last = display_name(filename, "document").rpartition("/")[2]
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in last)
    header = f'{kind}; filename="{plain}"'
    return header if plain == last else f"{header}; filename*=UTF-8''{quote(last, safe='')}"
