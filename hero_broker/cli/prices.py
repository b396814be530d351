"""`hero-broker prices`: prints the prices in force of a running broker, with the source of each rate."""

import time
from datetime import UTC, date, datetime
from typing import Annotated

import typer

from hero_broker.cli.backend import TokenOption, UrlOption, open_backend
from hero_broker.cli.printing import say, table
from hero_broker.client import methods, models

EXAMPLES = """Examples:

hero-broker prices

hero-broker prices gpt-5

hero-broker prices groq/llama-3.3-70b-versatile"""

COLUMNS = (
    ("model", False),
    ("provider", False),
    ("tier", False),
    ("rate", False),
    ("USD", False),
    ("from", False),
)


def prices(
    model: Annotated[
        str | None, typer.Argument(help="A model's name or alias, or provider/model. Without it, all that are served.")
    ] = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Print what calls cost now: each rate of each model, and where it was read.

    A tier is a tier of service with rates of its own. audio_minimum_s is in seconds, gpus is a number. A star after a
    model's name: other rates apply at other times or for longer contexts.
    """
    with open_backend(url, token) as backend:
        found = backend.call(methods.list_prices(model))
    if found.data:
        whole = max((len(_whole(rate)) for price in found.data for rate in price.rates), default=0)
        table(COLUMNS, [row for price in found.data for row in _rows(price, whole)])
    else:
        say("No model is served.")
    if model is not None:
        for source in sorted(
            {rate.source for price in found.data for rate in price.rates} - {None, "settings"}, key=str
        ):
            say(f"Source: {source}")
    for price_list in found.lists:
        say(_age(price_list, datetime.fromtimestamp(time.time(), UTC).date()))


def _whole(rate: models.PriceRate) -> str:
    return rate.value.partition(".")[0]


def _rows(price: models.PriceInForce, whole: int) -> list[list[str]]:
    """Return the rows of a price; `whole` is the width of the digits before the point, for one line of points."""
    place = [price.model + ("*" if price.varies else ""), price.provider, price.tier or ""]
    if not price.rates:
        return [[*place, "no price known", "", ""]]
    return [
        [*place, rate.rate, " " * (whole - len(_whole(rate))) + rate.value, rate.version or ""] for rate in price.rates
    ]


def _age(price_list: models.PriceList, today: date) -> str:
    """Return how old the newest price of a list is."""
    name = price_list.name if price_list.version is None else f"{price_list.name} {price_list.version}"
    if price_list.newest_price is None:
        return f"{name} has no dates."
    days = (today - date.fromisoformat(price_list.newest_price)).days
    return f"{name}: its newest price is of {price_list.newest_price}, {days} {'day' if days == 1 else 'days'} ago."
