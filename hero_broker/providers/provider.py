"""A provider: a service that answers calls, and the time limits for its requests."""

from dataclasses import dataclass

from hero_broker.kinds.dialect import OPENAI, Dialect


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
    """A service that answers calls, and how to reach it."""

    name: str
    base_url: str
    api_keys: tuple[str, ...]
    stream_usage: bool
    timeouts: Timeouts | None = None  # None: the defaults for all providers
    dialect: Dialect = OPENAI
