"""`python -m workers`, whose resident model says 20 times a second how many crops it has inside.

For `tests.bench.resident`, which starts it with the file's path in BENCH_SAMPLES; a line is a time (Unix) and a number.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from workers.engines.paddleocr_vl.backends import BACKENDS
from workers.engines.paddleocr_vl.backends.vllm import VllmBackend

SAMPLES = "BENCH_SAMPLES"
EVERY = 0.05


class SampledBackend(VllmBackend):
    """The worker's own backend, watched from a thread beside it."""

    def start(self) -> None:
        super().start()
        threading.Thread(target=self._sample, args=(Path(os.environ[SAMPLES]),), daemon=True).start()

    def _sample(self, path: Path) -> None:
        with path.open("w") as file:
            while True:
                file.write(f"{time.time():.3f} {self._lifeline.inside}\n")
                file.flush()
                time.sleep(EVERY)


if __name__ == "__main__":
    from workers.__main__ import main

    BACKENDS["vllm"] = "tests.bench.sampled_worker:SampledBackend"
    sys.exit(main())
