"""URLs of users, read by one parser: what was checked is what is asked. Nothing here looks a name up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Literal, cast
from urllib.parse import quote, urlsplit

from jobs.addresses import is_host_name
from jobs.errors import InvalidRequest

MAX_URL = 2048
"""Characters."""
_PORTS = {"http": 80, "https": 443}
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029]")
"""Spaces, controls and backslashes: parsers disagree about them, and a line break would end a header."""


@dataclass(frozen=True, slots=True)
class HttpUrl:
    """The parts of a URL that decide where a request goes."""

    scheme: Literal["http", "https"]
    host: str
    """Lower case, without brackets and closing dot."""
    port: int
    target: str
    """Path and query, percent-encoded; never empty."""

    @property
    def authority(self) -> str:
        """Host and, where it is not the scheme's own, port: what the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """What may be shown and logged: a path or a query may hold a secret."""
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return self.origin + self.target


def parse_http_url(text: str) -> HttpUrl:
    """Raises ValueError with the reason. The fragment is dropped: it is never sent."""
    if len(text) > MAX_URL:
        raise ValueError(f"longer than {MAX_URL} characters")
    if _FORBIDDEN.search(text):
        raise ValueError("spaces, control characters and backslashes must be percent-encoded")
    parts = urlsplit(text)  # ValueError: brackets that are none
    if parts.scheme not in _PORTS:
        raise ValueError("must start with https:// or http://")
    if "@" in parts.netloc:
        raise ValueError("user names and passwords do not belong into a URL")
    host, port = _host(parts.netloc), parts.port  # ValueError: no number, or above 65535
    if port is not None and port < 1:
        raise ValueError("port 0 does not exist")
    scheme = cast(Literal["http", "https"], parts.scheme)
    query = f"?{parts.query}" if parts.query else ""
    return HttpUrl(scheme, host, port or _PORTS[scheme], _encoded((parts.path or "/") + query))


def shown(url: str) -> str:
    """The URL, be it one or not, without what may be a secret: user name and password, query and fragment."""
    head, slashes, rest = url.partition("?")[0].partition("#")[0].partition("//")
    authority, slash, path = rest.partition("/")
    return head + slashes + authority.rpartition("@")[2] + slash + path


def _host(authority: str) -> str:
    """Not urlsplit's: it takes the part in brackets of `[::1].evil`, and tells nothing of the rest."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::\d*)?", authority)
    if found is None:
        raise ValueError("names no host")
    if found[1]:
        return str(IPv6Address(found[1]))
    host = found[2].lower().removesuffix(".")
    if not host.isascii():
        raise ValueError("a host name with other letters than ASCII must be written as xn--…")
    if not is_host_name(host):
        raise ValueError("names no host")
    return host


def _encoded(target: str) -> str:
    """Letters beyond ASCII as UTF-8, percent-encoded; whatever is ASCII stays as it is."""
    try:
        return "".join(char if char.isascii() else quote(char) for char in target)
    except UnicodeEncodeError:
        raise ValueError("holds half a character") from None


def check_http_url(text: str, where: str) -> str:
    """The URL as it will be asked. Raises InvalidRequest. Whether its host may be asked is known only when it is."""
    try:
        return str(parse_http_url(text))
    except ValueError as error:
        raise InvalidRequest(f"this is no URL that can be asked: {error}", where=where) from None
