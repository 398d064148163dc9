"""Which internet addresses belong to everybody, and which of the others an operator allows.

Whoever may name a URL that this service then asks can make it ask what only this service reaches: its neighbours, its
loopback, the metadata of its cloud (server-side request forgery, OWASP). So an address is asked only where it is
globally routable by the IANA special-purpose registries (RFC 6890 and what came after), or allowed by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""What IANA hands out (RFC 4291, 2.4). Anything else in IPv6 is either special or nobody's."""
_NAT64 = IPv6Network("64:ff9b::/96")
"""An IPv4 address in the last 32 bits (RFC 6052)."""
_NEVER: tuple[Network, ...] = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments; older ipaddress modules know a few of them only
    IPv4Network("192.88.99.0/24"),  # 6to4 relays, withdrawn (RFC 7526)
    IPv4Network("168.63.129.16/32"),  # Azure's platform, metadata and DNS: routed nowhere else, and looks public
    IPv6Network("2001::/23"),  # protocol assignments, Teredo among them: an IPv4 address is hidden inside
    IPv6Network("3fff::/20"),  # documentation (RFC 9637); ipaddress knows it since Python 3.13
)
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
MAX_NAME = 253
"""Characters of a host name (RFC 1035, 2.3.4, without the closing dot)."""


def is_host_name(text: str) -> bool:
    """Whether these lower-case letters can be a host name. The odd spellings of IPv4 addresses (decimal, octal, hex)
    are names too: a resolver knows what they mean."""
    return len(text) <= MAX_NAME and _NAME.fullmatch(text) is not None


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped, 6to4, NAT64), or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in _NAT64:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def is_public(address: Address) -> bool:
    """Whether the address, and the one it stands for, is globally routable unicast."""
    address = unwrapped(address)
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    if any(address.version == net.version and address in net for net in _NEVER):
        return False
    # `is_global` alone would let multicast pass.
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str | None
    network: Network | None
    port: int | None
    """Any where absent."""


@dataclass(frozen=True, slots=True)
class AllowList:
    """Internal hosts that may be asked although they are not public."""

    entries: tuple[_Entry, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AllowList:
        """`"minio.local, hooks.local:8080, 10.0.0.5, 10.1.0.0/16, [fd00::5]:443"`. Raises ValueError."""
        return cls(tuple(_entry(part.strip()) for part in text.split(",") if part.strip()))

    def names(self, host: str, port: int) -> bool:
        """Whether the host is allowed by its name, whatever address that has."""
        return any(entry.name == host and entry.port in (None, port) for entry in self.entries)

    def holds(self, address: Address, port: int) -> bool:
        """Whether the address, or the one it stands for, is allowed."""
        inner = unwrapped(address)
        return any(
            entry.network is not None
            and entry.port in (None, port)
            and inner.version == entry.network.version
            and inner in entry.network
            for entry in self.entries
        )


def _entry(text: str) -> _Entry:
    host, port = _host_and_port(text)
    try:
        return _Entry(None, ip_network(host), port)
    except ValueError:
        # Digits and a slash were meant as addresses: a slip in one must not silently become a name.
        if not is_host_name(host.lower()) or re.fullmatch(r"[0-9.]+", host):
            raise ValueError(f"{text!r} is no host name, host:port, address or network") from None
    return _Entry(host.lower(), None, port)


def _host_and_port(text: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"\[([^\]]+)\](?::(\d{1,5}))?|([^:]+):(\d{1,5})", text)
    if found is None:
        return text, None
    host, port = found[1] or found[3], found[2] or found[4]
    if port is not None and not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r} has a port that does not exist")
    return host, int(port) if port else None


def address_of(host: str) -> Address | None:
    """The address that a host spells in the usual way, or None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None
