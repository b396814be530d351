"""Rates are compared where they stand: by name, tier, time and length of the context."""

from decimal import Decimal

import pytest

from hero_broker.core.inventory import RateChange
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import PricePeriod, Tariff
from hero_broker.pricing.tariff_changes import compare_tariffs

D = Decimal
CHAT = Price(D("0.5"), D(2), source="list", version="1")
DEARER = Price(D("0.6"), D(2), source="list", version="2")
CACHED = Price(D("0.5"), D(2), cached_input_per_million=D("0.1"))


@pytest.mark.parametrize(
    ("before", "after", "counts"),
    [
        pytest.param(Tariff.fixed(CHAT), Tariff.fixed(CHAT), (0, 0, 0), id="same"),
        pytest.param(
            Tariff.fixed(CHAT), Tariff.fixed(Price(D("0.50"), D(2), version="2")), (0, 0, 0), id="written otherwise"
        ),
        pytest.param(Tariff.fixed(CHAT), Tariff.fixed(DEARER), (0, 0, 1), id="changed"),
        pytest.param(Tariff.fixed(CHAT), Tariff.fixed(CACHED), (1, 0, 0), id="added"),
        pytest.param(Tariff.fixed(CACHED), Tariff.fixed(CHAT), (0, 1, 0), id="removed"),
        pytest.param(None, Tariff.fixed(CHAT), (2, 0, 0), id="new price"),
        pytest.param(Tariff.fixed(CHAT), None, (0, 2, 0), id="no price"),
        pytest.param(None, None, (0, 0, 0), id="never a price"),
        pytest.param(Tariff.fixed(CHAT), Tariff.fixed(CHAT, {"flex": CHAT}), (2, 0, 0), id="new tier"),
        pytest.param(
            Tariff.fixed(CHAT, {"flex": CHAT}), Tariff.fixed(CHAT, {"flex": DEARER}), (0, 0, 1), id="changed in a tier"
        ),
        pytest.param(
            Tariff.fixed(CHAT),
            Tariff((PricePeriod((CHAT,)), PricePeriod((DEARER,), since=5))),
            (2, 0, 0),
            id="from a day",
        ),
        pytest.param(
            Tariff((PricePeriod((CHAT,), since=5),)),
            Tariff((PricePeriod((CHAT,), since=6),)),
            (2, 2, 0),
            id="another day",
        ),
        pytest.param(
            Tariff((PricePeriod((CHAT, CHAT), (9,)),)),
            Tariff((PricePeriod((CHAT, DEARER), (9,)),)),
            (0, 0, 1),
            id="long",
        ),
    ],
)
def test_rates_that_differ_are_counted(before: Tariff | None, after: Tariff | None, counts: tuple[int, ...]) -> None:
    rates = compare_tariffs(before, after)

    added, removed = sum(rate.before is None for rate in rates), sum(rate.after is None for rate in rates)
    assert (added, removed, len(rates) - added - removed) == counts


def test_rate_that_differs_has_its_conditions_and_both_values() -> None:
    def tariff(price: Price) -> Tariff:
        flex = {"flex": (PricePeriod((CHAT, price), (200_000,), since=86_400),)}
        return Tariff((PricePeriod((CHAT,)), PricePeriod((CHAT,), daily=(1800, 59_400), tiers=flex)))

    assert compare_tariffs(tariff(CHAT), tariff(DEARER)) == (
        RateChange("input_per_million", "flex", 200_001, 86_400, "00:30:00-16:30:00", "0.5", "0.6"),
    )


def test_largest_relative_changes_are_first_then_those_removed_then_added() -> None:
    before = Price(D(1), D(10), D(0), cache_write_per_million=D(8), per_image=D(1))
    after = Price(D(3), D(20), D(1), cache_write_per_million=D(2), per_request=D(1))

    rates = compare_tariffs(Tariff.fixed(before), Tariff.fixed(after))

    assert [(rate.rate, rate.before, rate.after) for rate in rates] == [
        ("cached_input_per_million", "0", "1"),
        ("cache_write_per_million", "8", "2"),
        ("input_per_million", "1", "3"),
        ("output_per_million", "10", "20"),
        ("per_image", "1", None),
        ("per_request", None, "1"),
    ]
