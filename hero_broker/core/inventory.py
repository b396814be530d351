"""What a broker serves, as its operator sees it: never a key."""

from dataclasses import dataclass

from hero_broker.core.calls import CallKind


@dataclass(frozen=True, slots=True)
class InventoryPrice:
    """What a model costs now, in the first tier of its context lengths."""

    rates: dict[str, str]  # the settings' names of rates and exact decimals, USD; seconds for `audio_minimum_s`
    source: str | None  # where they were read
    version: str | None  # of that source
    varies: bool  # whether other rates hold at other times or for longer contexts


@dataclass(frozen=True, slots=True)
class InventoryModel:
    """A model that may be asked for."""

    model: str
    aliases: tuple[str, ...]
    kind: CallKind | None  # None for a model of the price list, which does not tell: any call may ask for it
    provider: str
    upstream_model: str
    is_configured: bool  # by the settings; False for a model of the price list
    price: InventoryPrice | None  # None where no price is known


@dataclass(frozen=True, slots=True)
class InventoryHealth:
    """How a provider has answered this broker since it started."""

    answered: int = 0  # with success, or with a refusal that was the client's fault
    failed: int = 0  # unreachable, broken off, too late, a status of 5xx, 401, 403 or 429
    last_answered_at: int | None = None  # unix seconds, UTC
    last_failed_at: int | None = None
    last_error_code: str | None = None  # as in the rows of the ledger
    is_failing: bool = False  # whether the last call failed


@dataclass(frozen=True, slots=True)
class InventoryProvider:
    """A provider that is configured."""

    provider: str
    base_url: str
    api_keys: int
    stream_usage: bool  # whether it is asked for the usage of streams
    models: int  # that the settings name
    listed_models: int  # and that only the price list knows
    health: InventoryHealth
