"""What a broker would serve and what typical calls would cost, as lines to read."""

import time
from collections.abc import Iterator
from itertools import islice

from hero_broker.app import price_of
from hero_broker.core.calls import CallKind
from hero_broker.core.money import usd_text
from hero_broker.core.usage import Usage
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.cost import cost_of
from hero_broker.pricing.plausibility import doubts
from hero_broker.pricing.price import Price
from hero_broker.providers.routing import ModelRoute, Routes
from hero_broker.settings import Settings

SHOWN_MODELS = 12

# What a typical call of each kind uses.
TYPICAL = {
    CallKind.CHAT: ("1,000 in and 1,000 out", Usage(input_tokens=1000, output_tokens=1000)),
    CallKind.COMPLETION: ("1,000 in and 1,000 out", Usage(input_tokens=1000, output_tokens=1000)),
    CallKind.EMBEDDING: ("1,000 in", Usage(input_tokens=1000, output_tokens=0)),
    CallKind.TTS: ("1,000 characters", Usage(characters=1000)),
    CallKind.STT: ("a minute of audio", Usage(audio_ms=60_000)),
    CallKind.RERANK: ("one search", Usage(search_units=1)),
}
TOKENS = ("1,000 tokens in and 1,000 out", Usage(input_tokens=1000, output_tokens=1000))


def lines(settings: Settings, served: Routes, catalogue: Catalogue) -> Iterator[str]:
    """Yield what would be served, without secrets."""
    for listen in settings.server.listen:
        yield f"listen    {listen}"
    for provider in settings.providers:
        yield f"provider  {provider.name} at {provider.base_url}, {len(provider.api_keys)} key(s)"
    for route in served.named:
        yield f"model     {route.model} ({route.kind}) at {route.provider.name}: {_told(route, catalogue)}"
    for known in served.providers:
        count = len(catalogue.models(known.name))
        if count:
            yield f"models    {count} at {known.name} that the price list knows; GET /v1/models names them"


def models(served: Routes) -> str:
    """Return the models' names in a line."""
    named = [route.model for route in served.named]
    listed = sum(1 for _ in served.listed())
    shown = list(islice(named, SHOWN_MODELS))
    more = len(named) - len(shown)
    told = ", ".join(shown) + (f" and {more} more" if more else "")
    if not listed:
        return told or "none"
    return f"{told}; {listed} of the price list" if told else f"{listed} of the price list"


def warnings(settings: Settings, catalogue: Catalogue) -> Iterator[str]:
    """Yield what looks wrong: models without a price, prices that were meant for another unit."""
    for model in settings.models:
        listed = catalogue.listed(model.provider, model.upstream_model)
        if model.price is None:
            if listed is None:
                yield f"models.{model.name}: no price is known; its calls are counted as unpriced"
            continue
        for doubt in doubts(price_of(model.price), None if listed is None else listed.price(int(time.time()), 0)):
            yield f"models.{model.name}.price: {doubt}"


def _told(route: ModelRoute, catalogue: Catalogue) -> str:
    tariff = catalogue.tariff(route.provider.name, route.upstream_model)
    if tariff is None:
        return "no price known"
    price = tariff.price(int(time.time()), 0)
    what, usage = TYPICAL[route.kind or CallKind.CHAT]
    cost = cost_of(usage, price)
    if cost is None:
        what, usage = TOKENS
        cost = cost_of(usage, price)
    return _rates(price) if cost is None else f"{what} cost {usd_text(cost)} USD"


def _rates(price: Price) -> str:
    return f"rates {price.rates}"
