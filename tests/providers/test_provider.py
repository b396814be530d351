"""A provider over each of its wires, and routes to those who speak one."""

from dataclasses import replace
from decimal import Decimal

import pytest

from hero_broker.core.errors import ModelNotFound
from hero_broker.kinds.registry import KINDS
from hero_broker.kinds.wires import ANTHROPIC_WIRE, OPENAI_WIRE, RESPONSES_WIRE, WIRES
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route, Routes, Target
from hero_broker.server.configured_routes import build_provider
from hero_broker.settings import ProviderSettings

BOTH = build_provider(ProviderSettings("anthropic", "https://api.anthropic.com/v1", ("k",), drop_betas=("b-1",)))
WIRES_OF_BOTH = (OPENAI_WIRE, ANTHROPIC_WIRE)
PLAIN = Provider("p", "https://p.example/v1", ("k",), stream_usage=True)


def test_provider_has_a_base_url_and_a_way_of_the_key_for_each_wire() -> None:
    over = BOTH.over(ANTHROPIC_WIRE)

    assert over is not None
    assert (BOTH.wires, over.wires) == (WIRES_OF_BOTH, WIRES_OF_BOTH)
    assert (BOTH.base_url, over.base_url) == ("https://api.anthropic.com/v1",) * 2
    assert BOTH.dialect.headers_with("k") == {"authorization": "Bearer k"}
    assert over.dialect.headers_with("k") == {"x-api-key": "k"}
    assert (over.name, over.api_keys, over.key_fingerprints) == ("anthropic", ("k",), BOTH.key_fingerprints)
    assert over.drop_betas == ("b-1",)
    assert over.over(OPENAI_WIRE) == BOTH


def test_provider_with_one_wire_is_reached_over_it_alone() -> None:
    settings = ProviderSettings("a", "https://a.example", wires={ANTHROPIC_WIRE: "https://a.example"})
    own = build_provider(settings)

    assert (PLAIN.wires, PLAIN.over(OPENAI_WIRE), PLAIN.over(ANTHROPIC_WIRE)) == ((OPENAI_WIRE,), PLAIN, None)
    assert (own.wires, own.base_url, own.over(OPENAI_WIRE)) == ((ANTHROPIC_WIRE,), "https://a.example/v1", None)


def test_route_over_a_wire_has_the_targets_that_speak_it() -> None:
    way = replace(Route.to("m", "chat", PLAIN, "m"), targets=(Target(PLAIN, "m"), Target(BOTH, "m2")))

    over = way.over(ANTHROPIC_WIRE)

    assert over is not None
    assert [(target.provider.name, target.upstream_model) for target in over.targets] == [("anthropic", "m2")]
    assert way.over(ANTHROPIC_WIRE) is over
    assert way.over(OPENAI_WIRE) == way
    assert Route.to("m", "chat", PLAIN, "m").over(ANTHROPIC_WIRE) is None


def test_chat_model_is_called_over_every_wire_of_its_provider() -> None:
    url = "https://a.example/v1"
    every = build_provider(ProviderSettings("a", url, wires=dict.fromkeys(WIRES, url)))
    routes = Routes([Route.to("m", "chat", every, "m"), Route.to("p", "chat", PLAIN, "p")], [], Catalogue())

    by_kind = {name: routes.find("m", name).provider.wire for name, kind in KINDS.items() if kind.of_models == "chat"}

    assert by_kind == {"chat": OPENAI_WIRE, "messages": ANTHROPIC_WIRE, "responses": RESPONSES_WIRE}
    with pytest.raises(ModelNotFound, match=r"The provider p of the model 'p' does not speak the wire 'anthropic'"):
        routes.find("p", "messages")


def test_model_of_the_price_list_is_called_over_every_wire_of_its_provider() -> None:
    routes = Routes([], [BOTH], Catalogue())

    assert routes.find("claude-sonnet-4-5", "messages").provider.wire == ANTHROPIC_WIRE
    assert routes.find("claude-sonnet-4-5", "chat").provider.wire == OPENAI_WIRE


def test_operators_own_price_of_a_providers_model_is_that_of_the_first_model_that_has_one() -> None:
    own, other = (Tariff.fixed(Price(per_request=Decimal(usd)), is_override=True) for usd in (1, 2))
    listed = Tariff.fixed(Price(per_request=Decimal(3)))
    ways = [
        Route.to("a", "chat", PLAIN, "m", tariff=listed),
        Route.to("b", "chat", PLAIN, "m", tariff=own),
        Route.to("c", "chat", PLAIN, "m", tariff=other),
        Route.to("d", "chat", BOTH, "n"),
    ]
    routes = Routes(ways, [], Catalogue())

    assert routes.own_tariff("p", "m") is own
    assert routes.own_tariff("anthropic", "m") is None
    assert routes.own_tariff("anthropic", "n") is None


def test_provider_with_one_of_its_keys_uses_that_alone() -> None:
    two = build_provider(ProviderSettings("p", "https://p.example/v1", ("k1", "k2")))

    second = two.with_key(two.key_fingerprints[2])

    assert second is not None
    assert (two.only_key, second.only_key, second.api_keys) == (0, 2, ("k1", "k2"))
    assert two.with_key("00000000") is None
    assert two.with_key(None) is None


def test_provider_without_keys_is_reached_without_one() -> None:
    keyless = build_provider(ProviderSettings("p", "https://p.example/v1"))

    assert keyless.with_key(None) == keyless
    assert keyless.with_key(PLAIN.key_fingerprints[1]) is None
