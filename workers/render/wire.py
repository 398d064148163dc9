"""How messages cross between a worker and a render process: one pickle, and beside it, as they are, its large buffers.

A page's crops are up to 5 MB. Inside a pickle they are copied twice on either side, and `multiprocessing`'s connection
reads them in pieces; here each is read into the bytes that it stays in.
"""

from __future__ import annotations

import pickle
import select
import socket
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

LARGE = 64 * 1024
"""Bytes from which a buffer travels beside the pickle."""

_HEAD = struct.Struct("!QI")


class Parcel(NamedTuple):
    """A message ready to be sent."""

    body: bytes
    buffers: Sequence[bytes | memoryview]


def parcel(value: object) -> Parcel:
    """Raises what pickling raises."""
    buffers: list[bytes | memoryview] = []

    def aside(buffer: pickle.PickleBuffer) -> bool:
        """Whether it stays inside."""
        raw = buffer.raw()
        if raw.nbytes < LARGE:
            return True
        buffers.append(raw)
        return False

    return Parcel(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL, buffer_callback=aside), buffers)


def opened(found: Parcel) -> Any:
    """The value that was sent. Raises what unpickling raises."""
    return pickle.loads(found.body, buffers=found.buffers)  # noqa: S301 - our own process wrote it


def _sizes(count: int) -> struct.Struct:
    return struct.Struct(f"!{count}Q")


class Wire:
    """One end of a socket pair. One thread at a time."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)

    def send(self, message: Parcel) -> None:
        """Raises OSError when the other end is gone."""
        sizes = _sizes(len(message.buffers)).pack(*map(len, message.buffers))
        self._end.sendall(_HEAD.pack(len(message.body), len(message.buffers)) + sizes + message.body)
        for buffer in message.buffers:
            self._end.sendall(buffer)

    def receive(self) -> Parcel:
        """Waits for a message. Raises EOFError or another OSError when the other end is gone."""
        size, count = _HEAD.unpack(self._exactly(_HEAD.size))
        sizes = _sizes(count)
        each = sizes.unpack(self._exactly(sizes.size))
        body = self._exactly(size)
        return Parcel(body, [self._exactly(length) for length in each])

    def waits(self, seconds: float) -> bool:
        """Whether something is there to be received, within that time."""
        return bool(self._poll.poll(seconds * 1000))

    def close(self) -> None:
        self._end.close()

    def _exactly(self, size: int) -> bytes:
        found = self._end.recv(size, socket.MSG_WAITALL) if size else b""
        while len(found) < size:
            more = self._end.recv(size - len(found), socket.MSG_WAITALL)
            if not more:
                raise EOFError
            found += more
        return found
