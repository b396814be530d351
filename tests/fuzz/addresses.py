"""Random addresses and headers, read by the program and by second readers, and forged before what a proxy appends.

`python -m tests.fuzz.addresses --minutes 10 --seed 1` prints what was tried, and ends with 1 at the first difference.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from hero_broker.core.addresses import UNKNOWN, canonical_ip, ip_key, parse_ip
from hero_broker.core.labels import canonical_target
from hero_broker.edge.source_ip import FORWARDED, FORWARDED_FOR, REAL_IP, SourceIp
from hero_broker.settings.validators import accept_network
from tests.fuzz.address_readers import (
    Malformed,
    address_bytes,
    from_left,
    from_right,
    hop_bytes,
    network_bits,
    nodes,
    plain_hops,
)

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
PEER = ("10.0.0.1", 4000)
CLIENTS = ("203.0.113.9", "2001:db8::9", "192.0.2.1", "400::7")
MEMBERS = ("10.0.0.3", "fd00::2", "10.255.255.255")

# What makes a reader lose its way.
PIECES = (
    *('"', '"', "\\", "\\\\", '\\"', ",", ", ", ";", "; ", "=", " ", "\t", "\xa0", "\x85", "\xff", "%", "[", "]", ":"),
    *("for=", 'for="', "For=", "FOR =", "for", 'x="', 'host="a, for=198.51.100.1"', 'host="', "by=", "proto=https"),
    *("192.0.2.77", "203.0.113.9:80", '"[2001:db8::1]:443"', "[2001:db8::2]", "::ffff:192.0.2.5", "fe80::1%eth0"),
    *("unknown", "_hidden", "_", ":_port", ":80", ":99999", ":", "10.0.0.3", "for=10.0.0.4", "fd00::2", "1.2.3.04"),
)
ADDRESS_PIECES = (
    *(
        "1",
        "01",
        "255",
        "256",
        "0",
        "ffff",
        "FFFF",
        "fffff",
        "g",
        "db8",
        "10.0.0.1",
        "1.2.3",
        "::",
        ":",
        ".",
        "..",
        "%",
    ),
    *(
        "%eth0",
        "/",
        "/8",
        "/32",
        "/96",
        "/128",
        "/129",
        "/08",
        "/-1",
        "/+8",
        "[",
        "]",
        " ",
        "\u0661",
        "\uff11",
        "-",
        "+",
    ),
    *(
        "::ffff:1.2.3.4",
        "::1.2.3.4",
        "2001:db8:",
        "1:2:3:4:5:6:7",
        ":8",
        "::ffff:0:0",
        "0.0.0.0",
        "0x1",
        "unknown",
        "\0",
    ),
)


class Difference(AssertionError):
    """The program read something otherwise than the second reader, or billed another than the appended address."""


class Fuzzer:
    """Tries one random case after another; the same seed gives the same cases."""

    def __init__(self, seed: int) -> None:
        self.tried: Counter[str] = Counter()
        self._random = random.Random(seed)  # noqa: S311  # the same cases again
        self._source_ips = {
            name: SourceIp(PROXIES, False, name, lambda: 0.0) for name in (FORWARDED_FOR, FORWARDED, REAL_IP)
        }
        self._checks: tuple[Callable[[], str], ...] = (
            self._address,
            self._network,
            self._forwarded,
            self._forwarded_for,
            self._real_ip,
            self._appended_element,
            self._appended_hop,
        )

    def run(self, *, cases: int | None = None, seconds: float | None = None) -> None:
        """Try so many cases, or for so long.

        Raises:
            Difference: one of them showed a fault.
        """
        until = None if seconds is None else time.monotonic() + seconds
        while (cases is None or self.tried.total() < cases) and (until is None or time.monotonic() < until):
            for check in self._checks:
                self.tried[check()] += 1

    def _address(self) -> str:
        text = self._text(ADDRESS_PIECES, 5) if self._random.random() < 0.7 else self._spelled()
        expected = address_bytes(text)
        try:
            found: bytes | None = ip_key(canonical_ip(text))
        except ValueError:
            found = None
        _same(text, found, expected)
        if found is None:
            return "text that is no address"
        _same(text, canonical_ip(str(parse_ip(text))), canonical_ip(text))
        return "addresses in any spelling"

    def _network(self) -> str:
        text = self._text(ADDRESS_PIECES, 4)
        if self._random.random() < 0.5:
            text = f"{self._spelled()}/{self._random.randrange(130)}"
        if "%" in text or text == UNKNOWN or ("/" in text and not _has_plain_length(text)):
            return "networks with a zone or a mask, left out"
        expected = network_bits(text)
        for read in (accept_network, lambda text: ip_network(canonical_target(text))):
            try:
                found: tuple[bytes, int] | None = _bits(read(text))
            except ValueError:
                found = None
            _same(text, found, expected)
        return "text that is no network" if expected is None else "networks"

    def _forwarded(self) -> str:
        lines = self._lines()
        whole = ",".join(lines)
        read = nodes(from_right(whole))
        try:
            _same(lines, read, nodes(from_left(whole))[::-1])
            kind = "Forwarded by the grammar"
        except Malformed:
            kind = "Forwarded that is malformed"
        _same(
            lines, self._billed(FORWARDED, lines), _walk([None if node is None else hop_bytes(node) for node in read])
        )
        return kind

    def _forwarded_for(self) -> str:
        lines = self._lines()
        expected = _walk([hop_bytes(hop) for hop in plain_hops(lines)])
        _same(lines, self._billed(FORWARDED_FOR, lines), expected)
        return "X-Forwarded-For"

    def _real_ip(self) -> str:
        lines = self._lines() if self._random.random() < 0.5 else [self._spelled()]
        found = hop_bytes(lines[0]) if len(lines) == 1 else None
        _same(lines, self._billed(REAL_IP, lines), found or address_bytes(PEER[0]))
        return "X-Real-IP"

    def _appended_element(self) -> str:
        """Whatever a client sends, the element that its proxy appends decides, and those of proxies behind that."""
        client = self._random.choice(CLIENTS)
        elements = [self._element(client), *(self._element(self._random.choice(MEMBERS)) for _ in range(self._few(3)))]
        lines = self._appended(elements)
        _same(lines, self._billed(FORWARDED, lines), address_bytes(client))
        return "elements appended to forged text"

    def _appended_hop(self) -> str:
        client = self._random.choice(CLIENTS)
        hops = [self._hop(client), *(self._hop(self._random.choice(MEMBERS)) for _ in range(self._few(3)))]
        lines = self._appended(hops)
        _same(lines, self._billed(FORWARDED_FOR, lines), address_bytes(client))
        return "hops appended to forged text"

    def _billed(self, header: str, lines: Sequence[str]) -> bytes | None:
        name = header.encode()
        caller = self._source_ips[header].resolve(PEER, [(name, line.encode("latin-1")) for line in lines])
        _same(lines, canonical_ip(caller.ip), caller.ip)
        return address_bytes(caller.ip)

    def _appended(self, own: Sequence[str]) -> list[str]:
        """Return lines that end with a proxy's own elements, each appended to the last line or a line of its own."""
        lines = self._lines()
        for each in own:
            if self._random.random() < 0.7:
                lines[-1] += self._random.choice((",", ", ", " ,", "\t,\t")) + each
            else:
                lines.append(each)
        return lines

    def _element(self, address: str) -> str:
        """Return a well-formed element of a proxy, with whatever a client may have put into its other values."""
        node = self._hop(address)
        pairs = [f"{self._random.choice(('for', 'For', 'FOR'))}={self._value(node)}"]
        pairs += [
            f"{name}={self._value(self._text(PIECES, 4))}"
            for name in self._random.sample(("host", "by", "proto", "x-for"), self._few(3))
        ]
        self._random.shuffle(pairs)
        return self._random.choice((";", "; ", " ;")).join(pairs)

    def _value(self, text: str) -> str:
        if text and not set(text) & set('",;=\\ \t') and text.isascii() and self._random.random() < 0.5:
            return text
        return (
            '"' + "".join(f"\\{each}" if each in '"\\' or self._random.random() < 0.05 else each for each in text) + '"'
        )

    def _hop(self, address: str) -> str:
        port = self._random.choice(("", "", ":1", ":65535"))
        return f"[{address}]{port}" if ":" in address and (port or self._random.random() < 0.5) else address + port

    def _spelled(self) -> str:
        """Return an address in one of its spellings."""
        if self._random.random() < 0.4:
            four = ".".join(str(self._random.choice((0, 1, 10, 127, 255))) for _ in range(4))
            return self._random.choice(("", "", "::ffff:", "::FFFF:", "0:0:0:0:0:ffff:", "::")) + four
        groups = [self._random.choice(("0", "0000", "1", "00a", "FFFF", "db8", "2001")) for _ in range(8)]
        begin = self._random.randrange(9)
        if begin < 8:
            groups[begin : begin + self._random.randrange(1, 9)] = [""]
        text = ":".join(groups)
        text = f":{text}" if text.startswith(":") else text
        text = f"{text}:" if text.endswith(":") else text
        return (text or "::") + self._random.choice(("", "", "", "%eth0"))

    def _lines(self) -> list[str]:
        return [self._text(PIECES, 8) for _ in range(1 + self._few(2))]

    def _text(self, pieces: Sequence[str], most: int) -> str:
        return "".join(self._random.choice(pieces) for _ in range(self._random.randrange(most + 1)))

    def _few(self, most: int) -> int:
        """Return 0 most often."""
        return self._random.randrange(1, most + 1) if self._random.random() < 0.4 else 0


def _walk(hops: Sequence[bytes | None]) -> bytes | None:
    """Return whom the rule bills: the nearest untrusted, else the last that could be read, else the peer."""
    billed = address_bytes(PEER[0])
    for hop in hops:
        if hop is None:
            return billed
        billed = hop
        is_member = hop[:13] == bytes(10) + b"\xff\xff\x0a" or hop[0] == 0xFD
        if not is_member:
            return billed
    return billed


def _has_plain_length(text: str) -> bool:
    """Return whether what stands after the slash is no mask, which Python's reader takes too."""
    return "." not in text.partition("/")[2]


def _bits(network: IPv4Network | IPv6Network) -> tuple[bytes, int]:
    first = ip_key(str(network.network_address))
    assert first is not None
    return first, network.prefixlen + 128 - network.max_prefixlen


def _same(what: object, found: object, expected: object) -> None:
    if found != expected:
        raise Difference(f"{what!r}: the program says {found!r}, the second reader {expected!r}")


def main() -> int:
    """Run for some minutes, and print what was tried."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=1.0)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    fuzzer = Fuzzer(chosen.seed)
    try:
        fuzzer.run(seconds=chosen.minutes * 60)
    except Difference as difference:
        sys.stdout.write(f"seed {chosen.seed}, case {fuzzer.tried.total() + 1}: {difference}\n")
        return 1
    for kind, count in sorted(fuzzer.tried.items()):
        sys.stdout.write(f"{count:>12,}  {kind}\n")
    sys.stdout.write(f"{fuzzer.tried.total():>12,}  in all, seed {chosen.seed}: no difference\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
