"""Which addresses belong to everybody, and what an operator's allow-list lets through."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from jobs.addresses import AllowList, address_of, is_public, unwrapped
from jobs.errors import InvalidRequest
from jobs.settings import OutboundSettings, load

INTERNAL = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "3fff::1", "5f00::1", "fc00::1",
    "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "4000::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "169.253.1.1", "223.255.255.254",
    "2606:4700:4700::1111", "2a00:1450:4001:82b::200e", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
]  # fmt: skip


@pytest.mark.parametrize("text", INTERNAL)
def test_what_is_not_everybodys(text):
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_everybodys(text):
    assert is_public(ip_address(text))


def test_an_address_inside_another_is_found():
    for text in ("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::9"):
        assert unwrapped(ip_address(text)) == ip_address("10.0.0.1")


def test_the_allow_list_knows_names_addresses_networks_and_ports():
    allowed = AllowList.parse("Minio.Local, hooks:8080, 10.0.0.5, 10.1.0.0/16, [fd00::5]:443, fd01::/16, 127.0.0.1:80,")
    assert allowed.names("minio.local", 9)
    assert allowed.names("hooks", 8080)
    assert not allowed.names("hooks", 80)
    assert not allowed.names("evil.minio.local", 9)
    holds = {
        ("10.0.0.5", 1): True, ("10.0.0.6", 1): False, ("10.1.200.3", 1): True, ("::ffff:10.1.0.1", 1): True,
        ("fd00::5", 443): True, ("fd00::5", 80): False, ("fd01::9", 80): True, ("127.0.0.1", 80): True,
        ("127.0.0.1", 81): False,
    }  # fmt: skip
    for (text, port), expected in holds.items():
        assert allowed.holds(ip_address(text), port) is expected, text


@pytest.mark.parametrize(
    "text",
    ["10.0.0.256", "10.0.0.0/33", "10.0.0.1/8", "a b", "http://x", "x:0", "x:99999", "[::1", "::g", "x/24", "-a"],
)
def test_a_slip_in_the_allow_list_is_told(text, monkeypatch):
    with pytest.raises(ValueError, match=r"port|no host name"):
        AllowList.parse(text)
    monkeypatch.setenv("PAGEMILL_OUTBOUND_ALLOW", text)
    with pytest.raises(InvalidRequest) as raised:
        load(OutboundSettings)
    assert raised.value.where == "PAGEMILL_OUTBOUND_ALLOW"


def test_odd_spellings_are_names_for_the_resolver():
    for text in ("2130706433", "0x7f000001", "0177.0.0.1", "127.1"):
        assert address_of(text) is None
