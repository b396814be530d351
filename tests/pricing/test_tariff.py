"""When a call began, in which tier it was served and how much the model read decide its price."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import PricePeriod, Tariff

A, B, C = (Price(input_per_million=Decimal(rate)) for rate in (1, 2, 3))


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_fixed_tariff_has_one_price() -> None:
    tariff = Tariff.fixed(A, is_override=True)

    assert tariff.price(0, 0) is tariff.price(2**31, 10**9) is A
    assert tariff.is_override
    assert not Tariff.fixed(A).is_override


@pytest.mark.parametrize(
    ("input_tokens", "price"),
    [(0, A), (1000, A), (1001, B), (2000, B), (2001, C), (10**9, C)],
)
def test_threshold_itself_still_costs_the_lower_price(input_tokens: int, price: Price) -> None:
    tariff = Tariff((PricePeriod((A, B, C), (1000, 2000)),))

    assert tariff.price(0, input_tokens) is price


@pytest.mark.parametrize(
    ("moment", "price"),
    [
        ("2026-05-31T23:59:59", A),
        ("2026-06-01T00:00:00", B),
        ("2026-06-30T23:59:59", B),
        ("2026-07-01T00:00:00", C),
    ],
)
def test_price_changes_on_its_day(moment: str, price: Price) -> None:
    tariff = Tariff(
        (PricePeriod((A,)), PricePeriod((B,), since=at("2026-06-01")), PricePeriod((C,), since=at("2026-07-01")))
    )

    assert tariff.price(at(moment), 0) is price


@pytest.mark.parametrize(
    ("moment", "by_day", "over_midnight"),
    [
        ("2026-06-01T00:29:59", A, C),
        ("2026-06-01T00:30:00", B, A),
        ("2026-06-01T16:29:59", B, A),
        ("2026-06-01T16:30:00", A, C),
    ],
)
def test_hours_include_their_start_and_not_their_end(moment: str, by_day: Price, over_midnight: Price) -> None:
    early, late = 30 * 60, 16 * 3600 + 30 * 60

    assert Tariff((PricePeriod((A,)), PricePeriod((B,), daily=(early, late)))).price(at(moment), 0) is by_day
    assert Tariff((PricePeriod((A,)), PricePeriod((C,), daily=(late, early)))).price(at(moment), 0) is over_midnight


def test_first_price_holds_where_none_does() -> None:
    tariff = Tariff((PricePeriod((A,), since=at("2026-06-01")), PricePeriod((B,), since=at("2026-07-01"))))

    assert tariff.price(at("2026-01-01"), 0) is A


FLEX = Tariff.fixed(A, {"flex": B, "priority": C}, is_override=True)


@pytest.mark.parametrize(
    ("tier", "price"),
    [("flex", B), ("priority", C), (None, A), ("default", A), ("standard", A), ("auto", A), ("scale", A), ("", A)],
)
def test_tier_without_prices_of_its_own_costs_the_ordinary_price(tier: str | None, price: Price) -> None:
    assert FLEX.price(0, 0, tier) is price
    assert FLEX.tiers(0) == ("flex", "priority")
    assert FLEX.is_override


def test_tier_is_found_however_an_answer_spells_it() -> None:
    assert FLEX.price(0, 0, "FLEX") is FLEX.price(0, 0, "flex") is not FLEX.price(0, 0)


def test_tier_has_prices_by_time_and_length_of_its_own() -> None:
    july = at("2026-07-01")
    flex = (PricePeriod((B,)), PricePeriod((B, C), (1000,), since=july))
    tariff = Tariff((PricePeriod((A,), tiers={"flex": flex}), PricePeriod((C,), since=at("2026-08-01"))))

    assert tariff.price(july - 1, 1001, "flex") is B
    assert tariff.price(july, 1000, "flex") is B
    assert tariff.price(july, 1001, "flex") is C
    assert tariff.price(july, 1001) is A
    assert tariff.price(at("2026-08-01"), 0, "flex") is C  # the tier ended with its period
    assert tariff.tiers(july) == ("flex",)
    assert tariff.tiers(at("2026-08-01")) == ()


def test_change_of_a_tariff_reaches_every_price() -> None:
    tariff = Tariff((PricePeriod((A, B), (10,), tiers={"flex": (PricePeriod((A,)),)}), PricePeriod((B,), since=5)))

    changed = tariff.map({A: B, B: C}.__getitem__)

    assert list(tariff.prices()) == [A, B, A, B]
    assert list(changed.prices()) == [B, C, B, C]
    assert (changed.periods[0].thresholds, changed.periods[1].since) == ((10,), 5)
