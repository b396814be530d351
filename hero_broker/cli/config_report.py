"""Formats what a broker would serve, and what typical calls would cost, as text lines."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from hero_broker.cli.notices import counted
from hero_broker.core.money import usd_text
from hero_broker.kinds.registry import DEFAULT_KIND
from hero_broker.kinds.typical import is_priced, typical_cost
from hero_broker.kinds.wires import OPENAI_WIRE
from hero_broker.limits.doubts import doubts_about
from hero_broker.limits.limit import Limit
from hero_broker.limits.sentences import sentence
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.plausibility import price_warnings
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route, Routes
from hero_broker.server.configured_routes import build_price
from hero_broker.settings import ModelSettings, PriceSettings, Settings
from hero_broker.settings.known_providers import KNOWN_PROVIDERS

MAX_NAMES = 12


def report_lines(settings: Settings, served: Routes) -> Iterator[str]:
    """Yield what would be served, without secrets."""
    for listen in settings.server.listen:
        yield f"listen    {listen}"
    for provider in served.every_provider:
        place = f"at {provider.base_url}, {counted(len(provider.api_keys), 'key')}" if provider.base_url else "built in"
        wires = "" if provider.wires == (OPENAI_WIRE,) or not provider.base_url else f", {_wires_text(provider)}"
        yield f"provider  {provider.name} {place}{wires}"
    for route in served.named:
        yield f"model     {route.model} ({route.kind}) at {route.provider.name}: {_price_text(route)}"
    for provider_name, count in Counter(provider.name for _, provider in served.listed()).items():
        yield f"models    {count} at {provider_name} that the price list knows; GET /v1/models names them"
    for limit in settings.limits:
        yield f"limit     {limit.name}: {sentence(limit)}"


def _wires_text(provider: Provider) -> str:
    """Return the wires of a provider, those at a URL of their own with it."""
    reached = [found for wire in provider.wires if (found := provider.over(wire)) is not None]
    own = (f"{one.wire} at {one.base_url}" if one.base_url != provider.base_url else one.wire for one in reached)
    return f"{'wire' if len(reached) == 1 else 'wires'} {' and '.join(own)}"


def model_lines(served: Routes) -> str:
    """Return the names of the models on one line."""
    named = [route.model for route in served.named]
    listed = sum(1 for _ in served.listed())
    first = list(islice(named, MAX_NAMES))
    more = len(named) - len(first)
    names = ", ".join(first) + (f" and {more} more" if more else "")
    if not listed:
        return names or "none"
    return f"{names}; {listed} of the price list" if names else f"{listed} of the price list"


def nothing_served(served: Routes) -> str | None:
    """Return advice if no model is served; None if there is a model."""
    if served.named or next(served.listed(), None) is not None:
        return None
    if served.every_provider:
        return "no model is served: the price list knows none of the providers; name models in [[models]]"
    variables = ", ".join(provider.variable for provider in KNOWN_PROVIDERS)
    return f"no provider is configured, so no model is served: set one of {variables}, or write [[providers]]"


def warnings(settings: Settings, served: Routes, catalogue: Catalogue) -> Iterator[str]:
    """Yield warnings: no model, ambiguous names, models without a price, implausible prices, idle limits."""
    if (nothing := nothing_served(served)) is not None:
        yield nothing
    yield from _double_names(settings.models)
    refused = _without_a_price(settings)
    for model, route in zip(settings.models, served.named, strict=False):  # the fake provider's models come last
        if route.tariff is None:
            yield f"models.{model.name}: no price is known; its calls {refused}"
        elif not is_priced(route.tariff, model.kind):
            yield f"models.{model.name}: its price has no rate for calls of the kind {model.kind}; they {refused}"
        if model.price is not None:
            yield from _doubts(model, model.price, catalogue)
            for tier, rates in model.price_tiers.items():
                yield from _doubts(model, rates, catalogue, tier)
    server = settings.server
    yield from doubts_about(settings.limits, server.allowed_clients, server.max_calls, server.max_calls_per_address)
    for limit in settings.limits:
        yield from _model_doubts(limit, served)


def _without_a_price(settings: Settings) -> str:
    """Return what becomes of calls that have no price."""
    if settings.billing.unpriced == "refuse":
        return "are refused"
    budgets = [limit.name for limit in settings.limits if limit.refuses_unpriced]
    refusing = f", and refused where {' or '.join(budgets)} counts them" if budgets else ""
    return f"are counted as unpriced{refusing}"


def _model_doubts(limit: Limit, served: Routes) -> Iterator[str]:
    """Yield the doubt about the model of a limit, if no call is counted under its name."""
    name = limit.match.model
    route = None if name is None else served.get(name)
    if name is not None and route is None:
        yield f"limits.{limit.name}: no model {name} is served, so the limit bounds nobody"
    elif route is not None and route.model != name:
        yield f"limits.{limit.name}: {name} is another name of the model {route.model}, so the limit bounds nobody"


def _doubts(model: ModelSettings, rates: PriceSettings, catalogue: Catalogue, tier: str | None = None) -> Iterator[str]:
    """Yield the doubts about the rates of a model, or of one of its tiers."""
    key = f"models.{model.name}.price" + ("" if tier is None else f".tiers.{tier}")
    listed = catalogue.tariff(model.provider, model.upstream_model)
    expected = None if listed is None else listed.price(int(time.time()), 0, tier)
    yield from (f"{key}: {doubt}" for doubt in price_warnings(build_price(rates), expected))


def _double_names(models: Sequence[ModelSettings]) -> Iterator[str]:
    """Yield a warning for each `provider/model` that another model's name or alias hides."""
    places = {f"{model.provider}/{model.name}": f"models[{index}]" for index, model in enumerate(models)}
    for index, model in enumerate(models):
        for name in (model.name, *model.aliases):
            other = places.get(name)
            if other not in (None, f"models[{index}]"):
                yield f"models[{index}]: {name} is this model, and not provider/model of {other}"


def _price_text(route: Route) -> str:
    if route.tariff is None:
        return "no price known"
    price = route.tariff.price(int(time.time()), 0)
    typical = typical_cost(price, route.kind or DEFAULT_KIND)
    return f"rates {price.rates}" if typical is None else f"{typical[0]} cost {usd_text(typical[1])} USD"
