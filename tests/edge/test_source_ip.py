"""One caller is one address, whatever proxies are between."""

import logging
from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest

from hero_broker.core.calls import Caller
from hero_broker.core.errors import InvalidRequest
from hero_broker.edge.source_ip import SourceIp
from hero_broker.util.once_per_minute import MAX_REMEMBERED

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
    caller = source_ip().resolve((peer, 1), forwarded_for("198.51.100.1"))

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
        # Without brackets, a port cannot be told from the last group of an address, which it is read as (RFC 5952, 6).
        pytest.param(["2001:db8::1:80"], "2001:db8::1:80", id="IPv6 that ends like a port"),
        pytest.param(["198.51.100.1, 2001:db8::1:443"], "2001:db8::1:443", id="IPv6 that ends like another port"),
        pytest.param(["203.0.113.7, 2001:db8::1:65535, 10.0.0.9"], "10.0.0.9", id="IPv6 with a port of five digits"),
        pytest.param(["203.0.113.7, 2001:db8:0:0:0:0:0:1:80, 10.0.0.9"], "10.0.0.9", id="IPv6 of nine groups"),
        pytest.param(["::ffff:203.0.113.7:80, 10.0.0.9"], "10.0.0.9", id="mapped with a port"),
        pytest.param(["::ffff:203.0.113.7"], "203.0.113.7", id="mapped"),
        pytest.param(["::ffff:10.0.0.5"], "10.0.0.5", id="mapped and trusted"),
        pytest.param(["203.0.113.7, nonsense, 10.0.0.9"], "10.0.0.9", id="malformed ends the walk"),
        pytest.param(["203.0.113.7, , 10.0.0.9"], "10.0.0.9", id="empty ends the walk"),
    ],
)
def test_trusted_proxy_is_believed(lines: list[str], ip: str) -> None:
    caller = source_ip().resolve(PROXY, forwarded_for(*lines))

    assert caller == Caller(ip, "10.0.0.1")


@pytest.mark.parametrize("line", ["", "nonsense", "203.0.113.7,", "[::1", "1.2.3.4:x", "10.0.0.1"])
def test_proxy_itself_is_billed_when_it_names_nobody_else(line: str) -> None:
    assert source_ip().resolve(PROXY, forwarded_for(line)) == Caller("10.0.0.1", None)


def test_mapped_peer_is_compared_with_ipv4_networks() -> None:
    caller = source_ip().resolve(("::ffff:10.0.0.1", 1), forwarded_for("203.0.113.7"))

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
        pytest.param("for=203.0.113.7; ;proto=http;", "203.0.113.7", id="empty pairs"),
        pytest.param("for=203.0.113.7;for=203.0.113.7, for=10.0.0.9", "10.0.0.9", id="two in one element"),
        pytest.param("for=203.0.113.7, for=unknown, for=10.0.0.9", "10.0.0.9", id="unknown hop"),
        pytest.param('for="203.0.113.7:_port"', "203.0.113.7", id="hidden port"),
        pytest.param(r'for="203.0.113.\7"', "203.0.113.7", id="escaped character"),
        pytest.param("for=203.0.113.7:80", "203.0.113.7", id="port without quotes"),
        pytest.param(r'for=203.0.113.7;host="a\", for=198.51.100.1"', "203.0.113.7", id="escaped quote in a value"),
        pytest.param(r'for=203.0.113.7;host="a\\", for=10.0.0.9', "203.0.113.7", id="escaped backslash ends a value"),
        pytest.param(r'for=203.0.113.7;host="a\", for=10.0.0.9', "10.0.0.9", id="escaped quote ends nothing"),
        pytest.param("for=203.0.113.7;host, for=10.0.0.9", "10.0.0.9", id="name without a value"),
        pytest.param("for = 203.0.113.7, for=10.0.0.9", "10.0.0.9", id="blanks around the sign"),
    ],
)
def test_forwarded_is_read_as_rfc_7239(line: str, ip: str) -> None:
    caller = source_ip("Forwarded").resolve(PROXY, [(b"forwarded", line.encode())])

    assert caller == Caller(ip, "10.0.0.1")


@pytest.mark.parametrize(
    "forged",
    [
        'for=192.0.2.77;x="',
        'for="',
        'for=192.0.2.77;x="\\',
        'for=192.0.2.77;x="a\\"',
        'for=192.0.2.77, for="',
        'for=192.0.2.77;by="_x, for=',
        '"',
        '""',
        "\\",
        ",",
        "for=unknown;",
        "for=192.0.2.77",
        "",
    ],
)
@pytest.mark.parametrize(
    "appended",
    [
        'for="203.0.113.9:80"',
        "for=203.0.113.9",
        'for="[::ffff:203.0.113.9]:80";host="a\\", for=192.0.2.1, b"',
        'host="";for="203.0.113.9"',
    ],
)
@pytest.mark.parametrize("own_line", [False, True], ids=["same line", "line of its own"])
def test_element_that_a_proxy_appends_decides_whatever_stands_before_it(
    forged: str, appended: str, own_line: bool
) -> None:
    lines = [forged, appended] if own_line else [f"{forged}, {appended}"]

    caller = source_ip("forwarded").resolve(PROXY, [(b"forwarded", line.encode()) for line in lines])

    assert caller == Caller("203.0.113.9", "10.0.0.1")


@pytest.mark.parametrize(
    ("lines", "ip"),
    [
        pytest.param(["203.0.113.7"], "203.0.113.7", id="one"),
        pytest.param([" [2001:DB8::1]:443 "], "2001:db8::1", id="brackets and port"),
        pytest.param(["10.0.0.3"], "10.0.0.3", id="trusted"),
        pytest.param([], "10.0.0.1", id="no line"),
        pytest.param(["203.0.113.7", "203.0.113.7"], "10.0.0.1", id="two lines"),
        pytest.param(["203.0.113.7, 203.0.113.8"], "10.0.0.1", id="two addresses"),
        pytest.param(["unknown"], "10.0.0.1", id="no address"),
        pytest.param([""], "10.0.0.1", id="empty"),
    ],
)
def test_x_real_ip_is_one_line_with_one_address(lines: list[str], ip: str) -> None:
    caller = source_ip("X-Real-IP").resolve(PROXY, [(b"x-real-ip", line.encode()) for line in lines])

    assert caller == Caller(ip, None if ip == "10.0.0.1" else "10.0.0.1")


def test_trusted_peer_without_the_trusted_header_is_warned_of_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    reader = SourceIp(PROXIES, True, "forwarded", lambda: now)
    named = [(b"forwarded", b"for=203.0.113.7")]
    requests = [
        (0.0, PROXY, forwarded_for("203.0.113.7"), "/v1/models"),
        (59.9, PROXY, [], "/v1/models"),
        (60.0, PROXY, [(b"forwarded", b"for=unknown")], "/v1/models"),
        (60.0, ("10.0.0.2", 1), [], "/v1/models"),
        (60.0, None, [], "/v1/models"),
        (60.0, ("10.0.0.3", 1), [], "/health/ready"),
        (60.0, ("10.0.0.4", 1), named, "/v1/models"),
        (60.0, ("203.0.113.7", 1), [], "/v1/models"),
    ]

    with caplog.at_level(logging.WARNING):
        for now, peer, headers, path in requests:  # noqa: B007  # the clock reads it
            reader.resolve(peer, headers, path)

    messages = [record.getMessage() for record in caplog.records]
    assert [line.partition(" is in server.trusted_proxies")[0] for line in messages] == [
        "edge: 10.0.0.1",
        "edge: 10.0.0.1",
        "edge: 10.0.0.2",
        "edge: a Unix socket",
    ]
    assert messages[0].endswith(
        "sent no forwarded that names its client, so it is billed itself; it sent x-forwarded-for;"
        " server.trusted_header names the header that is read"
    )
    assert "it sent no other header with an address;" in messages[2]


@pytest.mark.parametrize("proxies", [PROXIES, []], ids=["others are trusted", "nobody is trusted"])
def test_untrusted_peer_that_names_an_address_is_warned_of_once_a_minute(
    proxies: list[IPv4Network | IPv6Network], caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    reader = SourceIp(proxies, False, "x-forwarded-for", lambda: now)
    peer, real_ip = ("203.0.113.7", 1), [(b"x-real-ip", b"192.0.2.1"), (b"host", b"broker")]
    requests = [
        (0.0, peer, forwarded_for("192.0.2.1") + real_ip),
        (59.9, peer, real_ip),
        (60.0, peer, real_ip),
        (60.0, ("203.0.113.8", 1), [(b"host", b"broker"), (b"x-hero-context", b"a")]),
        (60.0, None, [(b"cf-connecting-ip", b"192.0.2.1")]),
    ]

    with caplog.at_level(logging.WARNING):
        for now, client, headers in requests:  # noqa: B007  # the clock reads it
            reader.resolve(client, headers)

    messages = [record.getMessage() for record in caplog.records]
    assert [
        line.partition(", but is not in server.trusted_proxies, so it is billed itself")[0] for line in messages
    ] == [
        "edge: 203.0.113.7 sent x-forwarded-for, x-real-ip",
        "edge: 203.0.113.7 sent x-real-ip",
        "edge: a Unix socket sent cf-connecting-ip",
    ]


def test_peers_that_were_warned_of_do_not_fill_the_memory() -> None:
    reader = SourceIp(PROXIES, False, "forwarded", lambda: 0.0)

    for number in range(3 * MAX_REMEMBERED):
        reader.resolve((f"10.0.{number // 256}.{number % 256}", 1), [])

    assert 0 < len(reader._warnings) <= MAX_REMEMBERED


def test_only_the_configured_header_is_believed() -> None:
    headers = forwarded_for("198.51.100.1")

    assert source_ip("forwarded").resolve(PROXY, headers) == Caller("10.0.0.1", None)


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
    assert source_ip(trust_unix=trust_unix).resolve(None, forwarded_for(*lines)) == expected


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
    assert source_ip().resolve(PROXY, [(b"x-hero-context", value)]).context == context


def test_longer_context_is_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        source_ip().resolve(PROXY, [(b"x-hero-context", b"a" * 129)])

    assert refused.value.param == "X-Hero-Context"


def test_other_header_is_a_fault() -> None:
    with pytest.raises(ValueError, match="cf-connecting-ip"):
        SourceIp([], False, "cf-connecting-ip")
