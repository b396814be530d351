"""What the fake provider has for one kind of call."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal

from starlette.requests import Request
from starlette.responses import Response

from hero_broker.pricing.price import Price

SOURCE = "fake provider"
TEXT_PRICE = Price(input_per_million=Decimal("0.59"), output_per_million=Decimal("0.79"), source=SOURCE)


@dataclass(frozen=True, slots=True)
class FakeKind:
    """How the fake provider answers one kind of call, on all of its paths."""

    kind: str  # a name of `kinds.registry`
    model: str
    price: Price
    answer: Callable[[Request], Awaitable[Response]]
    look_up: Callable[[Request], Awaitable[Response]] | None = None  # on the paths of its look-ups
    stored: Callable[[Request], Awaitable[Response]] | None = None  # on the paths of stored responses
