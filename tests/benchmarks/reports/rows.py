"""Rows of a busy ledger, the same for the same seed: some 90 days of calls, the address of each drawn by Zipf's law.

Rows come in the order in which they would be committed, when their calls end; a few percent of the calls take minutes,
so that their rows are as late. Every address has at least one row.
"""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from itertools import accumulate
from typing import Any

from msgspec.structs import astuple, replace

from hero_broker.core.addresses import UNKNOWN, canonical_ip, ip_key
from hero_broker.core.calls import Outcome
from hero_broker.core.records import PriceRecord, RequestLog
from hero_broker.core.usage import UsageSource

COLUMNS = RequestLog.__struct_fields__
DAY_S = 86_400
DAYS = 90
FIRST_AT = 1_752_130_577  # of the first call, unix seconds; neither an hour's begin nor a day's
LAST_AT = FIRST_AT + DAYS * DAY_S
ADDRESS_EXPONENT, MODEL_EXPONENT = 1.1, 0.8
IPV4_PART = 0.2  # of the addresses; the others are such as Mycelium gives, in 400::/7
MYCELIUM, MYCELIUM_FREE_BITS = 0x0400 << 112, 121
CALLS = 50_000  # of which each row repeats one, with an id, a time and an address of its own
BATCH_ROWS = 50_000

_PROVIDERS = ("alpha", "beta", "gamma", "delta")
_KINDS = {
    "chat": 20,
    "embedding": 6,
    "tts": 4,
    "stt": 4,
    "completion": 3,
    "rerank": 3,
}
_OUTCOMES = {
    Outcome.OK: 955,
    Outcome.PROVIDER_ERROR: 20,
    Outcome.CLIENT_DISCONNECTED: 15,
    Outcome.INTERRUPTED: 7,
    Outcome.INTERNAL_ERROR: 3,
}
_STATUSES = {Outcome.PROVIDER_ERROR: 502, Outcome.INTERNAL_ERROR: 500}
_UNPRICED_PART, _LATE_PART, _ESTIMATED_PART, _LABELLED_PART = 0.02, 0.03, 0.02, 0.03


@dataclass(frozen=True, slots=True)
class Model:
    """A model that calls are made to."""

    name: str
    kind: str
    provider: str
    input_nano_usd: int  # per unit of input: a token, a character, a millisecond or a search
    output_nano_usd: int  # per token

    @property
    def price(self) -> PriceRecord:
        """What its calls are priced with."""
        rates = json.dumps({"input_per_million": self.input_nano_usd, "output_per_million": self.output_nano_usd})
        price_id = hashlib.sha256(f"{self.name} {rates}".encode()).hexdigest()[:32]
        return PriceRecord(price_id, rates, "benchmark", "1")


@dataclass(frozen=True)
class Plan:
    """What a ledger holds."""

    rows: int
    addresses: int
    seed: int = 1

    @cached_property
    def ips(self) -> Sequence[tuple[str, bytes | None]]:
        """Every address with its key, that with the most calls first."""
        source = _source(self.seed)
        found = {UNKNOWN: None} if self.addresses > 1 else {}
        while len(found) < self.addresses:
            if source.random() < IPV4_PART:
                text = str(IPv4Address(source.getrandbits(32)))
            else:
                text = canonical_ip(str(IPv6Address(MYCELIUM | source.getrandbits(MYCELIUM_FREE_BITS))))
            found[text] = None
        texts = list(found)
        source.shuffle(texts)
        return [(text, ip_key(text)) for text in texts]

    @cached_property
    def models(self) -> Sequence[Model]:
        """The models, that with the most calls first."""
        source = _source(self.seed + 1)
        kinds = [kind for kind, count in _KINDS.items() for _ in range(count)]
        source.shuffle(kinds)
        return [
            Model(
                name=f"{kind}-model-{number:02}",
                kind=kind,
                provider=source.choices(_PROVIDERS, weights=(4, 3, 2, 1))[0],
                input_nano_usd=source.randrange(50, 3000),
                output_nano_usd=source.randrange(200, 15_000) if kind in ("chat", "completion") else 0,
            )
            for number, kind in enumerate(kinds)
        ]

    @cached_property
    def calls(self) -> Sequence[RequestLog]:
        """The calls that rows repeat, without id, time and address."""
        source = _source(self.seed + 2)
        weights = [1 / rank**MODEL_EXPONENT for rank in range(1, len(self.models) + 1)]
        return [_call(source, model) for model in source.choices(self.models, weights=weights, k=CALLS)]

    def records(self, first: int = 0, count: int | None = None) -> Iterator[list[RequestLog]]:
        """Yield rows in batches as the ledger takes them, from position `first` on; past `rows` time goes on."""
        for calls, heads in self._batches(first, count):
            yield [
                replace(call, request_id=request_id, started_at=at, ip=self.ips[rank][0], ip_key=self.ips[rank][1])
                for call, (request_id, at, rank) in zip(calls, heads, strict=True)
            ]

    def numbers(self) -> Iterator[list[tuple[str, int, int, int]]]:
        """Yield all rows in batches as (request_id, started_at, place in `ips`, place in `calls`)."""
        places = {id(call): place for place, call in enumerate(self.calls)}
        for calls, heads in self._batches(0, None):
            yield [(*head, places[id(call)]) for call, head in zip(calls, heads, strict=True)]

    def _batches(self, first: int, count: int | None) -> Iterator[tuple[list[RequestLog], list[tuple[str, int, int]]]]:
        source = _source(f"{self.seed} {first}")
        cumulative = list(accumulate(1 / rank**ADDRESS_EXPONENT for rank in range(1, self.addresses + 1)))
        visits = list(range(self.addresses))
        _source(self.seed + 3).shuffle(visits)
        stride = max(1, self.rows // self.addresses)
        every_ms = (LAST_AT - FIRST_AT) * 1000 / self.rows
        end = self.rows if count is None else first + count
        for begin in range(first, end, BATCH_ROWS):
            size = min(BATCH_ROWS, end - begin)
            ranks = source.choices(range(self.addresses), cum_weights=cumulative, k=size)
            for at in range(-begin % stride, size, stride):
                if (visit := (begin + at) // stride) < self.addresses:
                    ranks[at] = visits[visit]
            calls = source.choices(self.calls, k=size)
            heads = []
            for at, (rank, call) in enumerate(zip(ranks, calls, strict=True), start=begin):
                started_ms = FIRST_AT * 1000 + max(0, int(at * every_ms) - call.duration_ms)
                heads.append((_request_id(started_ms, source.getrandbits(74)), started_ms // 1000, rank))
            yield calls, heads


def plain(row: RequestLog) -> tuple[Any, ...]:
    """Return a row as a driver takes it, in the order of COLUMNS."""
    return tuple(
        one.value if isinstance(one, Enum) else int(one) if isinstance(one, bool) else one for one in astuple(row)
    )


def _source(seed: int | str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - data that can be made again, no secrets


def _request_id(at_ms: int, noise: int) -> str:
    """Return a UUIDv7 as text; `noise` has 74 bits."""
    return (
        f"{at_ms >> 16:08x}-{at_ms & 0xFFFF:04x}-7{noise >> 62:03x}-"
        f"{0x8000 | (noise >> 48 & 0x3FFF):04x}-{noise & 0xFFFFFFFFFFFF:012x}"
    )


def _call(source: random.Random, model: Model) -> RequestLog:
    outcome = source.choices(list(_OUTCOMES), weights=list(_OUTCOMES.values()))[0]
    late = source.random() < _LATE_PART
    duration_ms = source.randrange(20_000, 600_000) if late else int(source.lognormvariate(7.3, 0.9)) + 30
    answered = outcome in (Outcome.OK, Outcome.CLIENT_DISCONNECTED)
    has_usage = answered or outcome == Outcome.INTERRUPTED
    estimated = has_usage and (outcome != Outcome.OK or source.random() < _ESTIMATED_PART)
    kind, units = model.kind, {}
    if has_usage:
        units = _units(source, kind)
    priced = source.random() >= _UNPRICED_PART
    text = units.get("input_tokens") or 0
    billed = text or units.get("characters") or units.get("audio_ms") or units.get("search_units") or 0
    cost = billed * model.input_nano_usd + (units.get("output_tokens") or 0) * model.output_nano_usd
    labelled = source.random() < _LABELLED_PART
    return RequestLog(
        request_id="",
        started_at=0,
        ip="",
        ip_key=None,
        peer_ip="10.1.0.1" if labelled else None,
        context="nightly-index" if labelled else None,
        api_key_id=None,
        kind=kind,
        model=model.name,
        provider=model.provider,
        upstream_model=f"{model.provider}/{model.name}-2025",
        stream=kind in ("chat", "completion") and source.random() < 0.6,
        outcome=outcome,
        http_status=_STATUSES.get(outcome, 200),
        error_code=None if answered else outcome.value,
        input_tokens=units.get("input_tokens"),
        output_tokens=units.get("output_tokens"),
        cached_input_tokens=units.get("cached_input_tokens"),
        cache_write_tokens=None,
        reasoning_tokens=units.get("reasoning_tokens"),
        audio_input_tokens=None,
        audio_output_tokens=None,
        characters=units.get("characters"),
        audio_ms=units.get("audio_ms"),
        search_units=units.get("search_units"),
        usage_source=(
            UsageSource.NONE if not has_usage else UsageSource.ESTIMATED if estimated else UsageSource.REPORTED
        ),
        cost_nano_usd=cost if priced else None,
        cost_source="price" if priced else None,
        price_id=model.price.price_id if priced else None,
        attempts=1 if source.random() < 0.97 else 2,
        duration_ms=duration_ms,
        first_byte_ms=duration_ms // 4 if has_usage else None,
    )


def _units(source: random.Random, kind: str) -> dict[str, int]:
    tokens = int(source.lognormvariate(6.5, 1.2)) + 1
    if kind == "embedding":
        return {"input_tokens": tokens}
    if kind == "tts":
        return {"characters": tokens}
    if kind == "stt":
        return {"audio_ms": tokens * 100}
    if kind == "rerank":
        return {"search_units": 1 + tokens // 1000}
    units = {"input_tokens": tokens, "output_tokens": int(source.lognormvariate(5.3, 1.0)) + 1}
    if source.random() < 0.3:
        units["cached_input_tokens"] = tokens // 2
    if source.random() < 0.15:
        units["reasoning_tokens"] = units["output_tokens"] // 2
    return units
