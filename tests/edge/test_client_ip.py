"""One caller is one address, whoever stands between."""

from ipaddress import ip_network

import pytest

from hero_broker.core.calls import Caller
from hero_broker.core.errors import InvalidRequest
from hero_broker.edge.client_ip import SourceIp

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
PROXY = ("10.0.0.1", 4000)


def forwarded_for(*lines: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", line.encode()) for line in lines]


def source_ip(header: str = "x-forwarded-for", *, trust_unix: bool = False) -> SourceIp:
    return SourceIp(PROXIES, trust_unix, header)


@pytest.mark.parametrize(
    ("peer", "ip"),
    [
        pytest.param("203.0.113.7", "203.0.113.7", id="ipv4"),
        pytest.param("::ffff:203.0.113.7", "203.0.113.7", id="mapped"),
        pytest.param("2001:DB8:0:0::1", "2001:db8::1", id="compressed"),
        pytest.param("fe80::1%eth0", "fe80::1", id="zone"),
    ],
)
def test_untrusted_peer_is_billed_whatever_it_claims(peer: str, ip: str) -> None:
    caller = source_ip().of((peer, 1), forwarded_for("198.51.100.1"))

    assert caller == Caller(ip, None)


@pytest.mark.parametrize(
    ("lines", "ip"),
    [
        pytest.param(["203.0.113.7"], "203.0.113.7", id="one"),
        pytest.param(["198.51.100.1, 203.0.113.7, 10.0.0.9"], "203.0.113.7", id="nearest untrusted"),
        pytest.param(["198.51.100.1", "203.0.113.7"], "203.0.113.7", id="lines in order"),
        pytest.param(["10.0.0.3, fd00::2"], "10.0.0.3", id="all trusted"),
        pytest.param(["203.0.113.7:443"], "203.0.113.7", id="port"),
        pytest.param(["[2001:DB8::1]:443"], "2001:db8::1", id="brackets and port"),
        pytest.param(["[2001:db8::1]"], "2001:db8::1", id="brackets"),
        pytest.param(['"[2001:db8::1]:443"'], "2001:db8::1", id="quotes"),
        pytest.param(["::ffff:203.0.113.7"], "203.0.113.7", id="mapped"),
        pytest.param(["::ffff:10.0.0.5"], "10.0.0.5", id="mapped and trusted"),
        pytest.param(["203.0.113.7, nonsense, 10.0.0.9"], "10.0.0.9", id="malformed ends the walk"),
        pytest.param(["203.0.113.7, , 10.0.0.9"], "10.0.0.9", id="empty ends the walk"),
    ],
)
def test_trusted_proxy_is_believed(lines: list[str], ip: str) -> None:
    caller = source_ip().of(PROXY, forwarded_for(*lines))

    assert caller == Caller(ip, "10.0.0.1")


@pytest.mark.parametrize("line", ["", "nonsense", "203.0.113.7,", "[::1", "1.2.3.4:x", "10.0.0.1"])
def test_proxy_itself_is_billed_when_it_names_nobody_else(line: str) -> None:
    assert source_ip().of(PROXY, forwarded_for(line)) == Caller("10.0.0.1", None)


def test_mapped_peer_is_compared_with_ipv4_networks() -> None:
    caller = source_ip().of(("::ffff:10.0.0.1", 1), forwarded_for("203.0.113.7"))

    assert caller == Caller("203.0.113.7", "10.0.0.1")


@pytest.mark.parametrize(
    ("line", "ip"),
    [
        pytest.param("for=203.0.113.7;proto=https;by=10.0.0.2", "203.0.113.7", id="pairs"),
        pytest.param('proto=http; For="[2001:db8::1]:443"', "2001:db8::1", id="quoted ipv6"),
        pytest.param('for=203.0.113.7;host="a, for=198.51.100.1"', "203.0.113.7", id="comma in quotes"),
        pytest.param('for=", for=203.0.113.7', "203.0.113.7", id="open quote hides nothing"),
        pytest.param("for=203.0.113.7, for=_hidden, for=10.0.0.9", "10.0.0.9", id="hidden hop"),
        pytest.param("for=203.0.113.7, proto=http, for=10.0.0.9", "10.0.0.9", id="no for"),
        pytest.param("for=203.0.113.7,, for=10.0.0.9", "10.0.0.9", id="empty element"),
    ],
)
def test_forwarded_is_read_as_rfc_7239(line: str, ip: str) -> None:
    caller = source_ip("Forwarded").of(PROXY, [(b"forwarded", line.encode())])

    assert caller == Caller(ip, "10.0.0.1")


def test_only_the_configured_header_is_believed() -> None:
    headers = forwarded_for("198.51.100.1")

    assert source_ip("forwarded").of(PROXY, headers) == Caller("10.0.0.1", None)


@pytest.mark.parametrize(
    ("trust_unix", "lines", "expected"),
    [
        pytest.param(False, ["203.0.113.7"], Caller("unknown", None), id="not trusted"),
        pytest.param(True, [], Caller("unknown", None), id="no header"),
        pytest.param(True, ["nonsense"], Caller("unknown", None), id="malformed"),
        pytest.param(True, ["203.0.113.7"], Caller("203.0.113.7", "unknown"), id="trusted"),
    ],
)
def test_unix_socket_is_unknown_unless_trusted(trust_unix: bool, lines: list[str], expected: Caller) -> None:
    assert source_ip(trust_unix=trust_unix).of(None, forwarded_for(*lines)) == expected


@pytest.mark.parametrize(
    ("value", "context"),
    [
        pytest.param("tenant é".encode(), "tenant é", id="utf-8"),
        pytest.param(b"a\xff", "a\ufffd", id="replacement"),
        pytest.param(b"  ", None, id="blank"),
        pytest.param("é".encode() * 128, "é" * 128, id="128 characters"),
    ],
)
def test_context_is_the_callers_own_claim(value: bytes, context: str | None) -> None:
    assert source_ip().of(PROXY, [(b"x-hero-context", value)]).context == context


def test_longer_context_is_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        source_ip().of(PROXY, [(b"x-hero-context", b"a" * 129)])

    assert refused.value.param == "X-Hero-Context"


def test_other_header_is_a_fault() -> None:
    with pytest.raises(ValueError, match="x-real-ip"):
        SourceIp([], False, "x-real-ip")
