"""Subjects of limits that operators name."""

from ipaddress import ip_network

import pytest

from hero_broker.core.errors import InvalidParams
from hero_broker.limits.limit import Dimensions, Limit, LimitMatch
from hero_broker.limits.subjects import canonical_subject, may_count, part_of_subject


def limit_by(*per: str) -> Limit:
    return Limit("b", "usd", 1, window="month", per=per, prefix_v4=24, prefix_v6=48)


@pytest.mark.parametrize(
    ("per", "subject", "expected"),
    [
        pytest.param((), {}, {}, id="all together"),
        pytest.param(("ip",), {"ip": "::ffff:10.0.0.1"}, {"ip": "10.0.0.1"}, id="an address in another spelling"),
        pytest.param(("ip",), {"ip": "unknown"}, {"ip": "unknown"}, id="a caller on a Unix socket"),
        pytest.param(("prefix",), {"prefix": "10.0.0.0/24"}, {"prefix": "10.0.0.0/24"}, id="a prefix"),
        pytest.param(("prefix",), {"prefix": "2001:DB8:0::/48"}, {"prefix": "2001:db8::/48"}, id="a prefix of IPv6"),
        pytest.param(("prefix",), {"prefix": "unknown"}, {"prefix": "unknown"}, id="no prefix"),
        pytest.param(("label",), {"label": None}, {"label": None}, id="addresses without a label"),
        pytest.param(("label",), {"label": ""}, {"label": None}, id="addresses without a label, as a URL names them"),
        pytest.param(("ip", "context"), {"context": "", "ip": "::1"}, {"ip": "::1", "context": ""}, id="two"),
        pytest.param(("label",), {"label": "a", "ip": None}, {"label": "a"}, id="a dimension that is absent"),
        pytest.param(("model", "kind"), {"kind": "chat", "model": "m"}, {"model": "m", "kind": "chat"}, id="a model"),
    ],
)
def test_subject_is_spelled_as_counters_spell_it(
    per: tuple[str, ...], subject: dict[str, str | None], expected: dict[str, str | None]
) -> None:
    found = canonical_subject(limit_by(*per), subject)

    assert (found, list(found)) == (expected, list(per))


def test_subject_of_a_counter_is_canonical() -> None:
    limit = limit_by("prefix", "label")
    for ip in ("10.0.0.9", "2001:db8::9", "unknown"):
        subject = dict(zip(limit.per, limit.subject(Dimensions(ip)), strict=True))

        assert canonical_subject(limit, subject) == subject


@pytest.mark.parametrize(
    ("per", "subject", "reason"),
    [
        ((), {"ip": "10.0.0.1"}, "must have no members, as the limit has counters by them"),
        (("ip", "label"), {"ip": "::1"}, "must have exactly the members ip, label, as the limit has counters by them"),
        (("ip",), {"ip": None}, "ip: must be a string"),
        (("model",), {"model": None}, "model: must be a string"),
        (("ip",), {"ip": "10.0.0.0/24"}, 'ip: must be an IPv4 or IPv6 address, or "unknown"'),
        *(
            (
                ("prefix",),
                {"prefix": text},
                'prefix: must be a network of /24, an IPv6 network of /48, both without host bits, or "unknown"',
            )
            for text in ("10.0.0.1/24", "10.0.0.0/16", "2001:db8::/64", "::1%1/48", "lab")
        ),
    ],
)
def test_subject_that_no_counter_can_have_is_refused(
    per: tuple[str, ...], subject: dict[str, str | None], reason: str
) -> None:
    with pytest.raises(InvalidParams) as caught:
        canonical_subject(limit_by(*per), subject)

    assert (caught.value.param, caught.value.reason) == ("subject", reason)


def test_part_of_a_subject_is_spelled_as_counters_spell_it() -> None:
    limit = limit_by("ip", "label")

    assert part_of_subject(limit, {}) == {}
    assert part_of_subject(limit, {"ip": "::ffff:10.0.0.1", "label": None}) == {"ip": "10.0.0.1"}
    assert part_of_subject(limit, {"label": ""}) == {"label": None}


@pytest.mark.parametrize(
    ("per", "values", "reason"),
    [
        ((), {"ip": "10.0.0.1"}, "must have no members, as the limit has counters by them"),
        (("ip",), {"label": "lab"}, "must have members among ip, as the limit has counters by them"),
        (("ip",), {"ip": "lab"}, 'ip: must be an IPv4 or IPv6 address, or "unknown"'),
    ],
)
def test_part_that_no_subject_can_have_is_refused(
    per: tuple[str, ...], values: dict[str, str | None], reason: str
) -> None:
    with pytest.raises(InvalidParams) as caught:
        part_of_subject(limit_by(*per), values)

    assert (caught.value.param, caught.value.reason) == ("subject", reason)


NETWORK = LimitMatch(network=ip_network("10.0.0.0/16"), excepted=(ip_network("10.0.7.0/24"),))


@pytest.mark.parametrize(
    ("match", "subject", "expected"),
    [
        (LimitMatch(), {}, True),
        (NETWORK, {"ip": "10.0.0.1"}, True),
        (NETWORK, {"ip": "10.0.7.1"}, False),
        (NETWORK, {"ip": "unknown"}, False),
        (NETWORK, {"prefix": "10.0.0.0/24"}, True),
        (NETWORK, {"prefix": "10.0.0.0/8"}, True),
        (NETWORK, {"prefix": "10.0.7.0/24"}, False),
        (NETWORK, {"prefix": "10.1.0.0/24"}, False),
        (NETWORK, {"prefix": "2001:db8::/48"}, False),
        (NETWORK, {"prefix": "unknown"}, False),
        (LimitMatch(ip="10.0.0.1"), {"prefix": "10.0.0.0/24"}, True),
        (LimitMatch(ip="10.0.0.1"), {"prefix": "10.0.1.0/24"}, False),
        (LimitMatch(ip="unknown"), {"prefix": "10.0.1.0/24"}, False),
        (LimitMatch(ip="unknown"), {"prefix": "unknown"}, True),
        (LimitMatch(model="m"), {"ip": "::1", "model": "m"}, True),
        (LimitMatch(model="m"), {"ip": "::1", "model": "n"}, False),
        (LimitMatch(label="lab"), {"label": None}, False),
        (LimitMatch(label="lab"), {"ip": "::1"}, True),
    ],
)
def test_limit_may_count_a_subject(match: LimitMatch, subject: dict[str, str | None], *, expected: bool) -> None:
    assert may_count(Limit("b", "usd", 1, match, tuple(subject), window="month"), subject) == expected
