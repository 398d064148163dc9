"""Who a worker process is."""

from __future__ import annotations

import socket
from pathlib import Path

from pydantic import Field

from jobs.settings.group import MIB, Group


class WorkerSettings(Group):
    """Who a worker process is and what it consumes."""

    host: str = Field(
        default_factory=socket.gethostname, description="Name of this machine; the host's own name where absent."
    )
    slot: str | None = Field(default=None, description="Name of the device slot; the first free one where absent.")
    queues: str = Field(
        default="recognize,split,assemble,deliver", description="What it does: recognize, split, assemble, deliver."
    )
    scratch: Path | None = Field(default=None, description="Where sources lie while being read.")
    scratch_bytes: int = Field(
        default=4096 * MIB, ge=MIB, description="Bytes of copies kept there beyond those in use."
    )
    max_errors: int = Field(default=3, ge=1, description="Retryable errors after which a page or document fails.")
    max_crashes: int = Field(
        default=3, ge=1, description="Workers or engines that die while they read nothing but a page end it."
    )
    stall_timeout: float = Field(
        default=120.0, gt=0, description="Seconds after which a worker whose engine's loop stands still ends."
    )
    worker_memory: int | None = Field(
        default=None,
        ge=64 * MIB,
        description="Resident bytes beyond which a worker drains and ends. Absent: none.",
    )
