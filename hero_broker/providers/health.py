"""How each provider has answered since this broker started; the log says when one begins to fail, and when it ends."""

import logging

from hero_broker.core.clock import Clock
from hero_broker.core.inventory import InventoryHealth

# Statuses below 500 that are the fault of the provider or of its account with it, not of the client's request.
FAULTS = frozenset({401, 402, 403, 429})
CALM_S = 10.0  # without a failure, until one that fails now and then is said to answer again
SOON_S = 60.0  # a failure so soon after the end of another is one of a provider that fails now and then

log = logging.getLogger(__name__)


class _Trouble:
    """What the log was told of a provider, or of one of its keys."""

    __slots__ = ("_ended_at", "_is_unsteady", "began_at", "code", "failed", "failed_at")

    def __init__(self) -> None:
        self.code: str | None = None  # why it fails; None while it does not
        self.began_at = 0.0  # monotonic seconds
        self.failed_at = 0.0
        self.failed = 0  # calls since then
        self._ended_at: float | None = None
        self._is_unsteady = False

    def fails(self, code: str, now: float) -> bool:
        """Count a failure; return whether it is news."""
        is_news = code != self.code
        if self.code is None:
            self.began_at, self.failed = now, 0
            self._is_unsteady = self._ended_at is not None and now - self._ended_at < SOON_S
        self.code, self.failed_at = code, now
        self.failed += 1
        return is_news

    def ends(self, now: float) -> bool:
        """Take note of an answer; return whether that is the end of the trouble."""
        if self.code is None or (self._is_unsteady and now - self.failed_at < CALM_S):
            return False
        self.code, self._ended_at = None, now
        return True


class _ProviderRecord:
    """One provider's; changed by the event loop alone."""

    __slots__ = (
        "answered",
        "failed",
        "is_failing",
        "keys",
        "last_answered_at",
        "last_error_code",
        "last_failed_at",
        "trouble",
    )

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0
        self.last_answered_at: int | None = None
        self.last_failed_at: int | None = None
        self.last_error_code: str | None = None
        self.is_failing = False
        self.trouble = _Trouble()
        self.keys: dict[int, _Trouble] = {}  # those that were refused, by number


class HealthTracker:
    """Counts answers and failures, for `providers.list`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of: dict[str, _ProviderRecord] = {}

    def record_success(self, provider: str, status: int, key_number: int = 0) -> None:
        """Count an answer that came whole; by its status it may be a failure."""
        if status >= 500 or status in FAULTS:
            self.record_failure(provider, f"provider_{status}")
            return
        standing = self._record(provider)
        standing.answered += 1
        standing.last_answered_at = self._clock.now()
        standing.is_failing = False
        if standing.trouble.code is not None:
            self._ends(provider, standing.trouble)
        if standing.keys and (key := standing.keys.get(key_number)) is not None:
            self._ends(f"{provider} (key {key_number})", key)

    def record_failure(self, provider: str, code: str | None, detail: str | None = None) -> None:
        """Count a call that the provider failed to answer; `detail` is for the log."""
        standing = self._count(provider, code)
        if standing.trouble.fails(code or "", self._clock.monotonic()):
            log.warning("provider: %s fails: %s%s", provider, code, "" if detail is None else f" ({detail})")

    def key_refused(self, provider: str, code: str | None, key_number: int) -> None:
        """Count a call for which the provider refused the operator's key or account, the first key being number 1."""
        standing = self._count(provider, code)
        if standing.keys.setdefault(key_number, _Trouble()).fails(code or "", self._clock.monotonic()):
            which = f"number {key_number} of its api_keys" if key_number else "a call without a key"
            log.error("provider: %s refuses %s, or its account: %s", provider, which, code)

    def _count(self, provider: str, code: str | None) -> _ProviderRecord:
        standing = self._record(provider)
        standing.failed += 1
        standing.last_failed_at = self._clock.now()
        standing.last_error_code = code
        standing.is_failing = True
        return standing

    def _ends(self, name: str, trouble: _Trouble) -> None:
        code, now = trouble.code, self._clock.monotonic()
        if trouble.ends(now):
            seconds = now - trouble.began_at
            log.warning(
                "provider: %s answers again, after %.0f s and %d failed calls: %s", name, seconds, trouble.failed, code
            )

    def _record(self, provider: str) -> _ProviderRecord:
        found = self._of.get(provider)
        if found is None:
            found = self._of[provider] = _ProviderRecord()
        return found

    def health(self, provider: str) -> InventoryHealth:
        """Return how a provider has answered so far."""
        found = self._of.get(provider)
        if found is None:
            return InventoryHealth()
        return InventoryHealth(
            found.answered,
            found.failed,
            found.last_answered_at,
            found.last_failed_at,
            found.last_error_code,
            found.is_failing,
        )
