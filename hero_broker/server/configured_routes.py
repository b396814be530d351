"""Makes the routes of the configured models, with their prices; needs neither a ledger nor a network."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from hero_broker.kinds.registry import KINDS
from hero_broker.kinds.wires import WIRES, endpoint_of_wire
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.genai_prices import GenaiPrices
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.fake.app import FAKES
from hero_broker.providers.fake.fake_kind import FakeKind
from hero_broker.providers.provider import Provider, Timeouts
from hero_broker.providers.routes import Route, Routes
from hero_broker.settings import ModelSettings, PriceSettings, ProviderSettings, Settings, UpstreamSettings

FAKE = "fake"
# By the kind of the model.
FAKE_MODELS: Mapping[str, FakeKind] = {fake.kind: fake for fake in FAKES if KINDS[fake.kind].of_models == fake.kind}


def build_routes(settings: Settings, fake_url: str | None, catalogue: Catalogue) -> Routes:
    """Return the routes of the configured models; with `fake_url`, those of the fake provider too."""
    providers = {provider.name: build_provider(provider) for provider in settings.providers}
    listed = list(providers.values())
    fake_routes = []
    if fake_url is not None:
        providers[FAKE] = build_provider(ProviderSettings(FAKE, fake_url, wires=dict.fromkeys(WIRES, fake_url)))
        fake_routes = [
            Route.to(each.model, each.kind, providers[FAKE], each.model, (), Tariff.fixed(each.price, is_override=True))
            for each in FAKE_MODELS.values()
        ]
    configured = [
        Route.to(
            model.name,
            model.kind,
            providers[model.provider],
            model.upstream_model,
            model.aliases,
            model_tariff(model, catalogue, fake=fake_url is not None),
            model.max_output_tokens,
        )
        for model in settings.models
    ]
    return Routes([*configured, *fake_routes], listed, catalogue)


def build_priced_routes(
    settings: Settings, fake_url: str | None, genai_prices: GenaiPrices
) -> tuple[Catalogue, Routes]:
    """Return the catalogue with a price list, and the routes at its prices."""
    catalogue = Catalogue(settings.price_factors, genai_prices)
    return catalogue, build_routes(settings, fake_url, catalogue)


def build_provider(settings: ProviderSettings) -> Provider:
    """Return a provider as it is reached over the first of its wires."""
    urls = settings.wire_urls
    endpoints = {wire: endpoint_of_wire(wire, url, settings.auth) for wire, url in urls.items()}
    wire, first = next(iter(endpoints.items()))
    return Provider(
        settings.name,
        first.base_url,
        settings.api_keys,
        settings.stream_usage,
        None if settings.timeouts is None else timeouts_of(settings.timeouts),
        first.dialect,
        wire,
        endpoints if len(endpoints) > 1 else {},
        settings.drop_betas,
    )


def default_models(settings: Settings, routes: Routes) -> Mapping[str, str]:
    """Return the model of requests that name none, by kind.

    If no provider serves the model of the settings, it is the first configured one of the kind.
    """
    models = {}
    for kind, model in settings.default_models.items():
        others = [route.model for route in routes.named if route.kind == kind]
        models[kind] = others[0] if others and routes.get(model) is None else model
    return models


def model_tariff(model: ModelSettings, catalogue: Catalogue, *, fake: bool) -> Tariff | None:
    """Return the tariff of a configured model: its own price, else the fake provider's, else the price list's.

    None if no price is known. Without `fake`, a provider named "fake" is an ordinary provider.
    """
    if model.price is not None:
        tiers = {tier: build_price(model.price, rates) for tier, rates in model.price_tiers.items()}
        return Tariff.fixed(build_price(model.price), tiers, is_override=True)
    if fake and model.provider == FAKE:
        fake_kind = FAKE_MODELS.get(model.kind)
        if fake_kind is None or fake_kind.model != model.upstream_model:
            return None
        return Tariff.fixed(fake_kind.price, is_override=True)
    return catalogue.tariff(model.provider, model.upstream_model)


def build_price(*settings: PriceSettings) -> Price:
    """Return the price that the operator configured; rates of later settings replace those of earlier ones."""
    rates: dict[str, Any] = {}
    for one in settings:
        rates |= {field.name: rate for field in fields(one) if (rate := getattr(one, field.name)) is not None}
    return Price(**rates, source="settings", version="settings")


def timeouts_of(upstream: UpstreamSettings) -> Timeouts:
    """Return the timeouts of a provider's calls."""
    return Timeouts(
        connect_s=upstream.connect_timeout_s,
        first_byte_s=upstream.first_byte_timeout_s,
        idle_s=upstream.idle_timeout_s,
        total_s=upstream.total_timeout_s,
        whole_s=upstream.whole_answer_timeout_s,
    )
