"""Tracks the health of each provider since the start, and logs when one begins to fail and when it recovers.

It also counts usage that contradicts itself or its total.
"""

import logging
from collections.abc import Iterator

from hero_broker.core.calls import Verdict
from hero_broker.core.clock import Clock
from hero_broker.core.inventory import InventoryHealth, InventoryKey
from hero_broker.core.records import RequestLog, Settled

# Statuses below 500 that are the fault of the provider or of the operator's account, not of the client's request. A 403
# about the key goes to `key_refused`; any other is about a request, and a client could feign a failure with it.
FAULTS = frozenset({401, 402, 429})
CALM_S = 10.0  # a provider that fails now and then counts as recovered after this time without a failure
WARN_EVERY_S = 60.0  # of a provider's usage
SOON_S = 60.0  # a provider that fails again within this time after it recovered fails now and then

log = logging.getLogger(__name__)


class _FailureLog:
    """What was logged about a provider, or about one of its keys."""

    __slots__ = ("_ended_at", "_is_unsteady", "began_at", "code", "failed", "failed_at")

    def __init__(self) -> None:
        self.code: str | None = None  # why it fails; None while it works
        self.began_at = 0.0  # monotonic seconds
        self.failed_at = 0.0
        self.failed = 0  # calls since `began_at`
        self._ended_at: float | None = None
        self._is_unsteady = False

    def record_failure(self, code: str, now: float) -> bool:
        """Count a failure; return whether it should be logged."""
        is_new = code != self.code
        if self.code is None:
            self.began_at, self.failed = now, 0
            self._is_unsteady = self._ended_at is not None and now - self._ended_at < SOON_S
        self.code, self.failed_at = code, now
        self.failed += 1
        return is_new

    def record_success(self, now: float) -> bool:
        """Count a success; return whether the provider has recovered."""
        if self.code is None or (self._is_unsteady and now - self.failed_at < CALM_S):
            return False
        self.code, self._ended_at = None, now
        return True


class _ProviderRecord:
    """The counts of one provider; only the event loop changes them."""

    __slots__ = (
        "answered",
        "failed",
        "is_failing",
        "keys",
        "last_answered_at",
        "last_error_code",
        "last_failed_at",
        "log",
        "usage_faults",
        "usage_warned_at",
    )

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0
        self.last_answered_at: int | None = None
        self.last_failed_at: int | None = None
        self.last_error_code: str | None = None
        self.is_failing = False
        self.log = _FailureLog()
        self.keys: dict[int, _FailureLog] = {}  # the keys that were rejected, by number
        self.usage_faults = 0
        self.usage_warned_at: float | None = None  # monotonic seconds


class HealthTracker:
    """Counts successes and failures, for `providers.list`; an observer of settled calls."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[str, _ProviderRecord] = {}

    def settled(self, end: Settled) -> None:
        """Count the attempts of a call that has its row."""
        for attempt in end.attempts:
            if attempt.verdict is Verdict.ANSWERED:
                self.record_success(attempt.provider, attempt.status or 0, attempt.key_number)
            elif attempt.verdict is Verdict.FAILED:
                self.record_failure(attempt.provider, attempt.code, attempt.detail)
            elif attempt.verdict is Verdict.KEY_REFUSED:
                self.key_refused(attempt.provider, attempt.code, attempt.key_number)
        if end.row.unexplained_tokens is not None or end.row.cut_counts is not None:
            self._usage_fault(end.row)

    def _usage_fault(self, row: RequestLog) -> None:
        """Count a call whose usage contradicts itself or its total; the log has each provider once a minute."""
        record, now = self._record(row.provider), self._clock.monotonic()
        record.usage_faults += 1
        if record.usage_warned_at is None or now >= record.usage_warned_at + WARN_EVERY_S:
            record.usage_warned_at = now
            log.warning(
                "usage: the provider %s reports usage that contradicts itself. %s",
                row.provider,
                " ".join(_usage_faults(row)),
                extra={"request_id": row.request_id},
            )

    def record_success(self, provider: str, status: int, key_number: int = 0) -> None:
        """Count a complete response; some statuses count as failures."""
        if status >= 500 or status in FAULTS:
            self.record_failure(provider, f"provider_{status}")
            return
        record = self._records.get(provider) or self._record(provider)
        record.answered += 1
        record.last_answered_at = self._clock.now()
        record.is_failing = False
        if record.log.code is not None:
            self._log_recovery(provider, record.log)
        if record.keys and (key_log := record.keys.get(key_number)) is not None:
            self._log_recovery(f"{provider} (key {key_number})", key_log)

    def record_failure(self, provider: str, code: str | None, detail: str | None = None) -> None:
        """Count a call that the provider failed to answer; `detail` is for the log."""
        record = self._count(provider, code)
        if record.log.record_failure(code or "", self._clock.monotonic()):
            log.warning("provider: %s fails: %s%s", provider, code, "" if detail is None else f" ({detail})")

    def key_refused(self, provider: str, code: str | None, key_number: int) -> None:
        """Count a call for which the provider rejected the operator's key or account; the first key is number 1."""
        record = self._count(provider, code)
        key_log = record.keys.setdefault(key_number, _FailureLog())
        if key_log.record_failure(code or "", self._clock.monotonic()):
            which = f"key {key_number} of its api_keys" if key_number else "a call without a key"
            log.error("provider: %s rejects %s, or the account: %s", provider, which, code)

    def _count(self, provider: str, code: str | None) -> _ProviderRecord:
        record = self._record(provider)
        record.failed += 1
        record.last_failed_at = self._clock.now()
        record.last_error_code = code
        record.is_failing = True
        return record

    def _log_recovery(self, name: str, failures: _FailureLog) -> None:
        code, now = failures.code, self._clock.monotonic()
        if failures.record_success(now):
            calls = "call" if failures.failed == 1 else "calls"
            # Not how long it failed: nobody may have called it for hours.
            log.warning(
                "provider: %s answers again, after %d failed %s, the first one %.0f s ago: %s",
                name,
                failures.failed,
                calls,
                now - failures.began_at,
                code,
            )

    def _record(self, provider: str) -> _ProviderRecord:
        record = self._records.get(provider)
        if record is None:
            record = self._records[provider] = _ProviderRecord()
        return record

    def health(self, provider: str) -> InventoryHealth:
        """Return the health of a provider; zeros if it has not been called yet."""
        record = self._records.get(provider)
        if record is None:
            return InventoryHealth()
        return InventoryHealth(
            record.answered,
            record.failed,
            record.last_answered_at,
            record.last_failed_at,
            record.last_error_code,
            record.is_failing,
            tuple(
                InventoryKey(number, key.code) for number, key in sorted(record.keys.items()) if key.code is not None
            ),
            record.usage_faults,
        )


def _usage_faults(row: RequestLog) -> Iterator[str]:
    """Yield sentences on what is wrong with the usage of a row."""
    if tokens := row.unexplained_tokens:
        yield f"Its total is {abs(tokens)} {'more' if tokens > 0 else 'less'} than its counts. The counts are billed."
    if row.cut_counts:
        names = row.cut_counts.replace(",", ", ")
        yield f"Larger than the count that contains it, and cut to it: {names}."
