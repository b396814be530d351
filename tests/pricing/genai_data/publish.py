"""Writes lists in the form in which genai-prices publishes them."""

from datetime import date, time
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
from genai_prices.data_snapshot import get_snapshot

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_NAMES = {"or_": "or", "and_": "and"}


@cache
def installed_list() -> bytes:
    """Return the list of the installed package, as it would be published."""
    return publish([_json(provider) for provider in get_snapshot().providers])


def publish(providers: list[Any]) -> bytes:
    """Return a list of providers, each an object of the list."""
    return _ENCODER.encode(providers)


def provider(name: str, **rates_by_model: dict[str, Any]) -> dict[str, Any]:
    """Return a provider with models, each with its rates; underscores in their names become dashes."""
    models = [
        {"id": model.replace("_", "-"), "match": {"equals": model.replace("_", "-")}, "prices": rates}
        for model, rates in rates_by_model.items()
    ]
    return {"id": name, "name": name, "api_pattern": name, "models": models}


def _json(value: object) -> object:
    if value is None or isinstance(value, str | int | Decimal):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_json(member) for member in value]
    members = value if isinstance(value, dict) else vars(value)
    return {
        _NAMES.get(name, name): _json(member)
        for name, member in members.items()
        if member is not None and not name.startswith("_")
    }
