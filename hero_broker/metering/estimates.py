"""Usage that no provider reported, from the request's and the answer's own text and audio; see `metering.tokens`."""

import asyncio
from typing import Protocol

from hero_broker.core.calls import CallKind
from hero_broker.core.usage import MAX_UNITS, Usage
from hero_broker.metering.meter import Meter
from hero_broker.metering.request_text import delivered_events, delivered_text, request_reading
from hero_broker.metering.rules import ranked, speech_heard, speech_made


class Counter(Protocol):
    """Counts tokens; see `metering.tokens.TokenCounter`."""

    async def count(self, model: str, texts: tuple[str, ...]) -> int:
        """Return the tokens of `texts`."""
        ...


class Estimates:
    """Estimates the usage of calls that have ended without a report."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    async def usage(self, meter: Meter) -> Usage:
        """Return what a call is taken to have used."""
        call, price = meter.call, meter.price()
        if call.kind is CallKind.STT and not isinstance(call.body, bytes):
            output = 0 if price is None or price.audio_per_minute is not None else await self._output(meter)
            return speech_heard(await call.body.audio_ms(), price, output)
        into = await self._input(meter)
        if call.kind is CallKind.TTS:
            return speech_made(call, price, into)
        if call.kind is CallKind.RERANK:
            return ranked(price, into)
        if call.kind is CallKind.EMBEDDING:
            return Usage(input_tokens=into, output_tokens=0)
        return Usage(input_tokens=into, output_tokens=await self._output(meter))

    async def _input(self, meter: Meter) -> int:
        call = meter.call
        body = call.body if isinstance(call.body, bytes) else b""
        reading = await asyncio.to_thread(request_reading, call.kind, body)
        counted = await self._counter.count(call.upstream_model, reading.texts)
        return min(max(1, counted + reading.fixed_tokens + reading.audio_tokens), MAX_UNITS)

    async def _output(self, meter: Meter) -> int:
        call, delivered = meter.call, meter.delivered()
        if not delivered.events:
            texts = await asyncio.to_thread(delivered_text, call.kind, delivered.body)
            return await self._counter.count(call.upstream_model, texts)
        texts = await asyncio.to_thread(delivered_events, call.kind, delivered.events)
        counted = await self._counter.count(call.upstream_model, texts)
        return min(-(-counted * delivered.event_bytes // len(delivered.events)), MAX_UNITS) if counted else 0
