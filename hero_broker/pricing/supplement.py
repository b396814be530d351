"""Reads `supplement.toml`: prices and rates that genai-prices lacks, each with its source and the date of that page."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from importlib.resources import files
from typing import Any, NamedTuple, Self

from hero_broker.pricing.listing import Certainty, Listing
from hero_broker.pricing.price import RATES, Price
from hero_broker.pricing.tariff import PricePeriod, Tariff

# Common names of a provider → the supplement's name.
ALIASES = {
    "alibaba": "dashscope",
    "qwen": "dashscope",
    "jina_ai": "jina",
    "voyage": "voyageai",
    "xai": "x-ai",
    "gemini": "google",
}


class SomeModels(NamedTuple):
    """Models of a provider."""

    provider: str
    models: str  # a name, or the start of names and "*"; in lower case

    def has(self, provider: str, model: str) -> bool:
        """Return whether a model, whose name is in lower case, is one of them."""
        start = self.models.removesuffix("*")
        return provider == self.provider and (model.startswith(start) if start != self.models else model == start)


class DefaultRates(NamedTuple):
    """Rates of a provider for models whose listed price lacks them."""

    of: SomeModels
    price: Price


class Supplement:
    """The entries of `supplement.toml`, by provider and model; model names are compared without case."""

    def __init__(
        self,
        entries: Mapping[tuple[str, str], Tariff],
        defaults: Sequence[DefaultRates] = (),
        not_offered: Sequence[SomeModels] = (),
        newest: date | None = None,
    ) -> None:
        self._newest = newest
        self._defaults = tuple(defaults)
        self._not_offered = tuple(not_offered)
        self._names = tuple(entries)
        self._tariffs = {(provider, model.lower()): tariff for (provider, model), tariff in entries.items()}

    @classmethod
    def load(cls) -> Self:
        """Return the supplement that is packaged with the broker."""
        return cls.parse((files("hero_broker.pricing") / "supplement.toml").read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a supplement.

        Raises:
            ValueError: an entry does not have the form that `supplement.toml` describes; the message names them all.
        """
        faults: list[str] = []
        entries: dict[tuple[str, str], Tariff] = {}
        content = tomllib.loads(text, parse_float=Decimal)
        defaults, not_offered = [], []
        tables = (*content.get("prices", []), *content.get("defaults", []), *content.get("not_offered", []))
        newest = max((day for table in tables if isinstance(day := table.get("checked"), date)), default=None)
        for number, table in enumerate(content.get("defaults", []), start=1):
            entry = _Entry({"models": "*", **table}, model="models")
            faults += [f"defaults[{number}] ({entry.provider} {entry.model}): {fault}" for fault in entry.faults]
            some = SomeModels(entry.provider, entry.model.lower())
            defaults.append(DefaultRates(some, next(entry.tariff.prices())))
        for number, table in enumerate(content.get("not_offered", []), start=1):
            entry = _Entry(table, model="models", has_rates=False)
            faults += [f"not_offered[{number}] ({entry.provider} {entry.model}): {fault}" for fault in entry.faults]
            not_offered.append(SomeModels(entry.provider, entry.model.lower()))
        for number, table in enumerate(content.get("prices", []), start=1):
            entry = _Entry(table)
            name = f"prices[{number}] ({entry.provider} {entry.model})"
            if any((entry.provider, entry.model.lower()) == (owner, model.lower()) for owner, model in entries):
                entry.faults.append("is given twice")
            faults += [f"{name}: {fault}" for fault in entry.faults]
            entries[entry.provider, entry.model] = entry.tariff
        if faults:
            raise ValueError("\n".join(faults))
        return cls(entries, defaults, not_offered, newest)

    def find(self, provider: str, model: str) -> Listing | None:
        """Return the listing of a provider's model; None if there is no entry."""
        tariff = self._tariffs.get((ALIASES.get(provider, provider), model.lower()))
        return None if tariff is None else Listing(tariff, Certainty.ALIAS, is_exact=True)

    def newest_price(self) -> date | None:
        """Return the newest day on which an entry was checked."""
        return self._newest

    def with_defaults(self, provider: str, model: str, tariff: Tariff) -> Tariff:
        """Return the tariff of a model of another list, with the default rates of its provider that its prices lack.

        A price without a rate for output gets none: its model makes no searches.
        """
        listed_as, name = ALIASES.get(provider, provider), model.lower()
        for defaults in self._defaults:
            if defaults.of.has(listed_as, name):
                tariff = tariff.map(partial(_with_defaults, defaults.price))
        return tariff

    def offers(self, provider: str, model: str) -> bool:
        """Return whether a provider may offer a model of another list to OpenAI's clients."""
        listed_as, name = ALIASES.get(provider, provider), model.lower()
        return not any(some.has(listed_as, name) for some in self._not_offered)

    def models(self, provider: str) -> Iterable[str]:
        """Return the names of a provider's models that have an entry."""
        listed_as = ALIASES.get(provider, provider)
        return [model for owner, model in self._names if owner == listed_as]


def _with_defaults(defaults: Price, price: Price) -> Price:
    return price if price.output_per_million is None else price.with_defaults(defaults)


class _Entry:
    """One table of the file, parsed as far as possible; `faults` lists what is wrong with it."""

    def __init__(self, table: dict[str, Any], model: str = "model", *, has_rates: bool = True) -> None:
        self.faults: list[str] = []
        self.provider = self._text(table, "provider")
        self.model = self._text(table, model)
        source = self._text(table, "source")
        if not source.startswith("https://"):
            self.faults.append("source must be an https URL")
        checked = table.pop("checked", None)
        if type(checked) is not date:
            self.faults.append("checked must be a date")
        above = table.pop("above", [])
        rates = self._rates(table, has_rates=has_rates)
        bands = [rates]
        thresholds: list[int] = []
        for band in above:
            start = band.pop("input_tokens", None)
            if type(start) is not int or start <= (thresholds[-1] if thresholds else 0):
                self.faults.append("above.input_tokens must be integers in ascending order, each above 0")
                continue
            thresholds.append(start)
            bands.append({**rates, **self._rates(band, has_rates=True)})
        prices = tuple(Price(**band, source=source, version=f"supplement {checked}") for band in bands)
        self.tariff = Tariff((PricePeriod(prices, tuple(thresholds)),))

    def _text(self, table: dict[str, Any], name: str) -> str:
        value = table.pop(name, "")
        if not isinstance(value, str) or not value:
            self.faults.append(f"{name} must be a non-empty string")
            return ""
        return value

    def _rates(self, table: dict[str, Any], *, has_rates: bool) -> dict[str, Any]:
        rates = {}
        for name, value in table.items():
            if name not in RATES:
                self.faults.append(f"{name} is not a rate; the rates are {', '.join(RATES)}")
            elif type(value) not in (int, Decimal) or not Decimal(value).is_finite() or value < 0:
                self.faults.append(f"{name} must be a number of at least 0")
            else:
                rates[name] = Decimal(value)
        if bool(rates.keys() - {"audio_minimum_s"}) is not has_rates:
            self.faults.append("has no rate" if has_rates else "must have no rates")
        return rates
