"""Reads a price list in the form in which genai-prices publishes it: a JSON array of providers.

Source: https://github.com/pydantic/genai-prices/tree/main/prices/new_data/v2, `data.json` and `data_slim.json`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, time
from decimal import Decimal
from itertools import islice
from typing import Annotated, TypeAlias

import msgspec

from hero_broker.pricing.genai_data import types
from hero_broker.pricing.genai_data.expressions import UnsafeExpression, check_expression
from hero_broker.pricing.genai_data.matching import MAX_NAME
from hero_broker.pricing.genai_data.types import ListedModel, ListedProvider, MatchLogic, Rates
from hero_broker.pricing.genai_data.units import UNITS
from hero_broker.util.nearest import did_you_mean, nearest

MAX_RATE = 1_000_000  # USD; as in the settings
MAX_PLACES = 20  # decimal places of a rate, so that it stays a short number
MAX_START = 1_000_000_000  # input tokens
MAX_URL = 1000  # characters
# Whatever is in a list is looked at in one thread, so nothing may be much more than what is published. In parentheses,
# the most that the list of November 2026 has.
MAX_PROVIDERS = 500  # (47)
MAX_MODELS = 10_000  # of a provider (923)
MAX_CLAUSES = 50_000  # of all providers and models (4,697)
MAX_DEPTH = 20  # of clauses (3)
MAX_TIERS = 100  # of a rate (2)
MAX_PRICES = 2000  # of a model, which are made of its conditions, its tiers of service and the tiers of its rates (44)
MAX_ALL_PRICES = 50_000  # of all models (3,570)
MAX_MEMBERS = 100  # of other arrays and objects (6)
# (73, which take 22,574 steps together)
MAX_EXPRESSIONS = 1000
MAX_STEPS = 2_000_000  # of all expressions for one name
NESTED = "clauses are nested too deeply"
FAULTS_SHOWN = 10
MAX_FAULTS = 100  # that are counted: to look for the nearest rates takes a millisecond each


class UnreadableList(ValueError):
    """The content is not a price list, or a part of it cannot be used; the message says which."""


class _Clause(msgspec.Struct, forbid_unknown_fields=True):
    equals: str | None = None
    starts_with: str | None = None
    ends_with: str | None = None
    contains: str | None = None
    regex: str | None = None
    or_: "list[_Clause] | None" = msgspec.field(default=None, name="or")
    and_: "list[_Clause] | None" = msgspec.field(default=None, name="and")


class _Tier(msgspec.Struct):
    start: Annotated[int, msgspec.Meta(ge=0, le=MAX_START)]
    price: Decimal


class _TieredPrices(msgspec.Struct):
    base: Decimal
    tiers: list[_Tier]  # at most `MAX_TIERS`


_Few = msgspec.Meta(max_length=MAX_MEMBERS)
_Prices: TypeAlias = Annotated[dict[str, Decimal | _TieredPrices | None], _Few]


class _Constraint(msgspec.Struct, forbid_unknown_fields=True):
    start_date: date | None = None
    start_time: time | None = None
    end_time: time | None = None


class _ConditionalPrice(msgspec.Struct):
    prices: _Prices
    constraint: _Constraint | None = None


class _PriceVariant(msgspec.Struct):
    when: Annotated[dict[str, str], _Few]
    prices: _Prices
    constraint: _Constraint | None = None


class _Model(msgspec.Struct):
    id: str
    match: _Clause
    prices: _Prices | Annotated[list[_ConditionalPrice], _Few]
    deprecated: bool | None = None
    price_variants: Annotated[list[_PriceVariant], _Few] | None = None


class _Provider(msgspec.Struct):
    id: str
    models: Annotated[list[_Model], msgspec.Meta(max_length=MAX_MODELS)]
    pricing_urls: Annotated[list[str], _Few] | None = None
    provider_match: _Clause | None = None
    fallback_model_providers: Annotated[list[str], _Few] | None = None


_DECODER = msgspec.json.Decoder(Annotated[list[_Provider], msgspec.Meta(max_length=MAX_PROVIDERS)])


def read_published(content: bytes) -> tuple[ListedProvider, ...]:
    """Return the providers of a published list, in its order. All of it is checked.

    Raises:
        UnreadableList: the content has another form, no model with a price, or a rate that is negative or too high.
    """
    try:
        providers = _DECODER.decode(content)
        faults = list(islice(_all_faults(providers), MAX_FAULTS + 1))
        if faults:
            raise UnreadableList(_summary(faults))
        listed = tuple(_provider(provider) for provider in providers)
    except RecursionError as error:
        raise UnreadableList(NESTED) from error
    except msgspec.MsgspecError as error:
        raise UnreadableList(str(error)) from error
    if not any(_rates(model) for provider in providers for model in provider.models):
        raise UnreadableList("it has no model with a price")
    return listed


def _summary(faults: Sequence[str]) -> str:
    more = min(len(faults), MAX_FAULTS) - FAULTS_SHOWN
    if more <= 0:
        return "; ".join(faults)
    at_least = "at least " if len(faults) > MAX_FAULTS else ""
    return "; ".join([*faults[:FAULTS_SHOWN], f"and {at_least}{more:,} more faults"])


def _all_faults(providers: Sequence[_Provider]) -> Iterator[str]:
    for provider in providers:
        yield from _faults(provider)
    for name in _repeated([provider.id for provider in providers]):
        yield f"the provider {name[:MAX_NAME]!a} is there twice"
    yield from _faults_of_all(providers)


def _faults_of_all(providers: Sequence[_Provider]) -> Iterator[str]:
    """Yield what is too much of a list as a whole."""
    models = [model for provider in providers for model in provider.models]
    if sum(_number_of_prices(model) for model in models) > MAX_ALL_PRICES:
        yield f"its models have more than {MAX_ALL_PRICES:,} prices"
    clauses = [clause for provider in providers for clause in _clauses(provider)]
    if len(clauses) > MAX_CLAUSES:
        yield f"it has more than {MAX_CLAUSES:,} clauses"
    expressions = [clause.regex for clause in clauses if clause.regex is not None]
    if len(expressions) > MAX_EXPRESSIONS:
        yield f"it has more than {MAX_EXPRESSIONS:,} regular expressions"
    elif sum(_steps(expression) for expression in expressions) > MAX_STEPS:
        yield f"its regular expressions may take more than {MAX_STEPS:,} steps for one name"


def _steps(expression: str) -> int:
    try:
        return check_expression(expression)
    except UnsafeExpression:
        return 0  # a fault of its own


def _clauses(provider: _Provider) -> Iterator[_Clause]:
    """Yield all clauses of a provider and of its models, at any depth."""
    waiting = [model.match for model in provider.models]
    if provider.provider_match is not None:
        waiting.append(provider.provider_match)
    while waiting:
        clause = waiting.pop()
        yield clause
        waiting += [*(clause.or_ or ()), *(clause.and_ or ())]


def _repeated(names: Sequence[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _faults(provider: _Provider) -> Iterator[str]:
    """Yield what the types do not say: about names, clauses, regular expressions, constraints and rates."""
    if not _is_name(provider.id):
        yield f"{provider.id[:MAX_NAME]!a} is no name of a provider"
        return
    for url in provider.pricing_urls or ():
        if not url.isprintable() or len(url) > MAX_URL:
            yield f"{provider.id}: {url[:MAX_NAME]!a} is no URL"
    for name in provider.fallback_model_providers or ():
        if not _is_name(name):
            yield f"{provider.id}: {name[:MAX_NAME]!a} is no name of a provider"
    if provider.provider_match is not None:
        yield from (f"{provider.id}: {fault}" for fault in _clause_faults(provider.provider_match))
    for model in provider.models:
        if not _is_name(model.id):
            yield f"{provider.id}: {model.id[:MAX_NAME]!a} is no name of a model"
            continue
        place = f"{provider.id} {model.id}"
        yield from (f"{place}: {fault}" for fault in _clause_faults(model.match))
        for constraint in _constraints(model):
            given = (constraint.start_date, constraint.start_time, constraint.end_time)
            if tuple(one is not None for one in given) not in ((True, False, False), (False, True, True)):
                yield f"{place}: a constraint must have start_date, or start_time and end_time"
        for text in (text for one in model.price_variants or () for pair in one.when.items() for text in pair):
            if not _is_name(text):
                yield f"{place}: {text[:MAX_NAME]!a} is no name of a tier"
        yield from (f"{place}: {fault}" for fault in _size_faults(model))
        for name in dict.fromkeys(name for one in _priced(model) for name in one.prices if name not in UNITS):
            question = did_you_mean([f'"{unit}"' for unit in nearest(name, UNITS, 1)])
            yield f"{place}: {name[:MAX_NAME]!a} is no known rate{question and ': '}{question}"
        for name, rate in _rates(model):
            if name in UNITS and not _is_rate(rate):
                form = f"from 0 to {MAX_RATE:,} with at most {MAX_PLACES} decimal places"
                yield f"{place}: {name} must be {form}, not {str(rate)[:MAX_NAME]}"


def _size_faults(model: _Model) -> Iterator[str]:
    for one in _priced(model):
        for name, rate in one.prices.items():
            if isinstance(rate, _TieredPrices) and len(rate.tiers) > MAX_TIERS:
                yield f"{name[:MAX_NAME]!a} must have at most {MAX_TIERS} tiers, not {len(rate.tiers):,}"
    if _number_of_prices(model) > MAX_PRICES:
        yield f"its conditions, variants and tiers make more than {MAX_PRICES:,} prices"


def _number_of_prices(model: _Model) -> int:
    """Return how many prices a tariff of the model has at most."""
    starts = {
        tier.start
        for one in _priced(model)
        for rate in one.prices.values()
        if isinstance(rate, _TieredPrices)
        for tier in rate.tiers
    }
    conditions = 1 if isinstance(model.prices, dict) else len(model.prices)
    # A variant is a tier of service, or a further date of one; each tier also has a price before its first date.
    return conditions * (1 + 2 * len(model.price_variants or ())) * (1 + len(starts))


def _is_rate(rate: Decimal) -> bool:
    exponent = rate.as_tuple().exponent  # a letter if it is no number
    return isinstance(exponent, int) and exponent >= -MAX_PLACES and 0 <= rate <= MAX_RATE


def _is_name(text: str) -> bool:
    """Return whether a text may be shown on a terminal, and is short enough for an error."""
    return 0 < len(text) <= MAX_NAME and text.isprintable()


def _clause_faults(clause: _Clause, depth: int = 1) -> Iterator[str]:
    if depth > MAX_DEPTH:
        yield NESTED
        return
    given = [name for name in clause.__struct_fields__ if getattr(clause, name) is not None]
    if len(given) != 1:
        yield "a match must have exactly one of equals, starts_with, ends_with, contains, regex, or, and"
    if clause.regex is not None:
        try:
            check_expression(clause.regex)
        except UnsafeExpression as error:
            yield f"the regular expression {clause.regex[:MAX_NAME]!a} cannot be used: {error}"
    for text in (clause.equals, clause.starts_with, clause.ends_with, clause.contains):
        if text is not None and not _is_name(text):
            yield f"{text[:MAX_NAME]!a} is no name of a model, or no part of one"
    for each in (*(clause.or_ or ()), *(clause.and_ or ())):
        yield from _clause_faults(each, depth + 1)


def _priced(model: _Model) -> Iterator[_ConditionalPrice | _PriceVariant]:
    if isinstance(model.prices, dict):
        yield _ConditionalPrice(model.prices)
    else:
        yield from model.prices
    yield from model.price_variants or ()


def _constraints(model: _Model) -> Iterator[_Constraint]:
    return (one.constraint for one in _priced(model) if one.constraint is not None)


def _rates(model: _Model) -> list[tuple[str, Decimal]]:
    """Return the rates of a model, those of tiers included, each with the list's name of its unit."""
    rates: list[tuple[str, Decimal]] = []
    for one in _priced(model):
        for name, rate in one.prices.items():
            if isinstance(rate, _TieredPrices):
                rates += [(name, rate.base), *((name, tier.price) for tier in rate.tiers)]
            elif rate is not None:
                rates.append((name, rate))
    return rates


def _provider(provider: _Provider) -> ListedProvider:
    return types.provider(
        provider.id,
        [_model(model) for model in provider.models],
        provider.pricing_urls,
        None if provider.provider_match is None else _match(provider.provider_match),
        provider.fallback_model_providers,
    )


def _model(model: _Model) -> ListedModel:
    variants = [
        types.price_variant(one.when, _prices(one.prices), _constraint(one.constraint))
        for one in model.price_variants or ()
    ]
    prices = (
        _prices(model.prices)
        if isinstance(model.prices, dict)
        else [types.ConditionalPrice(_constraint(one.constraint), _prices(one.prices)) for one in model.prices]
    )
    return types.model_info(model.id, _match(model.match), prices, model.deprecated, variants)


def _prices(prices: _Prices) -> Rates:
    return types.model_price(**{name: _rate(rate) for name, rate in prices.items()})


def _rate(rate: Decimal | _TieredPrices | None) -> Decimal | types.TieredPrices | None:
    if not isinstance(rate, _TieredPrices):
        return rate
    return types.TieredPrices(rate.base, [types.Tier(tier.start, tier.price) for tier in rate.tiers])


def _constraint(
    constraint: _Constraint | None,
) -> types.StartDateConstraint | types.TimeOfDateConstraint | None:
    if constraint is None:
        return None
    if constraint.start_time is not None and constraint.end_time is not None:
        return types.TimeOfDateConstraint(constraint.start_time, constraint.end_time)
    return None if constraint.start_date is None else types.StartDateConstraint(constraint.start_date)


def _match(clause: _Clause) -> MatchLogic:
    """Convert a clause that has exactly one member."""
    if clause.or_ is not None:
        return types.ClauseOr(_matches(clause.or_))
    if clause.and_ is not None:
        return types.ClauseAnd(_matches(clause.and_))
    if clause.equals is not None:
        return types.ClauseEquals(clause.equals)
    if clause.starts_with is not None:
        return types.ClauseStartsWith(clause.starts_with)
    if clause.ends_with is not None:
        return types.ClauseEndsWith(clause.ends_with)
    if clause.contains is not None:
        return types.ClauseContains(clause.contains)
    return types.ClauseRegex(clause.regex or "")


def _matches(clauses: Sequence[_Clause]) -> list[MatchLogic]:
    return [_match(clause) for clause in clauses]
