"""EngineCore must not outlive who started it: a killed worker's would hold the card's memory for ever.

vLLM loads the entry points of `vllm.general_plugins` first thing in every process of its own; ours is
`die_with_parent`. So does a `vllm serve` in an environment where pagemill is installed: an EngineCore without its
frontend is of no use there either.
"""

from __future__ import annotations

import multiprocessing

from workers.render.confine import die_with


def die_with_parent() -> None:
    """In a process that multiprocessing started, ask the kernel to end it with its parent; else nothing."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        die_with(parent.pid)
