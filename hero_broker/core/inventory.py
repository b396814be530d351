"""The models and providers that a broker serves, for its operator. Contains no API key."""

from dataclasses import dataclass

MAX_PRICE_LIST_BYTES = 10_000_000  # of a price list that is not compressed; the one of November 2026 has 819,000


@dataclass(frozen=True, slots=True)
class InventoryPrice:
    """What a model costs now, in the first tier of its context lengths."""

    rates: dict[str, str]  # the settings' names of rates and exact decimals, USD; but see `PriceRate`
    source: str | None  # where the rates were read
    version: str | None  # of that source
    varies: bool  # whether other rates apply at other times or for longer contexts


@dataclass(frozen=True, slots=True)
class InventoryModel:
    """A model that clients may request."""

    model: str
    aliases: tuple[str, ...]
    kind: str | None  # None for a model of the price list, which has no kinds: calls of any kind may request it
    provider: str
    upstream_model: str
    is_configured: bool  # in the settings; False for a model of the price list
    price: InventoryPrice | None  # None if no price is known


@dataclass(frozen=True, slots=True)
class PriceRate:
    """A rate of a price in force, and where it was read."""

    rate: str  # the settings' name of it
    value: str  # an exact decimal: USD, seconds for `audio_minimum_s`, a number for `gpus`
    source: str | None
    version: str | None  # of that source: "settings", or a price list and its version or date


@dataclass(frozen=True, slots=True)
class PriceInForce:
    """What calls of a model cost now, in the first tier of its context lengths."""

    model: str
    provider: str
    upstream_model: str
    tier: str | None  # the tier of service in which the provider serves the calls; None for the ordinary one
    rates: tuple[PriceRate, ...]  # empty if no price is known
    varies: bool  # whether other rates apply at other times or for longer contexts


@dataclass(frozen=True, slots=True)
class PriceList:
    """A public price list in force."""

    name: str
    version: str | None  # None for the one that is part of the broker
    newest_price: str | None  # the day from which the newest of its prices in force holds, ISO 8601
    taken_at: int | None = None  # unix seconds: when an operator gave it to the broker; None: it is installed


@dataclass(frozen=True, slots=True)
class RateChange:
    """A rate of a model that is another one with another price list, and when it applies."""

    rate: str  # the settings' name of it
    tier: str | None  # of service; None for the ordinary one
    from_input_tokens: int | None  # of a call, included; None: from none on
    since: int | None  # unix seconds, UTC; None: at any time
    daily: str | None  # times of the UTC day, such as "00:30:00-16:30:00"; None: at any time
    before: str | None  # an exact decimal, as in `PriceRate`; None: there was none
    after: str | None  # None: there is none any more


@dataclass(frozen=True, slots=True)
class ModelPriceChange:
    """A model whose price became another one with another price list."""

    model: str  # the name by which clients call it
    provider: str
    # "added" or "removed" if it had no price before or has none now, else "changed"; a model that is no longer served
    # has none.
    change: str
    # Its rates, at any time, in any tier and for any length of the context.
    rates_added: int
    rates_removed: int
    rates_changed: int
    rates: tuple[RateChange, ...]  # all of these: the largest relative changes first, then those removed, then added


@dataclass(frozen=True, slots=True)
class ModelMove:
    """A name of a model that goes to another provider with another price list."""

    model: str
    before: str  # the provider
    after: str


@dataclass(frozen=True, slots=True)
class PriceChanges:
    """What a broker's prices become with another price list."""

    lists: tuple[PriceList, ...]  # in force with it
    models: tuple[ModelPriceChange, ...]  # those whose prices change, in the order of their first rates
    moves: tuple[ModelMove, ...]
    models_removed: int  # names that are not served any more
    as_of: int  # unix seconds, UTC


@dataclass(frozen=True, slots=True)
class InventoryKey:
    """A key of a provider that rejects it; never the key itself."""

    number: int  # in the provider's `api_keys`, from 1; 0 for calls without a key
    error_code: str | None  # of the last call with it


@dataclass(frozen=True, slots=True)
class InventoryHealth:
    """How a provider has answered this broker since it started."""

    answered: int = 0  # successes, and refusals that were the client's fault
    failed: int = 0  # unreachable, broken off, too late, a status of 5xx, 401, 403 or 429
    last_answered_at: int | None = None  # unix seconds, UTC
    last_failed_at: int | None = None
    last_error_code: str | None = None  # as in the rows of the ledger
    is_failing: bool = False  # whether the last call failed
    rejected_keys: tuple[InventoryKey, ...] = ()  # by number; a key leaves the list when a call with it succeeds
    usage_faults: int = 0  # calls whose usage contradicted itself or its total


@dataclass(frozen=True, slots=True)
class InventoryProvider:
    """A configured provider."""

    provider: str
    base_url: str
    api_keys: int
    wires: tuple[str, ...]  # the formats of requests and responses that it speaks
    stream_usage: bool  # whether the broker requests usage in streams
    models: int  # that the settings list
    listed_models: int  # that only the price list has
    health: InventoryHealth
