"""Disks: what kind of file system a folder lies on, and how much room there is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from jobs.doctor.findings import Finding, error, ok, warning

LITTLE = 64 * 1024 * 1024
"""Bytes below which a local store takes nothing any more (jobs/blobs/local.py)."""
SOON = 2 * 1024 * 1024 * 1024
"""Bytes below which a disk will be full soon: about one file of the largest size that is accepted."""
FEW_INODES = 10_000


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system under a folder."""

    kind: str
    read_only: bool
    free: int
    """Bytes for this user."""
    size: int
    inodes: int | None
    """Free ones; None where the file system does not count them."""


def disk_of(folder: Path) -> Disk:
    """Of a folder, or of the next above it that exists. Raises OSError."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    real = str(folder.resolve())
    found = os.statvfs(real)
    # `all`: tmpfs and overlays too. Of those mounted on one another the last one counts.
    mounts = [part for part in psutil.disk_partitions(all=True) if _under(real, part.mountpoint)]
    mount = max(enumerate(mounts), key=lambda each: (len(each[1].mountpoint), each[0]), default=(0, None))[1]
    return Disk(
        kind="" if mount is None else mount.fstype,
        read_only=bool(found.f_flag & os.ST_RDONLY),
        free=found.f_bavail * found.f_frsize,
        size=found.f_blocks * found.f_frsize,
        inodes=found.f_favail if found.f_files else None,
    )


def _under(path: str, mountpoint: str) -> bool:
    return path == mountpoint or path.startswith(mountpoint.rstrip("/") + "/")


def room(id_: str, folder: Path, disk: Disk, wanted: int = SOON) -> Finding:
    """Whether there is room. `wanted`: bytes below which there will be none soon; of small disks a twentieth."""
    where, text = str(folder), f"{size(disk.free)} of {size(disk.size)} are free on {disk.kind or 'its disk'}"
    if disk.free < min(LITTLE, disk.size // 20):
        return error(id_, text, where=where, limit=LITTLE, actual=disk.free)
    if disk.inodes is not None and disk.inodes < FEW_INODES:
        return warning(id_, f"{disk.inodes} inodes are free", where=where, limit=FEW_INODES, actual=disk.inodes)
    if disk.free < wanted:
        return warning(id_, text, where=where, limit=wanted, actual=disk.free)
    return ok(id_, text, where=where)


def size(count: int) -> str:
    """`12.3 GiB`."""
    value, units = float(count), iter(("bytes", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while value >= 1024 and unit != "TiB":
        value, unit = value / 1024, next(units)
    return f"{value:.1f} {unit}" if unit != "bytes" else f"{count} bytes"
