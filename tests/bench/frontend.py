"""What one crop costs the process that asks, resident and over HTTP, by its size.

Resident: AsyncLLM in this process with the full architecture's processor and random weights; CPU time of this process
alone, EngineCore has one of its own. Over HTTP: pagemill's client against a server that answers at once, in a process
of its own; the image processing is the servers' then. Packing happens in the render processes either way.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from PIL import Image

from jobs.settings import EngineSettings
from tests.openai_server import OpenAiServer
from tests.vllm.checkpoints import write_model
from tests.vllm.numbers import RESIDENT
from workers.engines.paddleocr_vl.backends.base import Ask, Backend, PackedCrop, Packing
from workers.engines.paddleocr_vl.backends.openai import OpenAiBackend
from workers.engines.paddleocr_vl.backends.packing import pack
from workers.engines.paddleocr_vl.backends.vllm import VllmBackend
from workers.engines.paddleocr_vl.resize import DEFAULT_BOUNDS

SIZES = {"a line": (1400, 84), "a paragraph": (588, 196), "half a page": (1008, 812), "a page": (840, 1176)}
PACKINGS: tuple[Packing, ...] = ("rgb", "jpeg", "png")
CROPS = 24
AT_ONCE = 8


def run() -> str:
    """A table."""
    with tempfile.TemporaryDirectory() as folder:
        limits = RESIDENT | {"vllm_max_model_len": 2048}
        resident = VllmBackend(EngineSettings(vllm_model=str(write_model(Path(folder))), **limits))  # type: ignore[arg-type]
        return asyncio.run(_table(resident))


async def _table(resident: VllmBackend) -> str:
    context = multiprocessing.get_context("spawn")
    parent, child = context.Pipe()
    server = context.Process(target=_serve, args=(child,))
    server.start()
    child.close()
    client = OpenAiBackend(EngineSettings(vl_backend="openai", openai_urls=parent.recv()))
    for backend in (resident, client):
        backend.start()
        await backend.warm_up()
    lines = ["crop               pixels  tokens  resident ms  openai ms   packing: RGB   JPEG    PNG"]
    for name, (width, height) in SIZES.items():
        image = _picture(width, height)
        (rgb, cost_rgb), (jpeg, cost_jpeg), (_, cost_png) = (_packed(image, kind) for kind in PACKINGS)
        costs = await _cost(resident, rgb), await _cost(client, jpeg)
        lines.append(
            f"{name:12} {width:5} x {height:4} {width * height // 784:7} {costs[0]:12.2f} {costs[1]:10.2f}"
            f" {cost_rgb:14.2f} {cost_jpeg:6.2f} {cost_png:6.2f}"
        )
    await client._client.aclose()
    parent.close()
    server.join()
    await asyncio.to_thread(resident.close)  # it waits for this loop
    return "\n".join(lines)


def _picture(width: int, height: int) -> Image.Image:
    """As hard to compress as a scan with its grain."""
    grain = np.random.default_rng(1).normal(230, 8, (height, width, 1)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.repeat(grain, 3, axis=2))


def _packed(image: Image.Image, packing: Packing) -> tuple[PackedCrop, float]:
    """The crop, and milliseconds."""
    before = time.process_time()
    for _ in range(CROPS):
        crop = pack(image, packing)
    return crop, 1000 * (time.process_time() - before) / CROPS


async def _cost(backend: Backend, crop: PackedCrop) -> float:
    """CPU milliseconds of this process for one crop."""
    ask = Ask("ocr", DEFAULT_BOUNDS.minimum, DEFAULT_BOUNDS.maximum, max_tokens=1)
    left = iter(range(CROPS))

    async def take() -> None:
        for _ in left:
            await backend.read(crop, ask)

    await backend.read(crop, ask)
    before = time.process_time()
    await asyncio.gather(*[take() for _ in range(AT_ONCE)])
    return 1000 * (time.process_time() - before) / CROPS


def _serve(pipe: Connection) -> None:
    with OpenAiServer() as server:
        pipe.send(server.url)
        try:
            pipe.recv()
        except EOFError:
            return
