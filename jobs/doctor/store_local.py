"""The object store that is a directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jobs.blobs import folder_of
from jobs.blobs.local_probing import try_folder
from jobs.doctor.disk import disk_of, room
from jobs.doctor.findings import Finding, NotChecked, error, ok, warning
from jobs.doctor.scene import Scene
from jobs.errors import InvalidRequest
from jobs.settings import BlobSettings


def store_local(scene: Scene) -> Iterator[Finding]:
    try:
        root = folder_of(scene.of(BlobSettings).store_url).absolute()
    except InvalidRequest as failure:
        raise NotChecked(failure.detail) from None
    if not root.is_dir():
        yield warning(
            "store-reachable",
            f"{root} is not there; it is made when a part is started first",
            where="PAGEMILL_STORE_URL",
            do=f"Mount its disk where one is to be there; else: mkdir -m 700 -p {root}",
        )
        raise NotChecked("the folder is not there")
    yield ok("store-reachable", f"{root} is there")
    disk = disk_of(root)
    if disk.read_only:
        yield error("store-write", f"the file system of {root} is read-only", where=str(root))
    else:
        yield _tried(root)
    yield room("store-space", root, disk)


def _tried(root: Path) -> Finding:
    try:
        try_folder(root)
    except OSError as failure:
        return error("store-write", f"{failure.strerror or failure}", where=str(root))
    return ok("store-write", "files can be made, synced, renamed, read and removed")
