"""Bounds how often a caller may ask what it has used itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from hero_broker.core.calls import Caller
from hero_broker.limits.admission import Admission
from hero_broker.limits.limit import CONCURRENT, REQUESTS, Limit

NAME = "own usage"
PER_MINUTE, BURST = 60, 10  # requests of one address
AT_ONCE, AT_ONCE_IN_ALL = 2, 32


class OwnRequests:
    """Admits requests for the caller's own usage; limits of calls do not count them."""

    def __init__(self) -> None:
        self._admission = Admission(
            [
                Limit(NAME, REQUESTS, PER_MINUTE, per=("ip",), burst=BURST),
                Limit(NAME, CONCURRENT, AT_ONCE, per=("ip",)),
                Limit(NAME, CONCURRENT, AT_ONCE_IN_ALL),
            ],
            (),
        )

    @contextmanager
    def request(self, caller: Caller) -> Iterator[None]:
        """Count a request of an address while the block runs.

        Raises:
            RateLimitExceeded, TooManyCalls: there are too many.
        """
        slot = self._admission.enter(caller)
        try:
            self._admission.admit(slot, caller.ip, None, "", "", "", 0, None)
            yield
        finally:
            slot.end()
