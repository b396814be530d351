"""What may be granted of a budget."""

from decimal import Decimal

import pytest

from hero_broker.core.errors import InvalidParams
from hero_broker.core.limits import Grant
from hero_broker.limits.definitions import Definitions, granted
from hero_broker.limits.grants import fits, granted_amount
from hero_broker.limits.limit import Limit

USD = Limit("b", "usd", 1, window="month")
TOKENS = Limit("t", "tokens", 1, window="day", per=("ip",))
GRANT = Grant(1, "t", {"ip": "10.0.0.1"}, "tokens", 7, 1_000, 2_000, "r")


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
