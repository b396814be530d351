"""Estimates usage that no provider reported, from the text and audio of request and response (`metering.tokens`)."""

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from hero_broker.core.calls import CallKind
from hero_broker.core.usage import MAX_UNITS, Usage
from hero_broker.kinds.kind import rerank_usage, stt_usage, tts_usage
from hero_broker.kinds.texts import delivered_events, delivered_text, request_reading
from hero_broker.metering.meter import Meter
from hero_broker.metering.workers import Workers

Result = TypeVar("Result")
P = ParamSpec("P")


class Counter(Protocol):
    """Counts tokens; implemented by `metering.tokens.TokenCounter`."""

    async def count(self, model: str, texts: tuple[str, ...]) -> int:
        """Return the number of tokens of `texts`."""
        ...


class Estimates:
    """Estimates the usage of calls that ended without a report, one call of each address at a time."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._workers = Workers()

    async def usage(self, meter: Meter) -> Usage:
        """Return the estimated usage of a call."""
        async with self._workers.turn(meter.call.caller.ip):
            return await self._usage(meter)

    async def run(self, work: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Run `work` in the threads for estimates; for work that a provider's response may make slow."""
        return await self._workers.run(lambda _: work(*args, **kwargs))

    def close(self) -> None:
        """Stop the threads."""
        self._workers.close()

    async def _usage(self, meter: Meter) -> Usage:
        call, price = meter.call, meter.price()
        if call.kind is CallKind.STT and not isinstance(call.body, bytes):
            output = 0 if price is None or price.audio_per_minute is not None else await self._output(meter)
            return stt_usage(await self._workers.run(call.body.audio_ms), price, output)
        input_tokens = await self._input(meter)
        if call.kind is CallKind.TTS:
            return tts_usage(call, price, input_tokens)
        if call.kind is CallKind.RERANK:
            return rerank_usage(price, input_tokens)
        if call.kind is CallKind.EMBEDDING:
            return Usage(input_tokens=input_tokens, output_tokens=0)
        return Usage(input_tokens=input_tokens, output_tokens=await self._output(meter))

    async def _input(self, meter: Meter) -> int:
        call = meter.call
        body = call.body if isinstance(call.body, bytes) else b""
        reading = await self._workers.run(lambda _: request_reading(call.kind, body))
        tokens = await self._counter.count(call.upstream_model, reading.texts)
        return min(max(1, tokens + reading.fixed_tokens + reading.audio_tokens), MAX_UNITS)

    async def _output(self, meter: Meter) -> int:
        call, delivered = meter.call, meter.delivered()
        if not delivered.events:
            texts = await self._workers.run(lambda _: delivered_text(call.kind, delivered.body))
            return await self._counter.count(call.upstream_model, texts)
        texts = await self._workers.run(lambda _: delivered_events(call.kind, delivered.events))
        tokens = await self._counter.count(call.upstream_model, texts)
        return min(-(-tokens * delivered.event_bytes // len(delivered.events)), MAX_UNITS) if tokens else 0
