"""A small disk that can really be full: a tmpfs, where mounting one is allowed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Self

SIZE = 512
"""MiB."""
_PIECE = bytes(1 << 20)


class Disk:
    """Mounted at `path` on entering; `small` says whether it is, and not just a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.small = False

    def __enter__(self) -> Self:
        self.path.mkdir(mode=0o755, parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m,mode=755", "tmpfs", str(self.path)]
        self.small = subprocess.run(command, capture_output=True).returncode == 0
        return self

    def __exit__(self, *_: object) -> None:
        if self.small:
            subprocess.run(["umount", "-l", str(self.path)], check=True)

    def fill(self) -> None:
        """Until not a byte is left."""
        with (self.path / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(_PIECE):
                    pass
            except OSError:
                return

    def clear(self) -> None:
        (self.path / "filler").unlink(missing_ok=True)
