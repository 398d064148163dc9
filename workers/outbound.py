"""The one way to addresses that users named: sources and webhooks (against server-side request forgery).

A host is looked up once. Every address it has must be public (jobs/addresses.py) or allowed by PAGEMILL_OUTBOUND_ALLOW,
and the connection goes to the checked address itself, so that a name which means something else a moment later (DNS
rebinding) does not help. Host header, server name and certificate stay those of the name. Redirects are never followed:
whoever follows one asks again, and is checked again. No proxy, no cookies, no decompression.
"""

from __future__ import annotations

import logging
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import urljoin

import httpcore
import httpx

from jobs.addresses import Address, address_of, is_public
from jobs.settings import OutboundSettings
from jobs.urls import HttpUrl, parse_http_url

log = logging.getLogger(__name__)

Resolve = Callable[[str, int], list[str]]
"""Host and port to addresses. Raises OSError."""

MAX_BYTES = 64 * 1024
"""Of an answer that nobody asked for: a webhook's."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class OutboundRefused(ValueError):
    """The guard does not let this request out; trying again does not help. `str()` may be shown to users."""


class OutboundFailed(Exception):
    """The request went out, or tried to, and came to nothing. `str()` may be shown to users."""


class OutboundTooLarge(OutboundFailed):
    """The answer is larger than asked for."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the answer is larger than {limit} bytes")
        self.limit = limit


def resolve_host(host: str, port: int) -> list[str]:
    """What this machine's resolver says, in its order of preference."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except UnicodeError as error:
        raise OSError(str(error)) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer whose body is still to come."""

    url: str
    status_code: int
    headers: Mapping[str, str]
    """Names in lower case; of a repeated header the last one."""
    _body: Iterable[bytes] = field(repr=False)
    _max_bytes: int

    @property
    def redirect(self) -> str | None:
        """Where the answer points instead, as an absolute URL that is still to be checked; `stream` does so."""
        location = self.headers.get("location")
        if not location or self.status_code not in _REDIRECTS:
            return None
        try:
            return urljoin(self.url, location)
        except ValueError:  # half an IPv6 address: no URL, as whoever follows it is told
            return location

    def __iter__(self) -> Iterator[bytes]:
        """The body as it was sent, never decoded. Raises OutboundFailed, also where the request's time is over, and
        OutboundTooLarge."""
        announced = self.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self._max_bytes:
            raise OutboundTooLarge(self._max_bytes)
        seen = 0
        with _told():
            for piece in self._body:
                seen += len(piece)
                if seen > self._max_bytes:
                    raise OutboundTooLarge(self._max_bytes)
                yield piece


class Outbound:
    """Thread-safe. Each request has a connection of its own, as each has an address of its own."""

    def __init__(
        self,
        settings: OutboundSettings,
        *,
        resolve: Resolve = resolve_host,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls`: whose certificates count; those of certifi or SSL_CERT_FILE where absent."""
        self._settings = settings
        self._allowed = settings.allowed
        self._resolve = resolve
        self._tls = tls or httpx.create_ssl_context()

    @contextmanager
    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: float,
        max_bytes: int = MAX_BYTES,
    ) -> Iterator[Reply]:
        """Ask; leaving the block ends the connection. `timeout`: seconds for all of it, the body included.

        Raises OutboundRefused before anything is sent, OutboundFailed afterwards.
        """
        deadline = time.monotonic() + timeout
        try:
            parsed = parse_http_url(url)
        except ValueError as error:
            raise OutboundRefused(f"this is no URL that can be asked: {error}") from None
        addresses = self._checked(parsed, timeout)
        backend = _Pinned(addresses, deadline, self._settings)
        with httpcore.ConnectionPool(ssl_context=self._tls, network_backend=backend) as pool:
            with _told():
                answer = pool.handle_request(_request(method, parsed, headers or {}, content))
            try:
                yield Reply(str(parsed), answer.status, _text(answer.headers), answer.iter_stream(), max_bytes)
            finally:
                answer.close()

    def _checked(self, url: HttpUrl, timeout: float) -> list[Address]:
        """The addresses to connect to. Raises OutboundRefused where one of them is nobody's business."""
        literal = address_of(url.host)
        addresses = [literal] if literal is not None else self._looked_up(url, timeout)
        if self._allowed.names(url.host, url.port):
            return addresses
        internal = [address for address in addresses if self._allowed.holds(address, url.port)]
        for address in addresses:
            if address not in internal and not is_public(address):
                # Not to users: what internal names resolve to is nobody's business either.
                log.info("a request to %s (%s) is refused", url.host, address, extra={"action": "outbound_refused"})
                raise OutboundRefused(f"{url.host} is not a public address, and not on the allow-list")
        if url.scheme == "http" and not self._settings.outbound_http and internal != addresses:
            raise OutboundRefused("only https:// goes to public addresses here")
        return addresses

    def _looked_up(self, url: HttpUrl, timeout: float) -> list[Address]:
        try:
            found = _within(timeout, lambda: self._resolve(url.host, url.port))
        except OSError as error:
            raise OutboundFailed(f"{url.host} cannot be looked up: {_words(error)}") from None
        addresses = [address for text in found if (address := address_of(text)) is not None]
        if not addresses or len(addresses) != len(found):
            raise OutboundFailed(f"{url.host} has no address")
        return addresses


class _Pinned(httpcore.NetworkBackend):
    """Connects to the checked addresses and to nothing else, in time."""

    def __init__(self, addresses: list[Address], deadline: float, settings: OutboundSettings) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._settings = settings
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectTimeout("no time is left")
        for address in self._addresses:
            seconds = min(self._settings.outbound_connect_timeout, self._deadline - time.monotonic())
            if seconds <= 0:
                break
            try:
                stream = self._inner.connect_tcp(str(address), port, seconds, None, socket_options)
                return _Timed(stream, self._deadline, self._settings.outbound_read_timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        raise httpcore.ConnectError("sockets of this machine are not asked")


class _Timed(httpcore.NetworkStream):
    """A connection that ends at the deadline, however often a byte drips in."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float, pause: float) -> None:
        self._inner = inner
        self._deadline = deadline
        self._pause = pause

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In pieces, so that a server that takes a byte at a time meets the deadline too.
        for start in range(0, len(buffer), 16 * 1024):
            self._inner.write(buffer[start : start + 16 * 1024], self._left(httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._inner.start_tls(ssl_context, server_hostname, self._left(httpcore.ConnectTimeout))
        return _Timed(stream, self._deadline, self._pause)

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def _left(self, late: type[httpcore.TimeoutException]) -> float:
        seconds = min(self._pause, self._deadline - time.monotonic())
        if seconds <= 0:
            raise late("the time of the request is over")
        return seconds


def _request(method: str, url: HttpUrl, headers: Mapping[str, str], content: bytes | None) -> httpcore.Request:
    """Built from the parsed parts, so that no second parser has its own idea of the URL."""
    sent = {"host": url.authority, "accept-encoding": "identity", "user-agent": "pagemill"}
    sent |= {name.lower(): value for name, value in headers.items()}
    if content is not None:
        sent["content-length"] = str(len(content))
    target = httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target)
    return httpcore.Request(
        method, target, headers=[(n.encode(), v.encode()) for n, v in sent.items()], content=content
    )


def _text(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong on the network, in words for users."""
    try:
        yield
    except httpcore.TimeoutException:
        raise OutboundFailed("no answer in time") from None
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise OutboundFailed(f"no answer: {_words(error)}") from None


def _words(error: Exception) -> str:
    return str(error).strip()[:200] or type(error).__name__


T = TypeVar("T")


def _within(seconds: float, call: Callable[[], T]) -> T:
    """A resolver has no deadline of its own choosing: it is left behind on its thread. Raises OSError when late."""
    answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:  # noqa: BLE001 -- raised again by who waits
            answers.put((None, error))

    threading.Thread(target=ask, name="resolving", daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise OSError("no answer in time") from None
    if error is not None:
        raise error
    return cast(T, answer)
