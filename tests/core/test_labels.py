"""The longest prefix wins, and one target has one spelling."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.addresses import ip_key
from hero_broker.core.labels import LabelIndex, around, canonical_target, order

# Few bits differ, so that networks hold each other and addresses lie in them.
ADDRESSES = st.one_of(
    st.integers(0, 15).map(lambda number: IPv4Address(0xC0000200 + number)),
    st.integers(0, 15).map(lambda number: IPv6Address((0x20010DB8 << 96) + number)),
)


@st.composite
def targets(draw: st.DrawFn) -> str:
    """Return an address or a network around one."""
    address = draw(ADDRESSES)
    bits = draw(st.sampled_from([0, 8, address.max_prefixlen - 4, address.max_prefixlen - 1, address.max_prefixlen]))
    return canonical_target(str(ip_network((address, bits), strict=False)))


@given(st.dictionaries(targets(), st.text(min_size=1)), ADDRESSES)
def test_label_is_that_of_the_smallest_network_around_an_address(
    labels: dict[str, str], address: IPv4Address | IPv6Address
) -> None:
    holding = [ip_network(target) for target in labels if address in ip_network(target)]
    smallest = max(holding, key=lambda network: network.prefixlen, default=None)
    expected = None if smallest is None else labels[canonical_target(str(smallest))]

    assert LabelIndex(labels.items()).lookup(str(address)) == expected


@given(st.dictionaries(targets(), st.text(min_size=1)), targets())
def test_first_of_the_networks_around_a_target_that_has_a_label_names_it(labels: dict[str, str], target: str) -> None:
    first = next((labels[one] for one in around(target) if one in labels), None)

    assert first == LabelIndex(labels.items()).lookup_network(ip_network(target))


@given(st.dictionaries(targets(), st.text(min_size=1)), targets())
def test_label_of_a_network_is_that_of_the_smallest_around_all_of_it(labels: dict[str, str], target: str) -> None:
    asked = ip_network(target)
    holding = [found for found in map(ip_network, labels) if found.version == asked.version and _holds(found, asked)]
    smallest = max(holding, key=lambda network: network.prefixlen, default=None)
    expected = None if smallest is None else labels[canonical_target(str(smallest))]

    assert LabelIndex(labels.items()).lookup_network(asked) == expected


WIDE = st.sampled_from(["::/0", "::/64", "::fffe:0:0/95", "0.0.0.0/0", "255.255.255.255", "ffff::/16"])


@given(st.dictionaries(st.one_of(targets(), WIDE), st.sampled_from("abc")), ADDRESSES)
def test_ranges_have_the_labels_of_their_addresses(labels: dict[str, str], address: IPv4Address | IPv6Address) -> None:
    names = LabelIndex(labels.items())
    key = ip_key(str(address)) or b""

    found = [one.label for one in names.ranges if one.first <= key <= one.last]
    bounds = [bound for one in names.ranges for bound in (one.first, one.last)]
    assert found == [label for label in [names.lookup(str(address))] if label is not None]
    assert bounds == sorted(bounds)
    assert len(set(bounds[1::2])) == len(names.ranges)


def test_ranges_include_neither_unknown_nor_addresses_of_the_other_version() -> None:
    mapped = b"\0" * 10 + b"\xff\xff"

    assert LabelIndex([("unknown", "sockets")]).ranges == ()
    assert LabelIndex([("0.0.0.0/0", "v4")]).ranges == ((mapped + b"\0" * 4, mapped + b"\xff" * 4, "v4"),)
    assert [one.label for one in LabelIndex([("::/0", "v6"), ("192.0.2.1", "v4")]).ranges] == ["v6", "v4", "v6"]


def _holds(outer: object, inner: object) -> bool:
    return inner.subnet_of(outer)  # type: ignore[attr-defined,no-any-return]


def test_unknown_has_a_label_of_its_own() -> None:
    names = LabelIndex([("unknown", "sockets"), ("0.0.0.0/0", "v4"), ("::/0", "v6")])

    assert (names.lookup("unknown"), names.lookup_network(None)) == ("sockets", "sockets")
    assert (names.lookup("192.0.2.1"), names.lookup("2001:db8::1")) == ("v4", "v6")
    assert LabelIndex([("::/0", "v6")]).lookup("unknown") is None
    assert LabelIndex(()).lookup("192.0.2.1") is None


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1/32", "192.0.2.1"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("2001:DB8:0::/48", "2001:db8::/48"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", "unknown"),
    ],
)
def test_target_has_one_spelling(text: str, target: str) -> None:
    assert canonical_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nobody",
        "192.0.2.1/24",
        "192.0.2.0/33",
        "192.0.2.1:80",
        "10.1",
        "Unknown",
        "/8",
        "fe80::%eth0/64",
        "192.0.2.77%::1",
    ],
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        canonical_target(text)


def test_order_is_by_version_address_and_width() -> None:
    mixed = ["unknown", "2001:db8::1", "10.0.0.0", "::/0", "10.0.0.0/16", "192.0.2.1", "10.0.0.0/8"]

    assert sorted(mixed, key=order) == [
        "10.0.0.0/8",
        "10.0.0.0/16",
        "10.0.0.0",
        "192.0.2.1",
        "::/0",
        "2001:db8::1",
        "unknown",
    ]
