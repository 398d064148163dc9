"""The resident model: vLLM's AsyncLLM in this process, its EngineCore in a process of its own. Alone imports vllm.

What vLLM does not do for us, and we do here (reference celery-redis.md, section 3):

* it has no timeout of a request: each is under one, and cancelling its generator aborts it in the engine;
* its health check reads a flag, so that an EngineCore that hangs is healthy: progress is watched instead;
* a dead EngineCore cannot be had back: everything inside ends with EngineUnavailable, and so does the worker;
* an EngineCore outlives a worker that was killed: `orphans.py` sees to that.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from jobs.errors import EngineError, EngineUnavailable, PagemillError, PageTimeout
from jobs.settings import EngineSettings, preset
from workers.engines.base import EngineBusy
from workers.engines.paddleocr_vl.backends.base import (
    LOOK_EVERY,
    REPETITION,
    Answer,
    Ask,
    Lifeline,
    PackedCrop,
    Packing,
    Refused,
)
from workers.engines.paddleocr_vl.backends.packing import probe
from workers.engines.paddleocr_vl.backends.sources import local_model
from workers.engines.paddleocr_vl.prompts import prompt, question
from workers.engines.paddleocr_vl.resize import TASK_BOUNDS
from workers.engines.paddleocr_vl.versions import VERSIONS

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.outputs import RequestOutput
    from vllm.v1.engine.async_llm import AsyncLLM

log = logging.getLogger(__name__)

IN_FLIGHT = 1.5
"""Requests in flight per sequence that the engine runs: the next ones are prepared while it is full."""
LEAST_PIXELS = 28 * 28


class VllmBackend:
    """AsyncLLM, started and closed once; a dead one is not started again in the same process."""

    packing: Packing = "rgb"

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._version = VERSIONS[settings.vl_version]
        self.model = settings.vllm_model or self._version.model
        self.concurrency = settings.vl_concurrency or int(IN_FLIGHT * settings.vllm_max_num_seqs)
        self._lifeline = Lifeline()
        self._numbers = itertools.count(1)
        self._engine: AsyncLLM | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Load the model. Takes half a minute and more."""
        # Spawn: the process has threads, and a forked child would inherit their locks.
        preset(VLLM_WORKER_MULTIPROC_METHOD="spawn", VLLM_NO_USAGE_STATS="1", VLLM_CONFIGURE_LOGGING="0")
        path = local_model(self._settings, self.model)
        from vllm.v1.engine.async_llm import AsyncLLM

        try:
            self._engine = AsyncLLM.from_engine_args(self._arguments(path), stat_loggers=[self._heartbeats()])
        except Exception as error:
            # Whatever vLLM raises while it loads: there is no engine, and this says why.
            raise EngineUnavailable(
                f"vLLM cannot load {path}: {_last_line(error)}", where="PAGEMILL_VLLM_MODEL"
            ) from error
        self._template = self._read_template()

    async def warm_up(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._turns = asyncio.Semaphore(self.concurrency)
        try:
            await self.read(*probe(self._settings, self.packing))
        except PagemillError as error:
            raise EngineUnavailable(f"the first crop could not be read: {error}") from error

    async def watch(self) -> None:
        limit = self._settings.vl_stall_timeout
        while not self._lifeline.dead:
            await asyncio.sleep(LOOK_EVERY)
            if self._engine is not None and self._engine.errored:
                self._lifeline.die("vLLM's EngineCore died")
            elif self._lifeline.idle_seconds() > limit:
                self._lifeline.die(f"vLLM made no step for {limit:g} seconds with {self._lifeline.inside} crops inside")
        raise await self._lifeline.death()

    async def read(self, crop: PackedCrop, ask: Ask) -> Answer:
        async with self._turns:
            return await self._lifeline.hold(self._in_time(crop, ask))

    def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is None:
            return
        engine.shutdown()
        if self._loop is not None and self._loop.is_running():
            # Its own task on our loop is cancelled by that, and ends only while the loop still turns.
            asyncio.run_coroutine_threadsafe(asyncio.sleep(LOOK_EVERY / 5), self._loop).result()

    # --- one crop

    async def _in_time(self, crop: PackedCrop, ask: Ask) -> Answer:
        limit = self._settings.vl_request_timeout
        try:
            async with asyncio.timeout(limit):
                return await self._generate(crop, ask)
        except TimeoutError:
            raise PageTimeout(f"no answer from the model within {limit:g} seconds", limit=limit) from None

    async def _generate(self, crop: PackedCrop, ask: Ask) -> Answer:
        from vllm.exceptions import GracefulHTTPError, VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        image = Image.frombytes("RGB", (crop.width, crop.height), crop.data)
        request: Any = {"prompt": self._prompt(ask), "multi_modal_data": {"image": image}}
        try:
            generated = self._alive().generate(request, self._sampling(ask), f"crop-{next(self._numbers)}")
            outputs = [output async for output in generated]  # final only: there is one
        except EngineDeadError as error:
            self._lifeline.die("vLLM's EngineCore died")
            raise EngineUnavailable("vLLM's EngineCore died") from error
        except GracefulHTTPError as error:
            raise EngineBusy(str(error)) from error
        except (VLLMClientError, ValueError) as error:
            raise Refused(f"the model does not take a part of this page: {error}") from error
        except EngineGenerateError as error:
            raise EngineError(f"vLLM failed on a part of this page: {error.__cause__ or error}") from error
        return _answer(outputs)

    def _alive(self) -> AsyncLLM:
        assert self._engine is not None, "started before anything is read"
        return self._engine

    def _prompt(self, ask: Ask) -> str:
        if self._template is None:
            return prompt(ask.task, self._version.name)
        content = [{"type": "image"}, {"type": "text", "text": question(ask.task)}]
        rendered: str = (
            self._alive()
            .get_tokenizer()
            .apply_chat_template(
                [{"role": "user", "content": content}],
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=True,
            )
        )
        return rendered

    def _sampling(self, ask: Ask) -> SamplingParams:
        from vllm import SamplingParams
        from vllm.sampling_params import RepetitionDetectionParams, RequestOutputKind

        settings = self._settings
        return SamplingParams(
            temperature=settings.vl_temperature,
            top_p=settings.vl_top_p,
            repetition_penalty=settings.vl_repetition_penalty,
            max_tokens=ask.max_tokens,
            skip_special_tokens=ask.skip_special_tokens,
            output_kind=RequestOutputKind.FINAL_ONLY,
            repetition_detection=RepetitionDetectionParams(**REPETITION),
        )

    # --- the engine

    def _arguments(self, path: str) -> Any:
        from vllm.engine.arg_utils import AsyncEngineArgs

        settings = self._settings
        return AsyncEngineArgs(
            model=path,
            revision=settings.vllm_revision if not Path(path).exists() else None,
            dtype=settings.vllm_dtype,
            load_format=settings.vllm_load_format,
            trust_remote_code=settings.vllm_trust_remote_code,
            enforce_eager=settings.vllm_enforce_eager,
            gpu_memory_utilization=settings.vllm_gpu_memory_utilization,
            max_model_len=settings.vllm_max_model_len,
            max_num_seqs=settings.vllm_max_num_seqs,
            max_num_batched_tokens=settings.vllm_max_num_batched_tokens,
            limit_mm_per_prompt={"image": 1},
            mm_processor_kwargs=self._pixel_bounds(),
            # No crop comes twice: a cache of images costs memory and a class of crashes (vllm issues 31404, 46354).
            mm_processor_cache_gb=0,
            enable_prefix_caching=False,
            enable_log_requests=False,
        )

    def _pixel_bounds(self) -> dict[str, Any]:
        """Bounds so wide that the model's processor leaves the crops as they come: they are resized already."""
        most = self._settings.vl_max_pixels or max(bounds.maximum for bounds in TASK_BOUNDS.values())
        if self._settings.vllm_trust_remote_code:
            return {"min_pixels": LEAST_PIXELS, "max_pixels": most}
        return {"size": {"shortest_edge": LEAST_PIXELS, "longest_edge": most}}

    def _heartbeats(self) -> Any:
        """A stat logger whose only statistic is that EngineCore made a step: final outputs alone would not tell.

        Beside it vLLM keeps its own for Prometheus, in prometheus_client's default registry, which the worker's
        listener serves too (jobs/listener.py).
        """
        from vllm.v1.metrics.loggers import StatLoggerBase

        moved = self._lifeline.moved

        class Heartbeats(StatLoggerBase):  # type: ignore[misc]
            def __init__(self, vllm_config: Any, engine_index: int = 0) -> None: ...

            def record(self, *_: Any, **__: Any) -> None:
                moved()

            def log_engine_initialized(self) -> None: ...

        return Heartbeats

    def _read_template(self) -> str | None:
        path = self._settings.vllm_chat_template
        if path is None:
            return None
        try:
            return path.read_text()
        except OSError as error:
            raise EngineUnavailable(f"{path}: {error.strerror}", where="PAGEMILL_VLLM_CHAT_TEMPLATE") from error


def _answer(outputs: Sequence[RequestOutput]) -> Answer:
    if not outputs or not outputs[-1].outputs:
        raise EngineError("vLLM gave no output")
    found = outputs[-1].outputs[0]
    tokens, tokens_in = len(found.token_ids), len(outputs[-1].prompt_token_ids or ())
    if found.finish_reason == "length":
        return Answer(found.text, "length", tokens, tokens_in)
    if found.finish_reason == "repetition" or found.stop_reason == "repetition_detected":
        return Answer(found.text, "repetition", tokens, tokens_in)
    if found.finish_reason not in ("stop", None):
        raise EngineError(f"vLLM ended a part of this page with {found.finish_reason!r}")
    return Answer(found.text, "stop", tokens, tokens_in)


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{type(error).__name__}: {lines[-1]}"
