"""`python -m tests.bench.gpu_layout`: PP-DocLayoutV3 of full size with random weights on a GPU, at several batches.

Goes through pagemill's own `LayoutModel.detect`, from 800 x 800 pixels in numpy to detections in numpy. Random weights
find nothing, so that the masks of what a page would hold (20 to 40 regions, 40 kB each before packing) are not fetched.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from jobs.settings import EngineSettings
from tests.bench.gpu_vllm import GpuMeter, describe
from workers.engines.paddleocr_vl.layout_model import LayoutModel
from workers.engines.paddleocr_vl.versions import CLASS_LABELS, LAYOUT_SIZE, VERSIONS


def write_full_size(folder: Path) -> Path:
    """33 M parameters: transformers' defaults are those of the published PP-DocLayoutV3."""
    from transformers import PPDocLayoutV3Config, PPDocLayoutV3ForObjectDetection

    PPDocLayoutV3ForObjectDetection(PPDocLayoutV3Config(num_labels=len(CLASS_LABELS))).save_pretrained(folder)
    return folder


def measure(model: LayoutModel, batch: int, seconds: float) -> dict[str, float | int | None]:
    """Pages of noise, a batch at a time, one after the other."""
    pages = list(np.random.default_rng(1).integers(0, 256, (batch, *LAYOUT_SIZE, 3), np.uint8))
    for _ in range(3):
        model.detect(pages)
    with GpuMeter() as gpu:
        began, batches = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            model.detect(pages)
            batches += 1
        took = time.perf_counter() - began
    return {
        "batch": batch, "pages_per_s": round(batches * batch / took, 1), "ms_a_batch": round(1000 * took / batches, 2),
    } | gpu.figures()  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="0", help="cpu, or a GPU's index")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 8, 32])
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        settings = EngineSettings(
            PAGEMILL_DEVICE=options.device, vl_layout_model=str(write_full_size(Path(scratch) / "layout"))
        )
        model = LayoutModel(settings, VERSIONS["1.6"])
        model.start()
        for batch in options.batches:
            line = json.dumps(describe() | measure(model, batch, options.seconds))
            with options.out.open("a") as file:
                file.write(line + "\n")
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
