"""`python -m tests.bench.gpu_vllm`: the full-size model with random weights on a GPU, fed as pagemill feeds it.

Crops of made-up pages go through pagemill's own `VllmBackend` (vLLM's AsyncLLM in this process), a set number of them
in flight at any time; answers have the length that such a crop's text would have. Random weights do the same work as
real ones; what they say means nothing, so that its end is set (`ignore_eos`, `max_tokens`) and its repetition is not
looked at. One call measures one set of engine arguments at several concurrencies and appends a line of JSON for each
to `--out`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from jobs.settings import EngineSettings
from tests.bench.gpu_meter import GpuMeter, describe
from tests.bench.vl_crops import CROPS_A_PAGE, AskedCrop, made_up_crops
from workers.engines.paddleocr_vl.backends.vllm import VllmBackend

SETTLE_AT_MOST = 60.0
"""Seconds."""


class SetLengths(VllmBackend):
    """pagemill's backend, its answers as long as asked."""

    kv_cache_bytes: int | None = None
    render_threads = 1

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self.kept: dict[Any, Any] = {}
        """What the renderer made of a crop."""

    def _alive(self) -> Any:
        return _Rendering(self.engine, self.kept) if self.render_threads else self.engine

    @property
    def engine(self) -> Any:
        """vLLM's own."""
        return super()._alive()

    def request_of(self, crop: AskedCrop) -> dict[str, Any]:
        image = Image.frombytes("RGB", (crop.crop.width, crop.crop.height), crop.crop.data)
        return {"prompt": self._prompt(crop.ask), "multi_modal_data": {"image": image}}

    def _sampling(self, ask: Any) -> Any:
        sampling = super()._sampling(ask)
        sampling.ignore_eos = True
        sampling.repetition_detection = None
        return sampling

    def _arguments(self, path: str) -> Any:
        arguments = super()._arguments(path)
        arguments.renderer_num_workers = max(1, self.render_threads)
        if self.kv_cache_bytes is not None:
            arguments.kv_cache_memory_bytes = self.kv_cache_bytes
        return arguments


class _Rendering:
    """An AsyncLLM that prepares prompts and images on its renderer's threads, as vLLM 0.32 does by itself; 0.26 does it
    on the event loop unless it gets what the renderer made. With `kept`, what was made before is taken again."""

    def __init__(self, engine: Any, kept: dict[Any, Any]) -> None:
        self._engine = engine
        self._kept = kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def generate(self, request: Any, sampling: Any, name: str) -> AsyncIterator[Any]:
        rendered = self._kept.get(_made_from(request))
        if rendered is None:
            [rendered] = await self._engine.renderer.render_cmpl_async([request])
        else:
            # A name of its own, or EngineCore would take the image for one that it has in its cache.
            rendered = rendered | {"mm_hashes": {"image": [name]}, "arrival_time": time.time()}
        async for output in self._engine.generate(rendered, sampling, name):
            yield output


def _made_from(request: Any) -> tuple[str, tuple[int, int]]:
    """Made-up crops of the same size are the same."""
    return request["prompt"], request["multi_modal_data"]["image"].size


def know_newer_errors() -> None:
    """vLLM 0.26, the last that goes with torch 2.11, has no names for two errors that the backend catches."""
    import vllm.exceptions

    for name in ("VLLMClientError", "GracefulHTTPError"):
        if not hasattr(vllm.exceptions, name):
            setattr(vllm.exceptions, name, type(name, (Exception,), {}))


def write_full_size(folder: Path, config: Path) -> Path:
    """The real model's configuration with a tokenizer of the same vocabulary and ids; no weights."""
    from tests.vllm import checkpoints

    found = json.loads((config / "config.json").read_text())
    found.pop("auto_map", None)
    found["vision_config"].pop("auto_map", None)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(found))
    checkpoints.write_companions(folder)
    return folder


def cpu_seconds() -> tuple[float, float]:
    """Of this process (vLLM's frontend, pagemill's backend and the load), and of its children (EngineCore)."""
    own = psutil.Process()
    children = 0.0
    for child in own.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        children += times.user + times.system
    times = own.cpu_times()
    return times.user + times.system, children


@dataclass
class Load:
    """Crops in flight, and what came back."""

    backend: SetLengths
    crops: Iterator[AskedCrop]
    done: list[tuple[float, AskedCrop, float]] = field(default_factory=list)
    """When an answer came, to what, and how long it took."""

    async def run(self, concurrency: int, settle: float, seconds: float) -> dict[str, Any]:
        """Figures of the middle `seconds`, after `settle` seconds of the same load and more until as many answers came
        as there are crops in flight, twice: the first round ends with the short answers, which says too much."""
        already = len(self.done)
        tasks = [asyncio.create_task(self._ask_on()) for _ in range(concurrency)]
        try:
            await self._wait(tasks, settle)
            began = time.perf_counter()
            while len(self.done) - already < 2 * concurrency and time.perf_counter() - began < SETTLE_AT_MOST:
                await self._wait(tasks, 0.2)
            settled = len(self.done) - already >= 2 * concurrency
            before, began = cpu_seconds(), time.perf_counter()
            with GpuMeter() as gpu:
                await self._wait(tasks, seconds)
            ended, after = time.perf_counter(), cpu_seconds()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        found = [entry for entry in self.done if began <= entry[0] <= ended]
        return self._figures(found, ended - began, after, before) | {"settled": settled} | gpu.figures()

    async def _wait(self, tasks: list[asyncio.Task[None]], seconds: float) -> None:
        ended, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()

    async def _ask_on(self) -> None:
        while True:
            crop = next(self.crops)
            began = time.perf_counter()
            answer = await self.backend.read(crop.crop, crop.ask)
            if answer.tokens != crop.ask.max_tokens:
                raise AssertionError(f"{answer.tokens} tokens came, {crop.ask.max_tokens} were asked for")
            now = time.perf_counter()
            self.done.append((now, crop, now - began))

    def _figures(self, found: list[Any], seconds: float, after: Any, before: Any) -> dict[str, Any]:
        pages = len(found) / CROPS_A_PAGE
        output = sum(crop.ask.max_tokens for _, crop, _ in found)
        image = sum(crop.image_tokens for _, crop, _ in found)
        took = sorted(entry[2] for entry in found) or [float("nan")]
        return {
            "seconds": seconds, "crops": len(found),
            "pages_per_s": pages / seconds, "crops_per_s": len(found) / seconds,
            "output_tokens_per_s": output / seconds, "image_tokens_per_s": image / seconds,
            "output_tokens_a_crop": output / max(1, len(found)), "image_tokens_a_crop": image / max(1, len(found)),
            "frontend_cpu_ms_a_page": 1000 * (after[0] - before[0]) / max(pages, 1e-9),
            "frontend_cores": (after[0] - before[0]) / seconds,
            "core_cores": (after[1] - before[1]) / seconds,
            "crop_s_median": took[len(took) // 2], "crop_s_p99": took[int(len(took) * 0.99)],
        }  # fmt: skip


def settings_of(options: argparse.Namespace, model: Path) -> EngineSettings:
    """pagemill's settings, as an operator would set them."""
    more: dict[str, Any] = {"vllm_gpu_memory_utilization": options.memory} if options.memory else {}
    return EngineSettings(
        vllm_model=str(model),
        vllm_load_format=options.load_format,
        vllm_max_num_seqs=options.seqs,
        vllm_max_num_batched_tokens=options.tokens,
        vllm_enforce_eager=options.eager,
        vllm_dtype=options.dtype,
        vl_concurrency=max(options.concurrency),
        vl_request_timeout=600.0,
        **more,
    )


async def measure(options: argparse.Namespace, backend: SetLengths, common: dict[str, Any]) -> None:
    began = time.perf_counter()
    await backend.warm_up()
    common["first_crop_s"] = round(time.perf_counter() - began, 1)
    made = made_up_crops(options.pages, options.seed)
    common["render_alone_ms_a_page"] = round(await render_alone(backend, made, options.rendered_ahead), 1)
    await meet(options)
    crops = itertools.cycle(made)
    for concurrency in options.concurrency:
        figures = await Load(backend, crops).run(concurrency, options.settle, options.seconds)
        line = (
            common
            | {"concurrency": concurrency}
            | {key: round(value, 3) if isinstance(value, float) else value for key, value in figures.items()}
        )
        with options.out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


async def render_alone(backend: SetLengths, crops: list[AskedCrop], keep: bool) -> float:
    """Milliseconds in which vLLM's frontend makes tokens and patches of a page's crops, one after the other, while the
    engine does nothing: one renderer thread makes no more pages than that allows."""
    renderer = backend.engine.renderer
    for crop in crops[:CROPS_A_PAGE]:
        await renderer.render_cmpl_async([backend.request_of(crop)])
    took = 0.0
    for crop in crops:
        request = backend.request_of(crop)
        began = time.perf_counter()
        [rendered] = await renderer.render_cmpl_async([request])
        took += time.perf_counter() - began
        if keep:
            backend.kept[_made_from(request)] = rendered
    return 1000 * took / (len(crops) / CROPS_A_PAGE)


async def meet(options: argparse.Namespace) -> None:
    """Waits until all processes that share the card are ready."""
    if options.together is None:
        return
    count, folder = int(options.together[0]), Path(options.together[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < count:
        await asyncio.sleep(0.05)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=Path, help="folder with the real config.json: random weights of that size")
    source.add_argument("--model", type=Path, help="a whole checkpoint")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--load-format", default="dummy")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--seqs", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--memory", type=float)
    parser.add_argument("--kv-cache-gib", type=float, help="instead of measuring what is free: for shared cards")
    parser.add_argument("--render-threads", type=int, default=1, help="0: as AsyncLLM.generate does it")
    parser.add_argument("--rendered-ahead", action="store_true", help="images are prepared before: the engine alone")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[384])
    parser.add_argument("--pages", type=int, default=16, help="different pages; they are asked for over and over")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--settle", type=float, default=6.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument(
        "--together", nargs=2, metavar=("N", "FOLDER"), help="start the load when N processes are ready"
    )
    return parser


def main() -> int:
    options = arguments().parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model = options.model or write_full_size(Path(scratch) / "model", options.config)
        backend = SetLengths(settings_of(options, model))
        backend.render_threads = options.render_threads
        if options.kv_cache_gib:
            backend.kv_cache_bytes = int(options.kv_cache_gib * 2**30)
        began = time.perf_counter()
        know_newer_errors()
        backend.start()
        common: dict[str, Any] = describe() | {
            "seqs": options.seqs, "tokens": options.tokens, "eager": options.eager,
            "render_threads": options.render_threads, "rendered_ahead": options.rendered_ahead,
            "start_s": round(time.perf_counter() - began, 1),
        }  # fmt: skip
        print(json.dumps(common), flush=True)
        try:
            asyncio.run(measure(options, backend, common))
        finally:
            backend.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
