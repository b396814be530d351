"""What may be granted of a budget, and of which subject."""

from decimal import Decimal

import pytest

from hero_broker.core.errors import InvalidParams
from hero_broker.core.limits import Grant
from hero_broker.limits.definitions import Definitions, granted
from hero_broker.limits.grants import canonical_subject, fits, granted_amount
from hero_broker.limits.limit import Dimensions, Limit

USD = Limit("b", "usd", 1, window="month")
TOKENS = Limit("t", "tokens", 1, window="day", per=("ip",))
GRANT = Grant(1, "t", {"ip": "10.0.0.1"}, "tokens", 7, 1_000, 2_000, "r")


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


@pytest.mark.parametrize(
    ("limit", "amount", "expected"),
    [
        (USD, "0.000000001", 1),
        (USD, "20.5", 20_500_000_000),
        (USD, "1E+9", 10**18),
        (TOKENS, "1", 1),
        (TOKENS, "1000000000000000.0", 10**15),
    ],
)
def test_amount_is_in_the_unit_of_the_limit(limit: Limit, amount: str, expected: int) -> None:
    assert granted_amount(limit, Decimal(amount)) == expected


@pytest.mark.parametrize(
    ("limit", "amount"),
    [
        *((USD, text) for text in ("0", "-1", "0.0000000001", "1000000001", "NaN", "Infinity")),
        *((TOKENS, text) for text in ("0", "-1", "0.5", "1000000000000001")),
    ],
)
def test_amount_that_cannot_be_granted_is_refused(limit: Limit, amount: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        granted_amount(limit, Decimal(amount))

    assert caught.value.param == "amount"
    assert caught.value.reason.startswith("must be a number" if limit is USD else "must be an integer above 0, at most")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (TOKENS, True),
        (Limit("t", "usd", 1, window="day", per=("ip",)), False),
        (Limit("t", "tokens", 1, window="day", per=("ip", "model")), False),
        (Limit("t", "tokens", 1, window="minute", per=("ip",)), False),
    ],
)
def test_grant_fits_a_budget_of_its_unit_and_subjects(limit: Limit, *, expected: bool) -> None:
    assert fits(GRANT, limit) == expected


def test_grants_in_force_add_up_by_subject() -> None:
    endless = Grant(2, "t", {"ip": "10.0.0.1"}, "tokens", 3, 1_000, None, "r")
    other = Grant(3, "t", {"ip": "10.0.0.2"}, "tokens", 5, 1_000, None, "r")
    elsewhere = Grant(4, "b", {}, "usd", 9, 1_000, None, "r")
    definitions = Definitions((0, 4), (), (GRANT, endless, other, elsewhere))

    assert granted(TOKENS, definitions.in_force(1_999)[TOKENS.name]) == {("10.0.0.1",): 10, ("10.0.0.2",): 5}
    assert granted(TOKENS, definitions.in_force(2_000)[TOKENS.name]) == {("10.0.0.1",): 3, ("10.0.0.2",): 5}
    assert granted(USD, definitions.in_force(2_000)[USD.name]) == {(): 9}
    assert (definitions.first_end(1_999), definitions.first_end(2_000)) == (2_000, None)
