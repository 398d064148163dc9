"""EngineCore must not outlive its worker: a killed worker's would hold the card's memory for ever.

vLLM loads the entry points of `vllm.general_plugins` first thing in every process of its own; ours is
`die_with_worker`. Where vLLM serves without pagemill, it does nothing.
"""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

from workers.render.confine import die_with

_WORKER = Path("workers") / "__main__.py"


def die_with_worker() -> None:
    """In a process that descends from `python -m workers`, ask the kernel to end it with its parent."""
    parent = multiprocessing.parent_process()
    # multiprocessing hands its parent's sys.argv on to what it spawns.
    if parent is not None and parent.pid is not None and Path(*Path(sys.argv[0]).parts[-2:]) == _WORKER:
        die_with(parent.pid)
