"""The prices in force, as `prices.list` shows them."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple

import pytest

from hero_broker.core.inventory import PriceInForce, PriceList, PriceRate
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import PricePeriod, Tariff
from hero_broker.providers.health import HealthTracker
from hero_broker.providers.inventory import Inventory
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route, Routes

NOW = int(datetime(2026, 11, 28, tzinfo=UTC).timestamp())
OPENAI = Provider("openai", "http://127.0.0.1:1/v1", (), stream_usage=True)
OWN = Price(Decimal(1), Decimal(2), source="settings", version="settings")
CHEAP = Price(Decimal("0.5"), Decimal(2), source="settings", version="settings")


class FrozenClock(NamedTuple):
    """A clock that stands still."""

    at: int = NOW

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return 0.0


def inventory(*routes: Route, providers: tuple[Provider, ...] = (), at: int = NOW) -> Inventory:
    catalogue, clock = Catalogue(), FrozenClock(at)
    return Inventory(Routes(routes, providers, catalogue), HealthTracker(clock), clock, catalogue)


def own_rates(usd: str) -> tuple[PriceRate, ...]:
    values = {"input_per_million": usd, "output_per_million": "2"}
    return tuple(PriceRate(rate, value, "settings", "settings") for rate, value in values.items())


def test_ordinary_price_of_a_model_comes_before_its_tiers() -> None:
    route = Route.to("m", "chat", OPENAI, "up", ("alias",), Tariff.fixed(OWN, {"flex": CHEAP}, is_override=True))
    lines = [
        PriceInForce("m", "openai", "up", tier, own_rates(usd), False) for tier, usd in ((None, "1"), ("flex", "0.5"))
    ]

    served = inventory(route)

    assert served.prices(None) == lines
    assert [served.prices(name) for name in ("m", "alias", "openai/m")] == [lines] * 3
    assert served.prices("n") is None


def test_model_without_a_price_has_a_line_without_rates() -> None:
    assert inventory(Route.to("m", "chat", OPENAI, "up")).prices("m") == [
        PriceInForce("m", "openai", "up", None, (), False)
    ]


@pytest.mark.parametrize(("at", "usd"), [(NOW - 1, "1"), (NOW, "0.5")])
def test_price_is_that_of_now(at: int, usd: str) -> None:
    tariff = Tariff((PricePeriod((OWN,)), PricePeriod((CHEAP,), since=NOW)))

    [line] = inventory(Route.to("m", "chat", OPENAI, "up", (), tariff), at=at).prices("m") or []

    assert line == PriceInForce("m", "openai", "up", None, own_rates(usd), True)


def test_each_rate_of_a_listed_model_has_its_source() -> None:
    served = inventory(providers=(OPENAI,))

    line, *_ = served.prices("openai/gpt-4.1-nano") or []

    versions = {rate.rate: rate.version for rate in line.rates}
    assert versions["input_per_million"] == f"genai-prices {served.price_lists()[0].version}"
    assert str(versions["web_searches_per_thousand"]).startswith("supplement 20")
    assert all(str(rate.source).startswith("https://") for rate in line.rates)


def test_every_served_model_has_a_line_in_the_order_of_models() -> None:
    served = inventory(Route.to("m", "chat", OPENAI, "up"), providers=(OPENAI,))

    lines = served.prices(None) or []

    assert [line.model for line in lines if line.tier is None] == [model.model for model in served.models()]
    assert {"flex", "priority"} <= {line.tier for line in lines}


def test_price_lists_have_their_newest_price_up_to_today() -> None:
    [genai_prices, supplement] = Catalogue().lists(date(2026, 11, 28))

    assert (genai_prices.name, supplement.name) == ("genai-prices", "supplement")
    assert "2026-01-01" < str(genai_prices.newest_price) <= "2026-11-28"
    assert str(supplement.newest_price) > "2026-01-01"
    assert Catalogue().lists(date(1999, 1, 1))[0] == PriceList("genai-prices", genai_prices.version, None)
    assert inventory().price_lists() == [genai_prices, supplement]
