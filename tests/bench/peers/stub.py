"""`python -m tests.bench.peers.stub PORT MODEL`: an OpenAI-compatible server around the modelled engine.

One process, one loop, no model: `tests.bench.modelled` says how long a request takes and `replies` what it says. GET
/meters gives what happened since the start, or since POST /forget. Runs in the environment `openai`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop
from aiohttp import web

from tests.bench.modelled import PREFILL, Model, ModelledEngine, Reading
from tests.bench.peers.replies import Kind, Reply, image_tokens, kind_of, reply

NAME = "modelled"
MOST_BYTES = 256 << 20
EVERY = 0.25
PROBE_TOKENS = 16
"""Answers of at most so many tokens are what clients ask for to see whether a server is there: no page of theirs."""


class Stub:
    """The handlers and their meters."""

    def __init__(self, model: Model) -> None:
        self._engine = ModelledEngine(model)
        self._open = 0
        self._forget()
        self._flight: list[tuple[float, int]] = []

    async def chat(self, request: web.Request) -> web.Response:
        raw = await request.read()
        body = json.loads(raw)
        prompt, images = _parts(body)
        most = body.get("max_completion_tokens") or body.get("max_tokens") or PROBE_TOKENS + 1
        if most <= PROBE_TOKENS:
            return web.json_response(_answer("stop", 1, images))
        self._last = self._engine.read()
        self._first = self._first or self._last
        self._open += 1
        self._most = max(self._most, self._open)
        try:
            said = await self._read(kind_of(prompt), images, len(raw))
        finally:
            self._open -= 1
        return web.json_response(_answer(said.text, int(said.tokens), images + len(prompt) // 4))

    async def _read(self, kind: Kind, images: int, size: int) -> Reply:
        """The answer, when the engine has done it."""
        number = self._numbers[kind] = self._numbers.get(kind, 0) + 1
        self._image_tokens += images
        self._bytes += size
        said = reply(kind, number)
        await self._engine.run(said.tokens + PREFILL * images)
        self._answered[kind] = self._answered.get(kind, 0) + 1
        return said

    async def forget(self, _: web.Request) -> web.Response:
        """All that was until now: what follows is counted, and answered, as from the start."""
        self._forget()
        return web.json_response({"begin": str(self._begin)})

    def _forget(self) -> None:
        self._begin = self._engine.read()
        self._first: Reading | None = None
        self._last: Reading | None = None
        self._numbers: dict[Kind, int] = {}
        self._answered: dict[Kind, int] = {}
        self._image_tokens = self._bytes = 0
        self._most = self._open

    async def models(self, _: web.Request) -> web.Response:
        card = {"id": NAME, "object": "model", "owned_by": "nobody", "max_model_len": 32_768}
        return web.json_response({"object": "list", "data": [card]})

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def meters(self, _: web.Request) -> web.Response:
        """Readings as text: `begin` is the start, or when all was forgotten; `first` and `last` are those at the
        arrival of the first and the last request, null where none came. `answered` counts replies by kind."""
        readings = {"begin": self._begin, "first": self._first, "last": self._last, "now": self._engine.read()}
        counts = {
            "answered": self._answered, "most": self._most, "image_tokens": self._image_tokens, "bytes": self._bytes,
        }  # fmt: skip
        return web.json_response(
            {name: at and str(at) for name, at in readings.items()} | counts | {"flight": self._flight}
        )

    async def sample(self) -> None:
        """How many requests ran, over time."""
        held, at = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(EVERY)
            now = self._engine.read()
            self._flight.append((now.at, round((now.held - held) / (now.at - at))))
            held, at = now.held, now.at


def _parts(body: Any) -> tuple[str, int]:
    """The text of a request, and the tokens of its images."""
    texts, images = [], 0
    for message in body["messages"]:
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if part["type"] == "image_url":
                images += image_tokens(part["image_url"]["url"])
            elif part["type"] == "text":
                texts.append(part["text"])
    return "\n".join(texts), images


def _answer(text: str, tokens: int, prompt_tokens: int) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": tokens, "total_tokens": prompt_tokens + tokens}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    base = {"id": "chatcmpl-0", "object": "chat.completion", "created": int(time.time()), "model": NAME}
    return base | {"choices": [choice], "usage": usage}


async def main(port: int, model: Model) -> None:
    stub = Stub(model)
    app = web.Application(client_max_size=MOST_BYTES)
    app.router.add_post("/v1/chat/completions", stub.chat)
    app.router.add_get("/v1/models", stub.models)
    app.router.add_get("/health", stub.health)
    app.router.add_get("/meters", stub.meters)
    app.router.add_post("/forget", stub.forget)
    # A client that hangs up takes its request out of the engine, as with vLLM.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    await stub.sample()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Model.parse(sys.argv[2])))
