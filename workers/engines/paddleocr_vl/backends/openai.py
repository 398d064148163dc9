"""Crops read by servers that speak the OpenAI API: vLLM, SGLang, FastDeploy, GPUStack.

What a failure says decides what it means (sentence 2 of the design):

    429, 503                        busy: the server is left alone as long as it says; no attempt of anybody
    no connection, 502, 504         away: it is left alone for a while, the request goes to another
    500, cut off, no sense          broken: the same, but tried once more only; then a judgement (below)
    400, 413, 415, 422              this crop is refused: the page's own error, not tried again
    3xx, other 4xx                  wrong URL, key or model, no money left: as one that is away

When patience ends and every server was away, the engine is dead. A request that stays broken is judged by what else
happens: where others were answered meanwhile, or the servers still read a crop of ours, the page is at fault; else the
engine is. Retries live here and in the page's own tries, nowhere else: httpx makes none.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from ssl import SSLContext
from typing import Any

import httpx
import orjson

from jobs.errors import EngineError, EngineUnavailable, PagemillError, PageTimeout
from jobs.settings import EngineSettings
from workers.engines.base import EngineBusy, NotTaken
from workers.engines.paddleocr_vl.backends.base import (
    LOOK_EVERY,
    REPETITION,
    Answer,
    Ask,
    Lifeline,
    PackedCrop,
    Packing,
)
from workers.engines.paddleocr_vl.backends.clients import Clients
from workers.engines.paddleocr_vl.backends.packing import probe
from workers.engines.paddleocr_vl.backends.replies import SHOWN, Trouble, answer_of, words_of
from workers.engines.paddleocr_vl.backends.servers import Server, Servers
from workers.engines.paddleocr_vl.prompts import question

log = logging.getLogger(__name__)

CONCURRENCY = 200
"""Requests in flight: the default of PaddleX's client, vl_rec_max_concurrency (reference, section 2)."""
BROKEN_TRIES = 2
"""A request that may be what kills the servers is not sent to each of them in turn."""
KEEP_ALIVE = 3.0
"""Seconds an idle connection is kept: fewer than uvicorn's 5, so that the server never closes one in our hands."""
PROBE_TIMEOUT = 30.0
FRAMES = 64
"""Requests without their pictures that are remembered: one for each task and its options, as a rule."""
_PICTURE = "|the picture|"
"""Its place in such a request."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One entry of /models."""

    name: str
    length: int | None
    """vLLM's max-model-len; other servers do not tell theirs."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> ServedModel:
        name, length = str(entry["id"]), entry.get("max_model_len")
        return cls(name, length if isinstance(length, int) else None)


@dataclass(slots=True)
class _Tries:
    """What happened to one request so far."""

    began: float = field(default_factory=time.monotonic)
    broken: int = 0
    inside: bool = False
    """Whether a server may have begun with it, or may do so now."""
    asked: set[Server] = field(default_factory=set)
    last: Trouble | None = None

    @contextmanager
    def asking(self, server: Server) -> Iterator[None]:
        """Takes note of a Trouble, and lets it go on."""
        before = self.inside
        try:
            with server.asked():
                yield
        except Trouble as trouble:
            self.inside = before or trouble.inside
            self.asked.add(server)
            self.last = trouble
            self.broken += trouble.kind == "broken"
            raise

    async def trace(self, event: str, _info: Mapping[str, Any]) -> None:
        """Told by httpcore what it does."""
        self.inside = self.inside or event.endswith("send_request_headers.started")


class OpenAiBackend:
    """An element recogniser over HTTP."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self.packing: Packing = settings.openai_image
        self.concurrency = settings.vl_concurrency or CONCURRENCY
        self.model = settings.openai_model or ""
        self._servers = Servers([url.strip() for url in settings.openai_urls.split(",") if url.strip()])
        self._lifeline = Lifeline()
        self._last_success = 0.0
        self._frame = lru_cache(FRAMES)(self._around)

    def start(self) -> None:
        """Nothing is loaded here. Raises EngineUnavailable where no URL is given."""
        if not self._servers.all:
            raise EngineUnavailable("no server is named", where="PAGEMILL_OPENAI_URLS")

    async def warm_up(self) -> None:
        """Asks every server for its models and one of them for a crop. One that answers is enough."""
        self._loop = asyncio.get_running_loop()
        self._turns = asyncio.Semaphore(self.concurrency)
        context = httpx.create_ssl_context()  # of the environment only what authorities it trusts (SSL_CERT_FILE)
        self._clients = {
            server: Clients(partial(self._open_client, context), KEEP_ALIVE) for server in self._servers.all
        }
        served = await asyncio.gather(*map(self._models, self._servers.all))
        models = [model for found in served if not isinstance(found, str) for model in found]
        names = sorted({model.name for model in models})
        if not names:
            raise EngineUnavailable("; ".join(map(str, served)), where="PAGEMILL_OPENAI_URLS")
        self.model = self.model or names[0]
        if self.model not in names:
            raise EngineUnavailable(
                f"no server has a model {self.model!r}; served: {', '.join(names)}", where="PAGEMILL_OPENAI_MODEL"
            )
        self._check_length([model.length for model in models if model.name == self.model and model.length])
        try:
            await self._probe(self._settings.vl_request_timeout)
        except PagemillError as error:
            raise EngineUnavailable(f"the first crop could not be read: {error}") from error

    def _check_length(self, lengths: Sequence[int]) -> None:
        """A server refuses whoever asks for more tokens than fit: every page would fail for good."""
        wanted = self._settings.vl_max_tokens
        if lengths and min(lengths) < wanted:
            raise EngineUnavailable(
                f"a server's max-model-len is {min(lengths)}, answers may have {wanted} tokens",
                where="PAGEMILL_VL_MAX_TOKENS", limit=min(lengths), actual=wanted,
            )  # fmt: skip

    async def watch(self) -> None:
        while not self._lifeline.dead:
            await asyncio.sleep(LOOK_EVERY)
            if self._lifeline.idle_seconds() > self._settings.vl_stall_timeout:
                await self._look_again()
        raise await self._lifeline.death()

    async def read(self, crop: PackedCrop, ask: Ask) -> Answer:
        body = self._body(crop, ask)
        async with self._turns:
            tries = _Tries()
            try:
                return await self._lifeline.hold(self._in_time(body, tries))
            except EngineUnavailable as error:
                if tries.inside:
                    raise
                raise NotTaken(error.detail) from error

    def close(self) -> None:
        clients: dict[Server, Clients] = getattr(self, "_clients", {})
        if clients and self._loop.is_running():
            asyncio.run_coroutine_threadsafe(_closed(clients.values()), self._loop).result()

    def _open_client(self, context: SSLContext) -> httpx.AsyncClient:
        settings = self._settings
        key = settings.openai_key
        return httpx.AsyncClient(
            headers={"authorization": f"Bearer {key.get_secret_value()}"} if key else {},
            timeout=httpx.Timeout(settings.vl_request_timeout, connect=settings.openai_connect_timeout, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE),
            verify=context,
            trust_env=False,
        )

    async def _models(self, server: Server) -> list[ServedModel] | str:
        """The models it has, or why it told none."""
        try:
            with self._clients[server].one() as client:
                response = await client.get(f"{server.url}/models", timeout=PROBE_TIMEOUT)
        except httpx.HTTPError as error:
            server.failed(Trouble("away", words_of(error), inside=False))
            return f"{server.url}: {words_of(error)}"
        if response.status_code != httpx.codes.OK:
            return f"{server.url}: HTTP {response.status_code}: {response.text[:SHOWN]}"
        try:
            return [ServedModel.of(model) for model in response.json()["data"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            return f"{server.url}: answers /models with no list of models; is this the base URL, with /v1?"

    # --- one request

    async def _in_time(self, body: bytes, tries: _Tries) -> Answer:
        limit = self._settings.vl_request_timeout
        try:
            async with asyncio.timeout(limit):
                return await self._persist(body, tries)
        except TimeoutError:
            raise PageTimeout(f"no answer from the model within {limit:g} seconds", limit=limit) from None

    async def _persist(self, body: bytes, tries: _Tries) -> Answer:
        """Ask one server after the other until one answers, or patience ends."""
        while tries.broken < BROKEN_TRIES:
            until = tries.began + self._settings.openai_patience
            server = await self._servers.next(until, rather_not=tries.asked)
            if server is None:
                break
            try:
                with tries.asking(server):
                    answer = await self._once(server, body, trace=tries.trace)
            except Trouble as trouble:
                log.warning("%s: %s", server.url, trouble.detail, extra={"action": "request_failed"})
                server.failed(trouble)
                if trouble.kind == "busy":
                    self._lifeline.moved()  # who says so is alive
                continue
            server.served()
            self._last_success = time.monotonic()
            self._lifeline.moved()
            return answer
        raise await self._verdict(tries, tries.last or self._servers.trouble)

    async def _verdict(self, tries: _Tries, last: Trouble) -> PagemillError:
        if last.kind == "busy":
            return EngineBusy(f"every server has too much to do: {last.detail}")
        if tries.inside and (self._last_success > tries.began or await self._well()):
            return EngineError(f"the model's server cannot read a part of this page: {last.detail}")
        reason = f"no server answers: {last.detail}"
        self._lifeline.die(reason)
        return EngineUnavailable(reason)

    async def _once(self, server: Server, body: bytes, **extensions: Any) -> Answer:
        """Raises Trouble, Refused, EngineUnavailable."""
        url = f"{server.url}/chat/completions"
        headers = {"content-type": "application/json"}
        try:
            with self._clients[server].one() as client:
                response = await client.post(url, content=body, headers=headers, extensions=extensions)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Trouble("away", words_of(error), inside=False) from error
        except httpx.TimeoutException as error:
            raise Trouble("away", words_of(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Trouble("broken", words_of(error)) from error
        return answer_of(response)

    def _body(self, crop: PackedCrop, ask: Ask) -> bytes:
        """The request. A crop's picture is most of it and base64 needs no escapes: only the rest goes through json."""
        before, after = self._frame(crop.packing, ask)
        return b"".join((before, base64.b64encode(crop.data), after))

    def _around(self, packing: Packing, ask: Ask) -> tuple[bytes, bytes]:
        """What stands before the picture and after it."""
        request = orjson.dumps(self._request(f"data:image/{packing};base64,{_PICTURE}", ask))
        before, after = request.split(_PICTURE.encode())
        return before, after

    def _request(self, image: str, ask: Ask) -> dict[str, Any]:
        settings = self._settings
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": image}},
                        {"type": "text", "text": question(ask.task)},
                    ],
                }
            ],
            "max_completion_tokens": ask.max_tokens,
            "temperature": settings.vl_temperature,
            "top_p": settings.vl_top_p,
        }
        if settings.openai_flavor == "vllm":
            body |= _vllm_only(settings, ask)
        return body

    # --- is it the page or the engine?

    async def _probe(self, timeout: float) -> None:
        """Have a crop of our own read, past the queue of others. Raises what a request raises, and TimeoutError."""
        body = self._body(*probe(self._settings, self.packing))
        async with asyncio.timeout(timeout):
            await self._any_server(body)

    async def _any_server(self, body: bytes) -> None:
        words = []
        for server in sorted(self._servers.all, key=lambda server: server.outstanding):
            try:
                await self._once(server, body)
            except Trouble as trouble:
                if trouble.kind == "busy":
                    return  # it has others to read for, and so it reads
                words.append(f"{server.url}: {trouble.detail}")
            else:
                return
        raise EngineUnavailable("; ".join(words))

    async def _well(self) -> bool:
        try:
            await self._probe(PROBE_TIMEOUT)
        except (TimeoutError, PagemillError):
            return False
        return True

    async def _look_again(self) -> None:
        """Nothing came back for long: a long answer, or servers that hang?"""
        if await self._well():
            self._lifeline.moved()
        else:
            self._lifeline.die(f"no answer for {self._settings.vl_stall_timeout:g} seconds while crops wait for one")


async def _closed(clients: Iterable[Clients]) -> None:
    await asyncio.gather(*(opened.close() for opened in clients))
    await asyncio.sleep(0.01)  # the sockets themselves are closed by the loop's next round


def _vllm_only(settings: EngineSettings, ask: Ask) -> dict[str, Any]:
    """What vLLM's server takes beyond the OpenAI API. Bounds only where wanted: crops come resized, and a server that
    does not trust its clients refuses them (vLLM 0.32, --trust-request-mm-kwargs)."""
    bounds = {"mm_processor_kwargs": {"min_pixels": ask.min_pixels, "max_pixels": ask.max_pixels}}
    return (bounds if settings.openai_bounds else {}) | {
        "skip_special_tokens": ask.skip_special_tokens,
        "repetition_penalty": settings.vl_repetition_penalty,
        "repetition_detection": REPETITION,
    }
