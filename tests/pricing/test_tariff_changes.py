"""Rates are compared where they stand: by name, tier, time and length of the context."""

from decimal import Decimal

import pytest

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
    assert compare_tariffs(before, after) == counts
