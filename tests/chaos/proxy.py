"""A TCP proxy that spoils what passes: latency, resets, silence, refusals by HTTP, answers that are cut off.

One thread with one loop serves any number of proxies. What is in the air when the weather changes is spoiled too.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self

from tests.processes import HOST, free_port

PIECE = 65_536


class Kind(Enum):
    CLEAR = "clear"
    LATENCY = "latency"
    """Every piece, in both directions, comes so many seconds late."""
    RESET = "reset"
    """Open connections are reset, and every new one."""
    SILENCE = "silence"
    """Connections are accepted and stay open; nothing passes until the weather changes, and then all of it."""
    REFUSAL = "refusal"
    """Every HTTP request is answered with `status`, and never reaches the server."""
    CUT_ANSWER = "cut_answer"
    """Requests reach the server; the connection is reset in place of the answer."""


@dataclass(frozen=True)
class Weather:
    kind: Kind = Kind.CLEAR
    seconds: float = 0.0
    status: int = 503


CLEAR = Weather()
_REASONS = {503: ("Slow Down", "SlowDown"), 507: ("Insufficient Storage", "InsufficientStorage")}


class Proxies:
    """The thread and its loop. Use as a context manager."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="proxies", daemon=True)
        self.all: list[Proxy] = []

    def add(self, upstream: int) -> Proxy:
        """A proxy before this port."""
        proxy = Proxy(self, upstream)
        self.run(proxy.open())
        self.all.append(proxy)
        return proxy

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(step, self.loop).result(10)

    def clear(self) -> None:
        for proxy in self.all:
            proxy.set(CLEAR)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _end(self) -> None:
        for proxy in self.all:
            await proxy.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Proxy:
    """Listens on `port` and passes everything on to `upstream`, as the weather allows."""

    def __init__(self, proxies: Proxies, upstream: int) -> None:
        self.port = free_port()
        self._proxies = proxies
        self._upstream = upstream
        self._weather = CLEAR
        self._changed = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    def set(self, weather: Weather) -> None:
        """From any thread; returns when it holds."""
        self._proxies.run(self._set(weather))

    async def _set(self, weather: Weather) -> None:
        self._weather = weather
        self._changed.set()
        self._changed = asyncio.Event()
        if weather.kind is Kind.RESET:
            for writer in list(self._open):
                _reset(writer)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._pass_on(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(writer)
            _reset(writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self._weather.kind is Kind.SILENCE:
            await self._changed.wait()
        if self._weather.kind is Kind.RESET:
            return
        up_reader, up_writer = await asyncio.open_connection(HOST, self._upstream)
        self._open.add(up_writer)
        there = asyncio.create_task(self._pump(reader, up_writer, back=None, answer=writer))
        back = asyncio.create_task(self._pump(up_reader, writer, back=up_reader, answer=writer))
        try:
            # Whoever ends first ends both: nobody here speaks half-closed.
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open.discard(up_writer)
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            _reset(up_writer)
            with contextlib.suppress(OSError):
                await writer.drain()
                writer.close()

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        *,
        back: asyncio.StreamReader | None,
        answer: asyncio.StreamWriter,
    ) -> None:
        """One direction until it ends; `back` is given for that of the answers."""
        while piece := await source.read(PIECE):
            while self._weather.kind is Kind.SILENCE:
                await self._changed.wait()
            weather = self._weather
            if weather.kind is Kind.LATENCY:
                await asyncio.sleep(weather.seconds)
            elif weather.kind is Kind.CUT_ANSWER and back is not None:
                _reset(answer)
                return
            elif weather.kind is Kind.REFUSAL and back is None:
                await _refuse(source, answer, weather.status)
                return
            target.write(piece)
            await target.drain()


async def _refuse(request: asyncio.StreamReader, answer: asyncio.StreamWriter, status: int) -> None:
    """Answer as S3 does. What is still coming of the request is swallowed first: else it is reset with the answer."""
    with contextlib.suppress(TimeoutError):
        while await asyncio.wait_for(request.read(PIECE), 0.02):
            pass
    reason, code = _REASONS[status]
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{reason}</Message></Error>".encode()
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    answer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await answer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST, where it is still open; what was written and is on its way in the kernel is lost."""
    if writer.transport.is_closing():
        return
    found = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
