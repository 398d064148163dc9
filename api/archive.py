"""Zip archives made while they are sent: one chunk of one file in memory, however large the whole is."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)
"""Where the time of zip begins."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive. `chunks` is read when its turn comes; `packed`: is compressed already (JPEG)."""

    name: str
    chunks: Iterable[bytes]
    modified: datetime | None = None
    packed: bool = False


class _Outlet(io.RawIOBase):
    """What zipfile writes to: cannot seek, so sizes come behind each file's data."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(memoryview(data))  # type: ignore[arg-type]
        self._written.append(piece)
        return len(piece)

    def drain(self) -> bytes:
        piece = b"".join(self._written)
        self._written.clear()
        return piece


def zip_stream(entries: Iterable[Entry], at_least: int = 64 * 1024) -> Iterator[bytes]:
    """The archive in pieces of `at_least` bytes. An error of an entry ends the stream before its end, which every
    reader notices: the table of contents comes last."""
    outlet = _Outlet()
    pending = bytearray()
    archive = zipfile.ZipFile(outlet, "w", allowZip64=True)
    for entry in entries:
        with archive.open(_info(entry), "w", force_zip64=True) as target:
            for chunk in entry.chunks:
                target.write(chunk)
                pending += outlet.drain()
                if len(pending) >= at_least:
                    yield bytes(pending)
                    pending.clear()
        pending += outlet.drain()
    archive.close()
    yield bytes(pending) + outlet.drain()


def _info(entry: Entry) -> zipfile.ZipInfo:
    modified = max(entry.modified or _EARLIEST, _EARLIEST)
    info = zipfile.ZipInfo(entry.name, modified.timetuple()[:6])
    info.compress_type = zipfile.ZIP_STORED if entry.packed else zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info
