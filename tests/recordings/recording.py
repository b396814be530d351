"""Reads the recordings: what providers answer, each in its own shape, and what the row of such a call must have.

The files in `data` were written by hand from the pages that each TOML file names, and no answer in them is a copy.
`checked` is the day of that reading, of stored copies. `own_reference` is whether the provider's own pages show this
shape of usage; if not, it is also from answers and programs that others published. The usage, the rates and the cost
were worked out by hand too: `sum` is the calculation, in nano-USD, of units times their rates.
"""

import json
import tomllib
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from hero_broker.core.usage import Usage
from hero_broker.kinds.registry import KINDS
from hero_broker.pricing.price import Price

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Recording:
    """One answer of a provider to one call."""

    provider: str
    base_url: str
    sources: tuple[str, ...]
    own_reference: bool
    checked: date
    file: str
    kind: str
    path: str
    model: str  # the provider's name for it
    usage: Usage
    usage_source: str
    cost_source: str
    cost_nano_usd: int
    sum: str  # such as "19 × 150 + 10 × 600"
    service_tier: str | None = None
    rates: Price | None = None  # of the row's price; None if the provider reports the cost
    own_price: Price | None = None  # of the operator, for models that no list has
    request: dict[str, Any] = field(default_factory=dict)  # members beyond those of any call of the kind
    traffic_lines: tuple[int, ...] = ()  # numbers of the faults once seen in recorded traffic that it covers

    @property
    def is_stream(self) -> bool:
        """Whether the answer is a stream of events."""
        return self.file.endswith(".sse")

    @property
    def body(self) -> bytes:
        """The answer's body."""
        return (DATA / self.file).read_bytes()

    @property
    def price(self) -> Price | None:
        """The price that the row must have; None if the provider reports the cost."""
        return self.rates or self.own_price

    def request_body(self, model: str) -> bytes:
        """Return the client's request for the model of this name."""
        stream = {"stream": True} if self.is_stream else {}
        return json.dumps({**KINDS[self.kind].example, **stream, **self.request, "model": model}).encode()

    def events(self) -> list[dict[str, Any]]:
        """Return the objects of the answer: that of a whole one, or those of a stream's events.

        An event that has a whole response, as OpenAI's Responses send it, is that response.
        """
        if not self.is_stream:
            return [json.loads(self.body)]
        lines = (line.removeprefix("data: ") for line in self.body.decode().splitlines())
        events = (json.loads(line) for line in lines if line.startswith("{"))
        return [event.get("response", event) for event in events]

    def sum_nano_usd(self) -> Fraction:
        """Return what `sum` adds up to."""
        terms = [term.split(" × ") for term in self.sum.split(" + ")]
        return sum((Fraction(units) * Fraction(rate) for units, rate in terms), Fraction(0))


@cache
def recordings() -> tuple[Recording, ...]:
    """Return all recordings, by provider."""
    return tuple(one for path in sorted(DATA.glob("*.toml")) for one in _read(path))


def _read(path: Path) -> list[Recording]:
    table = tomllib.loads(path.read_text())
    shared = {name: table[name] for name in ("provider", "base_url", "own_reference", "checked")}
    return [
        Recording(
            **{
                **shared,
                **one,
                "sources": tuple(table["sources"]),
                "usage": Usage(**one["usage"]),
                "rates": _price(one.get("rates")),
                "own_price": _price(one.get("own_price")),
                "traffic_lines": tuple(one.get("traffic_lines", ())),
            }
        )
        for one in table["recordings"]
    ]


def _price(rates: dict[str, str] | None) -> Price | None:
    return None if rates is None else Price(**{name: Decimal(rate) for name, rate in rates.items()})  # type: ignore[arg-type]
