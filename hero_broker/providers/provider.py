"""A provider: a service that answers calls, and the time limits for its requests."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import urlsplit

from hero_broker.kinds.dialect import OPENAI, Dialect
from hero_broker.kinds.wires import OPENAI_WIRE, Endpoint

# Hosts whose `usage.cost` is what a call costs: https://openrouter.ai/docs/use-cases/usage-accounting
_REPORTING_COSTS = ("openrouter.ai",)
FINGERPRINT_DIGITS = 8  # hexadecimal; they tell an operator's keys apart and reveal none


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits for one request to a provider, in seconds."""

    connect_s: float = 5
    first_byte_s: float = 60  # of an event stream
    idle_s: float = 60
    total_s: float = 600
    whole_s: float = 600  # silence before the body of a response that is not streamed


@dataclass(frozen=True, slots=True)
class Provider:
    """A service that answers calls, and how to reach it over one of its wires."""

    name: str
    base_url: str  # of `wire`
    api_keys: tuple[str, ...]
    stream_usage: bool
    timeouts: Timeouts | None = None  # None: the defaults for all providers
    dialect: Dialect = OPENAI  # of `wire`
    wire: str = OPENAI_WIRE
    endpoints: Mapping[str, Endpoint] = field(
        default_factory=dict, hash=False
    )  # by wire, all of them; empty if it has only one
    drop_betas: tuple[str, ...] = ()  # betas of Anthropic that it does not know, and that are not sent to it
    only_key: int = 0  # the number of the key that is used, from 1; 0: all keys in turn
    # Its answers say what they cost, so a model needs no price to be billed.
    reports_costs: bool = field(init=False)
    # The first digits of the SHA-256 of each of `api_keys`, by its number from 1; None for 0, which is no key.
    key_fingerprints: tuple[str | None, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Compute what is derived once, not for each call."""
        host = urlsplit(self.base_url).hostname or ""
        reports = any(host == known or host.endswith(f".{known}") for known in _REPORTING_COSTS)
        object.__setattr__(self, "reports_costs", reports)
        digests = [hashlib.sha256(key.encode()).hexdigest() for key in self.api_keys]
        object.__setattr__(self, "key_fingerprints", (None, *(digest[:FINGERPRINT_DIGITS] for digest in digests)))

    @property
    def wires(self) -> tuple[str, ...]:
        """The wires that it speaks."""
        return tuple(self.endpoints) or (self.wire,)

    def over(self, wire: str) -> Self | None:
        """Return the provider as it is reached over a wire; None if it does not speak it."""
        if wire == self.wire:
            return self
        endpoint = self.endpoints.get(wire)
        if endpoint is None:
            return None
        return replace(self, base_url=endpoint.base_url, dialect=endpoint.dialect, wire=wire)

    def with_key(self, fingerprint: str | None) -> Self | None:
        """Return the provider as it is reached with one key alone, or without any; None if that is not possible now.

        `fingerprint` is one of `key_fingerprints`.
        """
        if fingerprint is None:
            return None if self.api_keys else self
        if fingerprint not in self.key_fingerprints:
            return None
        return replace(self, only_key=self.key_fingerprints.index(fingerprint))
