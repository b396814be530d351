"""Estimates usage that no provider reported, from the text and audio of request and response (`metering.tokens`)."""

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from hero_broker.core.usage import MAX_UNITS, Usage
from hero_broker.kinds.families import Family, family_of
from hero_broker.kinds.kind import Measured
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
        call, kind, price = meter.call, meter.kind, meter.price()
        family = family_of(call.upstream_model)
        output_tokens = 0
        if kind.writes_tokens(price):
            output_tokens = min(family.tokens(await self._output(meter)), MAX_UNITS)
        if kind.measures_audio and not isinstance(call.body, bytes):
            audio_ms = await self._workers.run(call.body.audio_ms)
            return kind.estimate(call, price, Measured(0, output_tokens, audio_ms))
        return kind.estimate(call, price, Measured(await self._input(meter, family), output_tokens))

    async def _input(self, meter: Meter, family: Family) -> int:
        call = meter.call
        body = call.body if isinstance(call.body, bytes) else b""

        def read() -> tuple[tuple[str, ...], int]:
            reading = meter.kind.request_reading(body)
            return family.counted_texts(reading), family.uncounted_milli(reading)

        texts, uncounted_milli = await self._workers.run(lambda _: read())
        counted = await self._counter.count(call.upstream_model, texts)
        before = 0 if call.storage is None else call.storage.context_tokens
        return min(max(1, family.tokens(counted, uncounted_milli) + before), MAX_UNITS)

    async def _output(self, meter: Meter) -> int:
        call, kind, delivered = meter.call, meter.kind, meter.delivered()
        if delivered.is_cut:  # JSON without its end cannot be parsed
            return await self._counter.count(call.upstream_model, (delivered.body.decode("utf-8", "replace"),))
        if not delivered.events:
            texts = await self._workers.run(lambda _: kind.delivered_text(delivered.body))
            return await self._counter.count(call.upstream_model, texts)
        texts = await self._workers.run(lambda _: kind.delivered_events(delivered.events))
        tokens = await self._counter.count(call.upstream_model, texts)
        return -(-tokens * delivered.event_bytes // len(delivered.events)) if tokens else 0
