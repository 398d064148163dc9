"""A small disk that can really be full: a tmpfs, where mounting one is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

SIZE = 512
"""MiB."""
_PIECE = bytes(1 << 20)


class Disk:
    """Mounted at `path` on entering; `small` says whether it is, and not just a folder.

    It lies where everybody may look: PostgreSQL runs as somebody else where we are root.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="pagemill-disk-"))
        self.small = False

    def __enter__(self) -> Self:
        self.path.chmod(0o755)
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m,mode=755", "tmpfs", str(self.path)]
        self.small = os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
        return self

    def __exit__(self, *_: object) -> None:
        if self.small:
            subprocess.run(["umount", "-l", str(self.path)], check=True)
        shutil.rmtree(self.path)

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
