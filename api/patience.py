"""How long a client may keep quiet in the middle of a request. uvicorn itself waits for ever."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from jobs.errors import UploadIncomplete


class IdleLimit:
    """ASGI middleware: a body of which nothing comes for so many seconds ends with UploadIncomplete, and its connection
    with the answer. A client that drips is served as slowly as it likes; it holds a connection and no thread."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = _Request(receive, send, self._seconds)
            receive, send = request.receive, request.send
        await self._app(scope, receive, send)


class _Request:
    """The two ways of one request."""

    def __init__(self, receive: Receive, send: Send, seconds: float) -> None:
        self._receive = receive
        self._send = send
        self._seconds = seconds
        self._whole = self._answered = self._late = False

    async def receive(self) -> Message:
        """Raises UploadIncomplete."""
        if self._whole or self._answered:  # what still comes is that the client went away
            return await self._receive()
        try:
            async with asyncio.timeout(self._seconds):
                message = await self._receive()
        except TimeoutError:
            self._late = True
            raise UploadIncomplete(
                f"nothing more came for {self._seconds:g} seconds", where="body", limit=self._seconds
            ) from None
        self._whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._answered = True
            if self._late:
                message["headers"] = [*message["headers"], (b"connection", b"close")]
        await self._send(message)


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, for connections on which no request is under way: the head of one, and what still comes of a
    body after its answer, must be whole within `patience` seconds. Otherwise clients that send nothing would keep
    connections for ever, until there are no more file descriptors."""

    patience: ClassVar[float]
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _watch(self) -> None:
        if self._busy:
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.patience, self._give_up)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self._busy:
            self.transport.close()


def patient_protocol(seconds: float) -> type[H11Protocol]:
    """The protocol with its patience, as uvicorn wants it."""
    return type("PatientProtocol", (PatientProtocol,), {"patience": seconds})
