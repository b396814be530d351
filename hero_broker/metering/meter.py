"""Observes one call and settles it into its row."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from msgspec.structs import replace

from hero_broker.core.calls import Attempt, Outcome
from hero_broker.core.clock import Clock
from hero_broker.core.money import NANO
from hero_broker.core.records import PriceRecord
from hero_broker.core.usage import BYTES_PER_TOKEN, Usage, UsageSource
from hero_broker.kinds.kind import Kind
from hero_broker.kinds.registry import KINDS
from hero_broker.kinds.report import NOTHING, Report, UsageDetails, UsageShare
from hero_broker.kinds.usage_dialect import usage_dialect_of
from hero_broker.ledger.journal import fit_record
from hero_broker.ledger.rows import CallStarted, PendingRow
from hero_broker.metering.billing_row import (
    PricedShare,
    believable_cost,
    believable_sum,
    build_note,
    due_row,
    encode_priced_shares,
    merge_shares,
)
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff

MAX_KEPT_BYTES = 256 * 1024  # of a stream's events, for an estimate; the rest is extrapolated
HEAD_BYTES = 4096  # of a stream's events, searched for the tier and the model that served
ZERO_USAGE = "zero_usage"  # the error code of a response for which the provider reports no input tokens
REFUSAL = "refusal"  # that of a response that is empty because the model refused; the provider charges nothing for it

log = logging.getLogger(__name__)

# The tariff of a model by the name of a provider and the model's exact name there; None if there is none.
TariffsByName = Callable[[str, str], Tariff | None]


@dataclass(frozen=True, slots=True)
class OtherTariffs:
    """The tariffs of models that answer in place of the requested one, or beside it."""

    listed: TariffsByName | None = None  # of the price list
    configured: TariffsByName | None = None  # the operator's own


@dataclass(frozen=True, slots=True)
class Delivered:
    """The part of a provider's response that was received."""

    body: bytes = b""  # a whole response, or as much of it as came
    is_cut: bool = False  # the body is not whole
    # Lines of a stream's events, with or without their field name; at most about `MAX_KEPT_BYTES`.
    events: bytes = b""
    event_bytes: int = 0  # of all events, including those that were not kept


NO_OTHERS = OtherTariffs()
_COMPLETE = (Outcome.OK, Outcome.CLIENT_DISCONNECTED)  # outcomes of calls that may have a complete response


class Meter:
    """Observes one call; `close` returns its row. The last plausible usage counts, with the cost beside it or none."""

    # Few calls set these, so they are no attributes of each meter.
    cut_parts: tuple[str, ...] = ()  # as in the `Report` whose usage counts
    unexplained_tokens = 0
    first_error: str | None = None  # the code of the first attempt that failed and was followed by another
    _details: UsageDetails | None = None  # of the report whose usage counts, or would if it were complete
    _is_cut = False
    _cost_shares: str | None = None  # of a cost of several prices, as the row stores them
    _share_prices: tuple[PriceRecord, ...] = ()
    # Only streams set these.
    deltas = 0  # pieces of text; each is about a token
    _event_bytes = 0
    _latest_events = b""  # the latest that have data, with or without their field name
    _latest_report: Report = NOTHING
    _awaited_deltas = 0  # when the next of these is to be called
    _waiting: list[tuple[int, Callable[[int], int | None]]] | None = None
    _response_id: str | None = None  # of the complete response, if its provider keeps it

    def __init__(self, call: Attempt, tariff: Tariff | None, clock: Clock, others: OtherTariffs = NO_OTHERS) -> None:
        """Take the first attempt, and the tariff of its target; `others` has those of other models that answer."""
        self.call = call
        self.kind: Kind = KINDS[call.kind]
        self._tariff = tariff
        self._others = others
        self._clock = clock
        self._started = clock.monotonic()
        self._first_byte_ms: int | None = None
        self._reported: Usage | None = None
        self._cost_usd: Decimal | None = None
        self.service_tier: str | None = None  # the last one that the provider named
        self.answered_model: str | None = None  # the provider's name for the model that answered, the last one
        self.is_sent = False  # some of the call was sent to the provider
        self.attempts = 1  # number of requests sent for it
        self.provider_key: str | None = None  # the fingerprint of the key that the provider answered to
        self.may_retry = True  # the client waits for it
        self.answered = False  # the provider has begun a response that is charged, or may charge without one
        self.streamed = call.stream
        self._body = b""
        self._events = bytearray()  # of a stream

    def call_started(self) -> CallStarted:
        """Return the journal's note of the first attempt, written before it is sent."""
        return self._note(self.call, self._tariff, self.attempts)

    def next_attempt(
        self, call: Attempt, tariff: Tariff | None, error_code: str | None, write: Callable[[CallStarted], None]
    ) -> None:
        """Go on with another attempt, after one of which nothing was sent; `write` writes its note to the journal.

        `error_code` is the code of the attempt before, which failed.

        What `write` raises is raised, and the meter is unchanged.
        """
        attempts = self.attempts + 1
        write(self._note(call, tariff, attempts))
        self.call, self._tariff, self.attempts = call, tariff, attempts
        self.first_error = self.first_error or error_code

    def _note(self, call: Attempt, tariff: Tariff | None, attempts: int) -> CallStarted:
        if tariff is None:
            return build_note(call, None, attempts)
        price = tariff.price(call.started_at, 0)
        if tariff.varies:
            price = tariff.price(call.started_at, self.kind.rough_usage(call, price, 0).input_tokens or 0)
        return build_note(call, price, attempts)

    def price(self, input_tokens: int = 0) -> Price | None:
        """Return the price of this call if it has `input_tokens`."""
        return None if self._tariff is None else self._tariff.price(self.call.started_at, input_tokens)

    def on_response(self) -> None:
        """Note that a successful response of the provider has begun."""
        self.answered = True
        if self._first_byte_ms is None:
            self._first_byte_ms = int((self._clock.monotonic() - self._started) * 1000)

    def on_event(self, data: bytes) -> bool:
        """Parse one event of a stream; return whether it is the event with usage and empty `choices`."""
        is_long = len(data) > MAX_KEPT_BYTES
        if b'"usage"' in data and (is_long or data.count(b'"usage"') > data.count(b'"usage":null')):
            url = self.call.url
            report = self.kind.next_report(data, usage_dialect_of(self.call.provider, url), self._latest_report)
            self._latest_report = report
            self._note_report(report)
            if report.is_usage_event:
                return True
            if is_long and report.usage is not None:  # it repeats what has been read, as the end of Responses does
                return False
        if data.startswith(b"{"):
            self._latest_events = data
        self._keep(data + b"\n")
        if self.kind.stream_rules.is_delta(data):
            self._count(1)
        return False

    def on_plain_events(self, events: bytes) -> None:
        """Note complete events, as received, none of which reports usage."""
        self._latest_events = events
        self._keep(events)
        if deltas := self.kind.stream_rules.count_deltas(events):
            self._count(deltas)

    async def wait_for_tokens(self, deltas: int) -> None:
        """Wait until `deltas` pieces of text have arrived."""
        event = asyncio.Event()
        self.call_at(deltas, lambda _: event.set())
        await event.wait()

    def call_at(self, deltas: int, call: Callable[[int], int | None]) -> None:
        """Call back with the number of pieces of text once `deltas` of them have arrived, at once if they have.

        What is called returns when it is to be called again, or None.
        """
        self._waiting = [*(self._waiting or ()), (deltas, call)]
        self._call_waiting()

    def _call_waiting(self) -> None:
        left = []
        for deltas, call in self._waiting or ():
            again = call(self.deltas) if deltas <= self.deltas else deltas
            if again is not None:
                left.append((again, call))
        self._awaited_deltas = min((deltas for deltas, _ in left), default=0)
        self._waiting = left or None

    def on_body(self, body: bytes) -> Report:
        """Parse a whole response and return its report; a response that is only an error is not charged."""
        self._body = body
        report = self.kind.report(body, usage_dialect_of(self.call.provider, self.call.url))
        self._reported, self._cost_usd = report.usage, report.cost_usd
        self.service_tier, self.answered_model = report.service_tier, report.answered_model
        if report.cut_parts or report.unexplained_tokens or report.details is not None:
            self.cut_parts, self.unexplained_tokens = report.cut_parts, report.unexplained_tokens
            self._details = report.details
        if report.response_id is not None:
            self._response_id = report.response_id
        if report.is_error and report.usage is None and not report.has_choices:
            self.answered = False
        return report

    def on_error_event(self) -> None:
        """Note that an event of a stream reports an error."""
        if self.kind.error_before_output_is_free and self._reported is None and not self.deltas:
            self.answered = False

    def on_cut_body(self, body: bytes) -> None:
        """Note what came of a whole response that broke off; the provider charges for it all the same."""
        self._body, self._is_cut = body, True

    @property
    def needs_estimate(self) -> bool:
        """Whether a response has begun for which the provider reported no billable usage."""
        if not self.answered or self._reported is not None:
            return False
        self._read_timings()
        return self._reported is None and self.kind.usage_by_request(self.call, self.price()) is None

    def delivered(self) -> Delivered:
        """Return what was received of the response."""
        return Delivered(self._body, self._is_cut, bytes(self._events), self._event_bytes)

    def close(
        self, outcome: Outcome, http_status: int | None, error_code: str | None, estimate: Usage | None = None
    ) -> PendingRow:
        """Return the call's row, with its cost; `estimate` is used if the provider reported no usage.

        A call of which nothing was sent costs nothing, whatever its outcome; nor does a call that the provider refused.
        """
        if self.streamed:
            self._read_timings()
            self._read_names()
        if not self.answered and (outcome is Outcome.PROVIDER_ERROR or not self.is_sent):
            return self._row(outcome, http_status, error_code, Usage(), UsageSource.NONE, is_free=True)
        if self._reported is not None:
            usage = self._reported
            if self.call.characters is not None:
                usage = replace(usage, characters=self.call.characters)
            if self.kind.always_reads_tokens and outcome is Outcome.OK and not usage.input_tokens:
                log.warning(
                    "meter: the provider %s reports no %s",
                    self.call.provider,
                    "input tokens" if usage.output_tokens else "tokens",
                    extra={"request_id": self.call.request_id},
                )
                error_code = error_code or ZERO_USAGE
            return self._row(outcome, http_status, error_code, usage, UsageSource.REPORTED)
        if self.answered and (known := self.kind.usage_by_request(self.call, self.price())) is not None:
            source = UsageSource.NONE if known == Usage() else UsageSource.REPORTED
            return self._row(outcome, http_status, error_code, known, source)
        rough = self.kind.rough_usage(self.call, self.price(), self.deltas or len(self._body) // BYTES_PER_TOKEN)
        usage = estimate or rough
        if self._details is not None and self._details.partial is not None:
            usage = _completed(self._details.partial, usage, self._details.least_output_tokens)
        return self._row(outcome, http_status, error_code, usage, UsageSource.ESTIMATED)

    @property
    def _has_refused(self) -> bool:
        """Whether the model refused the request before it wrote anything."""
        return self._details is not None and self._details.has_refused and not self.deltas

    def _report(self, body: bytes) -> Report:
        return self.kind.report(body, usage_dialect_of(self.call.provider, self.call.url))

    def _note_report(self, report: Report) -> None:
        if report.usage is not None:
            # The cost is that of this usage: an earlier cost is that of another one.
            self._reported, self._cost_usd = report.usage, report.cost_usd
            self.cut_parts, self.unexplained_tokens = report.cut_parts, report.unexplained_tokens
        elif self._reported is None and report.cost_usd is not None:
            self._cost_usd = report.cost_usd
        if report.details is not None:
            self._details = report.details
        if report.response_id is not None:
            self._response_id = report.response_id
        self.service_tier = report.service_tier or self.service_tier
        self.answered_model = report.answered_model or self.answered_model

    def _read_timings(self) -> None:
        """Take the usage from the timings in a stream's last event if no event had usage."""
        if self._reported is None and b'"timings"' in self._latest_events:
            self._note_report(self._report(last_object(self._latest_events)))

    def _read_names(self) -> None:
        """Look for the tier and the model in a stream's last event, then in its first, if no usage named them."""
        for events, select in ((self._latest_events, last_object), (bytes(self._events[:HEAD_BYTES]), first_object)):
            if (self.service_tier is None and b'"service_tier"' in events) or (
                self.answered_model is None and b'"model"' in events
            ):
                report = self._report(select(events))
                self.service_tier = self.service_tier or report.service_tier
                self.answered_model = self.answered_model or report.answered_model
                self._response_id = self._response_id or report.response_id

    def _keep(self, events: bytes) -> None:
        self._event_bytes += len(events)
        if len(self._events) < MAX_KEPT_BYTES:
            self._events += events[:MAX_KEPT_BYTES]

    def _count(self, deltas: int) -> None:
        self.deltas += deltas
        if self._waiting is not None and self.deltas >= self._awaited_deltas:
            self._call_waiting()

    def _row(
        self,
        outcome: Outcome,
        http_status: int | None,
        error_code: str | None,
        usage: Usage,
        source: UsageSource,
        *,
        is_free: bool = False,
    ) -> PendingRow:
        call, tariff, answered = self.call, self._tariff, self.answered_model
        if answered is not None and answered != call.upstream_model and (tariff is None or not tariff.is_override):
            tariff = self._tariff_of_answer(answered)
        price = None
        if tariff is not None:
            price = tariff.price(call.started_at, usage.input_tokens or 0, self.service_tier)
        duration_ms = int((self._clock.monotonic() - self._started) * 1000)
        cost: int | None = 0
        cost_source = None if price is None else "price"
        if is_free:
            pass
        elif self._details is not None:
            is_ok = outcome is Outcome.OK
            cost, cost_source = self._cost_by_details(usage, price, self._details, duration_ms, ok=is_ok)
            error_code = error_code or (REFUSAL if is_ok and self._has_refused else None)
        else:
            cost, cost_source = self._cost(usage, price, duration_ms, ok=outcome is Outcome.OK)
        first_error = self.first_error or (error_code if outcome is Outcome.PROVIDER_ERROR else None)
        # By position, as in the row itself: so many keywords take longer than the rest of the row.
        due = due_row(
            call,
            self.streamed,
            outcome,
            http_status,
            error_code,
            usage,
            source,
            cost,
            cost_source,
            price,
            self.attempts,
            duration_ms,
            self._first_byte_ms,
            first_error,
            self.provider_key,
            self.service_tier,
            self.unexplained_tokens or None,
            ",".join(self.cut_parts) or None,
            self._cost_shares,
        )
        if self._response_id is not None and outcome in _COMPLETE:
            storage = self.call.storage
            if storage is not None and storage.stores:
                due = replace(due, response_id=self._response_id)
        if self._share_prices:
            due = fit_record(replace(due, share_prices=self._share_prices))
        return due

    def _tariff_of_answer(self, answered: str) -> Tariff | None:
        """Return the tariff of a model that answered in place of another, or of that one if it has none.

        The operator's price for the requested model comes first.
        """
        asked = self._tariff
        if self._others.listed is None or (asked is not None and asked.is_override):
            return asked
        return self._others.listed(self.call.provider, answered) or asked

    def _cost(self, usage: Usage, price: Price | None, duration_ms: int, *, ok: bool) -> tuple[int | None, str | None]:
        """Return the cost in nano-USD and its source; the operator's price overrides the provider's cost."""
        if self._cost_usd is not None and (self._tariff is None or not self._tariff.is_override):
            return round(self._cost_usd * NANO), "provider"
        cost = None if price is None else believable_cost(self.call, usage, price, ok=ok, duration_ms=duration_ms)
        return cost, None if cost is None else "price"

    def _cost_by_details(
        self, usage: Usage, price: Price | None, details: UsageDetails, duration_ms: int, *, ok: bool
    ) -> tuple[int | None, str | None]:
        """Return the cost and its source, of a call whose report has details."""
        if self._has_refused and ok and self._cost_usd is None:
            return 0, "free"
        if self._reported is None or not details.shares or self._cost_usd is not None:
            return self._cost(usage, price, duration_ms, ok=ok)
        prices = [self._price_of_share(share, price) for share in details.shares]
        if all(one == price for one in prices):
            return self._cost(usage, price, duration_ms, ok=ok)
        own = self.answered_model or self.call.upstream_model
        shares = [
            PricedShare(share.model or own, share.usage, one)
            for share, one in zip(details.shares, prices, strict=True)
            if one is not None
        ]
        cost = believable_sum(self.call, shares, ok=ok) if len(shares) == len(prices) else None
        if cost is None:
            return None, None
        self._cost_shares, self._share_prices = encode_priced_shares(merge_shares(shares, ok=ok))
        return cost, "mixed"

    def _price_of_share(self, share: UsageShare, price: Price | None) -> Price | None:
        """Return the price of a model that had a part of the call; `price` is that of all its usage."""
        tariff = self._tariff
        if share.model not in (None, self.call.upstream_model, self.answered_model):
            sources = (self._others.configured, self._others.listed)  # the operator's own comes first
            found = (source(self.call.provider, share.model) for source in sources if source is not None)
            tariff = next((one for one in found if one is not None), None)
        elif self.answered_model is not None and self.answered_model != self.call.upstream_model:
            tariff = self._tariff_of_answer(self.answered_model)
        used = share.usage
        if tariff is None or not (used.input_tokens or used.output_tokens or used.images):  # searches alone
            return price if tariff is not None else None
        return tariff.price(self.call.started_at, share.usage.input_tokens or 0, self.service_tier)


def _completed(partial: Usage, estimate: Usage, least_output_tokens: int) -> Usage:
    """Return what a provider reported of a usage, with estimates of what it did not report."""
    output = partial.output_tokens
    if output is None:
        output = max(estimate.output_tokens or 0, least_output_tokens)
    return replace(partial, input_tokens=partial.input_tokens or estimate.input_tokens, output_tokens=output)


def first_object(events: bytes) -> bytes:
    """Return the data of the first event that begins an object; empty if there is none."""
    return next(_objects(iter(events.split(b"\n"))), b"")


def last_object(events: bytes) -> bytes:
    """Return the data of the last event that begins an object; empty if there is none."""
    return next(_objects(reversed(events.split(b"\n"))), b"")


def _objects(lines: Iterator[bytes]) -> Iterator[bytes]:
    return (data for line in lines if (data := line.removeprefix(b"data:").strip()).startswith(b"{"))
