"""What one call was seen to use → its one row."""

import asyncio

from hero_broker.core.addresses import ip_key
from hero_broker.core.calls import Call, Outcome
from hero_broker.core.clock import Clock
from hero_broker.core.records import RequestLog
from hero_broker.core.usage import Usage, UsageSource
from hero_broker.metering.journal import DueRow
from hero_broker.metering.usage_wire import read_usage
from hero_broker.pricing.cost import cost_of
from hero_broker.pricing.price import Price

BYTES_PER_TOKEN = 4  # of English text, for the estimate of usage that no provider reported


class Meter:
    """Watches one call and closes into its row. The last usage that can be believed counts."""

    def __init__(self, call: Call, price: Price | None, clock: Clock) -> None:
        self.call = call
        self._price = price
        self._clock = clock
        self._started = clock.monotonic()
        self._first_byte_ms: int | None = None
        self._reported: Usage | None = None
        self.answered = False  # the provider has begun an answer that is charged
        self.deltas = 0  # pieces of text seen in a stream; each is about a token
        self._delivered_bytes = 0
        self._watched_deltas = 0
        self._watched = asyncio.Event()

    def note(self) -> DueRow:
        """Return the row that stands if nothing more is heard of the call: interrupted, output 0."""
        return self._row(Outcome.INTERRUPTED, None, "interrupted", self._estimate(), UsageSource.ESTIMATED)

    def saw_answer(self) -> None:
        """Note that the provider has begun to answer with success."""
        self.answered = True
        if self._first_byte_ms is None:
            self._first_byte_ms = self._elapsed_ms()

    def saw_event(self, data: bytes) -> bool:
        """Read one event of a stream; return whether it is the one that has usage and empty `choices`."""
        if b'"usage"' in data:
            usage, empty = read_usage(data)
            self._reported = usage or self._reported
            if empty:
                return True
        if (
            b'"content":""' not in data
            and b'"content":null' not in data
            and (b'"content"' in data or b'"text"' in data)
        ):
            self.deltas += 1
            if self.deltas == self._watched_deltas:
                self._watched.set()
        return False

    async def reached(self, deltas: int) -> None:
        """Return when so many pieces of text have been seen."""
        self._watched_deltas = deltas
        if self.deltas < deltas:
            await self._watched.wait()

    def saw_body(self, body: bytes) -> None:
        """Read a whole answer."""
        self._delivered_bytes = len(body)
        self._reported, _ = read_usage(body)

    def close(self, outcome: Outcome, http_status: int | None, error_code: str | None) -> DueRow:
        """Return the call's row, priced."""
        if not self.answered and outcome is Outcome.PROVIDER_ERROR:
            return self._row(outcome, http_status, error_code, Usage(), UsageSource.NONE)
        if self._reported is not None:
            return self._row(outcome, http_status, error_code, self._reported, UsageSource.REPORTED)
        return self._row(outcome, http_status, error_code, self._estimate(), UsageSource.ESTIMATED)

    def _estimate(self) -> Usage:
        output = self.deltas or self._delivered_bytes // BYTES_PER_TOKEN
        return Usage(input_tokens=max(1, self.call.input_bytes // BYTES_PER_TOKEN), output_tokens=output)

    def _elapsed_ms(self) -> int:
        return int((self._clock.monotonic() - self._started) * 1000)

    def _row(
        self, outcome: Outcome, http_status: int | None, error_code: str | None, usage: Usage, source: UsageSource
    ) -> DueRow:
        call, price = self.call, self._price
        cost: int | None = 0
        if source is not UsageSource.NONE:
            cost = None if price is None else cost_of(usage, price, ok=outcome is Outcome.OK)
        row = RequestLog(
            request_id=call.request_id,
            started_at=call.started_at,
            ip=call.caller.ip,
            ip_key=ip_key(call.caller.ip),
            peer_ip=call.caller.peer_ip,
            context=call.caller.context,
            api_key_id=None,
            kind=call.kind,
            model=call.model,
            provider=call.provider,
            upstream_model=call.upstream_model,
            stream=call.stream,
            outcome=outcome,
            http_status=http_status,
            error_code=error_code,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            audio_input_tokens=usage.audio_input_tokens,
            audio_output_tokens=usage.audio_output_tokens,
            characters=usage.characters,
            audio_ms=usage.audio_ms,
            search_units=usage.search_units,
            usage_source=source,
            cost_nano_usd=cost,
            cost_source=None if cost is None or price is None else "price",
            price_id=None if price is None else price.price_id,
            attempts=1,
            duration_ms=self._elapsed_ms(),
            first_byte_ms=self._first_byte_ms,
        )
        return DueRow(row, None if price is None else price.rates_json())
