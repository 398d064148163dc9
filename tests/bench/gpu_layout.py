"""The layout model on a device: pages/s by batch size, with random weights of the full size.

    python -m tests.bench.gpu_layout [--device cuda] [--seconds 2] [--pages 64] [--version 1.6]

Runs `workers.engines.paddleocr_vl.layout_model.LayoutModel` itself, so that what is measured is what a worker does:
uint8 pages to the device, the model in float32, thresholds, reading order and masks there, detections back. Weights are
made on the spot; what they find is nonsense, and more of it than any page has (all 300 queries, each with its mask).
Needs torch, transformers, numpy.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from jobs.settings import EngineSettings
from tests.vllm.checkpoints import write_layout, write_layout_of
from workers.engines.paddleocr_vl.layout_model import LayoutModel
from workers.engines.paddleocr_vl.versions import LAYOUT_SIZE, VERSIONS

BATCHES = (1, 2, 4, 8, 16, 32)
ROUNDS_AT_LEAST = 2


def main() -> None:
    """Prints a table."""
    import torch

    asked = _arguments()
    version = VERSIONS[asked.version]
    if asked.device != "cpu":
        print(
            f"{torch.cuda.get_device_name()}, torch {torch.__version__}, TF32 {torch.backends.cuda.matmul.allow_tf32}"
        )
    with tempfile.TemporaryDirectory() as folder:
        if asked.small:
            write_layout(Path(folder), version.layout)
        else:
            parameters = write_layout_of(Path(folder), version.layout, {})
            print(f"{version.layout}: {parameters / 1e6:.1f} M parameters")
        model = LayoutModel(EngineSettings(device=asked.device, vl_layout_model=folder), version)
        begun = time.perf_counter()
        model.start()
        print(f"loaded and run once in {time.perf_counter() - begun:.1f} s")
    print("batch   pages/s   ms a batch   detections a page   peak MiB on the device")
    for size in BATCHES:
        print(_measured(model, size, asked.seconds, asked.device), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda", help="cpu, or anything else for the first GPU")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each batch size")
    parser.add_argument("--version", default="1.6", choices=sorted(VERSIONS))
    parser.add_argument("--small", action="store_true", help="the tests' model: to try this script itself")
    return parser.parse_args()


def _measured(model: LayoutModel, size: int, seconds: float, device: str) -> str:
    import torch

    pages = [np.random.default_rng(n).integers(0, 256, (*LAYOUT_SIZE, 3), np.uint8) for n in range(size)]
    found = model.detect(pages)  # first of its shape: kernels are chosen
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    rounds, begun = 0, time.perf_counter()
    while rounds < ROUNDS_AT_LEAST or time.perf_counter() - begun < seconds:
        found = model.detect(pages)  # ends with copies to the host, so the clock needs no synchronisation
        rounds += 1
    took = time.perf_counter() - begun
    peak = torch.cuda.max_memory_allocated() / 2**20 if device != "cpu" else float("nan")
    kept = sum(len(page.scores) for page in found) / size
    return f"{size:5} {rounds * size / took:9.1f} {1000 * took / rounds:12.1f} {kept:19.1f} {peak:24.0f}"


if __name__ == "__main__":
    main()
