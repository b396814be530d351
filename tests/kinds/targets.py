"""What the tests of the kinds share: a target, the size of a call, prices of every kind, and streams that are cut."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

import pytest

from hero_broker.core.calls import Attempt, Caller, Outcome
from hero_broker.core.clock import SystemClock
from hero_broker.core.usage import Usage
from hero_broker.data_plane.event_stream import EventStream
from hero_broker.kinds.dialect import OPENAI, Dialect
from hero_broker.kinds.json_body import read_json
from hero_broker.kinds.kind import Kind, Measured, Request
from hero_broker.kinds.texts import Reading
from hero_broker.metering.meter import Meter
from hero_broker.pricing.price import Price

ONE = Decimal(1)
BY_TOKEN = Price(input_per_million=ONE, output_per_million=ONE)
BY_INPUT = Price(input_per_million=ONE)
BY_CHARACTER = Price(characters_per_million=ONE)
BY_MINUTE = Price(audio_per_minute=ONE)
BY_SEARCH = Price(per_thousand_searches=ONE)
BY_REQUEST = Price(per_request=ONE)
FREE = Price(per_request=Decimal(0))
MAX_LONG_EVENT_BYTES = 10_000_000
# Everything that could be measured of one call.
MEASURED = Measured(input_tokens=5, output_tokens=7, audio_ms=1_234)


@dataclass(frozen=True, slots=True)
class FrozenProvider:
    """A provider of which only the request matters."""

    base_url: str = "https://provider.example/v1"
    stream_usage: bool = True
    dialect: Dialect = OPENAI
    drop_betas: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FrozenTarget:
    """The provider of a request, and the model's name there."""

    provider: FrozenProvider = FrozenProvider()
    upstream_model: str = "upstream-m"


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a call."""

    input_bytes: int = 16_000
    characters: int | None = None


TARGET = FrozenTarget()
SIZE = Size()
SPOKEN = Size(characters=11)


def json_bytes(**members: object) -> bytes:
    """Return a request's body with a model."""
    return json.dumps({"model": "m", **members}).encode()


def read(kind: Kind, **members: object) -> Request:
    """Return the request of a body with these members and a model."""
    return kind.read(read_json(json_bytes(**members), kind.default_model))


def reading(kind: Kind, **members: object) -> Reading:
    """Return what a model reads of a body with these members."""
    return kind.request_reading(json_bytes(**members))


def reported(kind: Kind, answer: object) -> Usage | None:
    """Return the usage that a response, or an event, reports."""
    return kind.report(answer if isinstance(answer, bytes) else json.dumps(answer).encode()).usage


def events(*data: object) -> bytes:
    """Return a stream of these events: text as it is, and other values as JSON."""
    lines = (item if isinstance(item, str) else json.dumps(item, separators=(",", ":")) for item in data)
    return "".join(f"data: {line}\n\n" for line in lines).encode()


@dataclass(frozen=True, slots=True)
class Relayed:
    """What became of one stream."""

    sent: bytes  # to the client, at once
    tail: bytes  # to the client, after the row was stored
    usage: Mapping[str, object]
    source: str
    texts: tuple[str, ...]  # the output of the model


def relay(kind: Kind, pieces: Iterator[bytes], *, wants_usage: bool = False) -> Relayed:
    """Relay a stream that arrives in these pieces.

    Raises:
        ProviderError: the stream is incomplete.
    """
    caller = Caller("192.0.2.1", None)
    call = Attempt("id", kind.name, "m", "p", "m", "http://p", b"{}", caller, 0, True, wants_usage)
    meter = Meter(call, None, SystemClock())
    meter.on_response()
    stream = EventStream(call, (), meter, MAX_LONG_EVENT_BYTES)
    sent = b"".join(map(stream.feed, pieces))
    stream.end()
    tail = b"".join(item for item in stream.tail if isinstance(item, bytes))
    row = meter.close(Outcome.OK, 200, None, Usage()).row
    usage = {name: value for name in Usage.__struct_fields__ if (value := getattr(row, name)) is not None}
    return Relayed(sent, tail, usage, row.usage_source, kind.delivered_events(meter.delivered().events))


def cut(stream: bytes, *cuts: int) -> Iterator[bytes]:
    """Yield the pieces of a stream between these positions."""
    bounds = (0, *sorted(cuts), len(stream))
    return (stream[start:end] for start, end in pairwise(bounds))


def relay_however_cut(kind: Kind, stream: bytes, *, wants_usage: bool = False) -> Relayed:
    """Relay a stream whole, in two pieces cut at every byte, and byte by byte; all must become the same."""
    whole = relay(kind, cut(stream), wants_usage=wants_usage)
    for at in range(1, len(stream)):
        assert relay(kind, cut(stream, at), wants_usage=wants_usage) == whole, f"cut at {at}"
    assert relay(kind, cut(stream, *range(1, len(stream))), wants_usage=wants_usage) == whole
    return whole


# Values of a count that no ledger stores.
NO_COUNTS = [
    pytest.param(-1, id="negative"),
    pytest.param(1_000_000_001, id="too many"),
    pytest.param(10**400, id="longer than any integer"),
    pytest.param(1.5, id="part of one"),
    pytest.param("7", id="string"),
    pytest.param(True, id="true"),
    pytest.param(None, id="null"),
    pytest.param([7], id="array"),
    pytest.param({}, id="object"),
]
