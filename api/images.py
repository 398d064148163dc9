"""Images of pages, made on demand by a process that can be killed (`python -m workers.render`)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
from pydantic import ValidationError

from api.problems import StoredProblem
from jobs.blobs import BlobMissing, BlobStore
from jobs.errors import Gone, PageRenderFailed, PageTimeout, Problem, QueueFull
from jobs.settings import LimitSettings

AT_ONCE = 2
PATIENCE = 20.0
"""Seconds a request waits for its turn before it is told to come again."""


@dataclass(frozen=True, slots=True)
class PageAddress:
    """Which page of which stored file, and how large."""

    source_key: str
    media_type: str
    number: int
    dpi: int
    password: str | None


class PageImages:
    """At most two at once; every process has a deadline and ends with its request. Lives on one event loop."""

    def __init__(self, blobs: BlobStore, limits: LimitSettings) -> None:
        self._blobs = blobs
        self._limits = limits
        self._turns = anyio.Semaphore(AT_ONCE)

    async def jpeg(self, page: PageAddress) -> bytes:
        """The page as JPEG. Raises StoredProblem, PageTimeout, QueueFull, Gone, StorageUnavailable."""
        await self._turn()
        try:
            with tempfile.TemporaryDirectory(prefix="pagemill-image-") as folder:
                return await self._render(page, Path(folder))
        finally:
            self._turns.release()

    async def _turn(self) -> None:
        with anyio.move_on_after(PATIENCE):
            await self._turns.acquire()
            return
        raise QueueFull("too many page images are being made", retry_after=5)

    async def _render(self, page: PageAddress, folder: Path) -> bytes:
        source = await anyio.to_thread.run_sync(self._fetch, page.source_key, folder / "source")
        target = folder / "page.jpg"
        command = [
            sys.executable, "-m", "workers.render",
            "--path", str(source), "--media-type", page.media_type, "--page", str(page.number),
            "--dpi", str(page.dpi), "--out", str(target),
        ]  # fmt: skip
        code, said = await self._run(command, page.password)
        if code != 0:
            raise StoredProblem(_problem(said, code))
        return await anyio.to_thread.run_sync(target.read_bytes)

    def _fetch(self, key: str, path: Path) -> Path:
        try:
            if (local := self._blobs.local_path(key)) is not None:
                return local
            self._blobs.download(key, path)
        except BlobMissing:
            raise Gone("the source of this document was deleted") from None
        return path

    async def _run(self, command: list[str], password: str | None) -> tuple[int, bytes]:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            # The process has the deadline itself; this is for one that cannot even be alarmed.
            with anyio.fail_after(self._limits.page_timeout + 5):
                _, said = await process.communicate((password or "").encode())
        except TimeoutError:
            limit = self._limits.page_timeout
            raise PageTimeout(f"the page took longer than {limit:g} s", limit=limit) from None
        finally:
            await _end(process)
        return process.returncode or 0, said


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with anyio.CancelScope(shield=True):
        await process.wait()


def _problem(said: bytes, code: int) -> Problem:
    """The problem on the last line of what the process said; a process that died says nothing."""
    if code == -signal.SIGALRM:
        return PageTimeout("the page took longer than it may").problem()
    lines = said.strip().splitlines()
    try:
        return Problem.model_validate_json(lines[-1] if lines else b"")
    except ValidationError:
        return PageRenderFailed(f"the render process ended with {code}").problem()
