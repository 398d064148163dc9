"""`python -m tests.bench.gpu_layout`: the layout model of full size with random weights on a device, by batches.

Goes through pagemill's own `LayoutModel.detect`, so that what is measured is what a worker does: uint8 pages to the
device, the model in float32, thresholds, reading order and masks there, detections back. What random weights find is
nonsense, and more of it than any page has (all 300 queries, each with its mask).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from jobs.settings import EngineSettings
from tests.bench.gpu_meter import GpuMeter, describe
from tests.vllm.checkpoints import write_layout, write_layout_of
from workers.engines.paddleocr_vl.layout_model import LayoutModel
from workers.engines.paddleocr_vl.versions import LAYOUT_SIZE, VERSIONS

ROUNDS_AT_LEAST = 2


def main() -> int:
    """Prints a line of JSON for each batch, and appends it to `--out`."""
    asked = _arguments()
    version = VERSIONS[asked.version]
    common: dict[str, Any] = describe() | {"layout": version.layout}
    with tempfile.TemporaryDirectory() as folder:
        if asked.small:
            write_layout(Path(folder), version.layout)
        else:
            common["parameters"] = write_layout_of(Path(folder), version.layout, {})
        model = LayoutModel(EngineSettings(device=asked.device, vl_layout_model=folder), version)
        begun = time.perf_counter()
        model.start()
        common["start_s"] = round(time.perf_counter() - begun, 1)
    for size in asked.batches:
        line = json.dumps(common | _measured(model, size, asked))
        if asked.out is not None:
            with asked.out.open("a") as file:
                file.write(line + "\n")
        print(line, flush=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cpu, or anything else for the first GPU")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each batch")
    parser.add_argument("--version", default="1.6", choices=sorted(VERSIONS))
    parser.add_argument("--small", action="store_true", help="the tests' model: to try this script itself")
    return parser.parse_args()


def _measured(model: LayoutModel, size: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Pages of noise, a batch at a time, one after the other."""
    import torch

    on_card = asked.device != "cpu"
    pages = [np.random.default_rng(n).integers(0, 256, (*LAYOUT_SIZE, 3), np.uint8) for n in range(size)]
    found = model.detect(pages)  # first of its shape: kernels are chosen
    if on_card:
        torch.cuda.reset_peak_memory_stats()
    rounds = 0
    with GpuMeter() as gpu:
        begun = time.perf_counter()
        while rounds < ROUNDS_AT_LEAST or time.perf_counter() - begun < asked.seconds:
            found = model.detect(pages)  # ends with copies to the host, so the clock needs no synchronisation
            rounds += 1
        took = time.perf_counter() - begun
    return {
        "batch": size, "pages_per_s": round(rounds * size / took, 1), "ms_a_batch": round(1000 * took / rounds, 1),
        "detections_a_page": sum(len(page.scores) for page in found) / size,
        "peak_mib": round(torch.cuda.max_memory_allocated() / 2**20) if on_card else None,
    } | gpu.figures()  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
