"""How each provider has answered since this broker started."""

from hero_broker.core.clock import Clock
from hero_broker.core.served import ProviderHealth

# Statuses below 500 that are the fault of the provider or of its account with it, not of the client's request.
FAULTS = frozenset({401, 403, 429})


class _Standing:
    """One provider's; changed by the event loop alone."""

    __slots__ = ("answered", "failed", "is_failing", "last_answered_at", "last_error_code", "last_failed_at")

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0
        self.last_answered_at: int | None = None
        self.last_failed_at: int | None = None
        self.last_error_code: str | None = None
        self.is_failing = False


class Standings:
    """Counts answers and failures, for `providers.list`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of: dict[str, _Standing] = {}

    def answered(self, provider: str, status: int) -> None:
        """Count an answer that came whole; by its status it may be a failure."""
        if status >= 500 or status in FAULTS:
            self.failed(provider, f"provider_{status}")
            return
        standing = self._standing(provider)
        standing.answered += 1
        standing.last_answered_at = self._clock.now()
        standing.is_failing = False

    def failed(self, provider: str, code: str | None) -> None:
        """Count a call that the provider failed to answer."""
        standing = self._standing(provider)
        standing.failed += 1
        standing.last_failed_at = self._clock.now()
        standing.last_error_code = code
        standing.is_failing = True

    def _standing(self, provider: str) -> _Standing:
        found = self._of.get(provider)
        if found is None:
            found = self._of[provider] = _Standing()
        return found

    def health(self, provider: str) -> ProviderHealth:
        """Return how a provider has answered so far."""
        found = self._of.get(provider)
        if found is None:
            return ProviderHealth()
        return ProviderHealth(
            found.answered,
            found.failed,
            found.last_answered_at,
            found.last_failed_at,
            found.last_error_code,
            found.is_failing,
        )
