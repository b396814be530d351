"""Counts usage that contradicts itself or its total, and names its providers in the log."""

import logging
import time
from collections import Counter
from collections.abc import Callable

from hero_broker.core.records import UsageFault
from hero_broker.edge.once_per_minute import OncePerMinute

log = logging.getLogger(__name__)


class UsageFaults:
    """Calls with such usage since the start, by provider. The log has each provider once a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.cut: Counter[str] = Counter()  # calls with a part that was larger than its whole
        self.unexplained: Counter[str] = Counter()  # calls whose total has other tokens than their parts
        self._warnings = OncePerMinute(clock=clock)

    def note(self, fault: UsageFault) -> None:
        """Count a call whose usage contradicts itself or its total."""
        provider = fault.row.provider
        self.cut[provider] += bool(fault.cut_parts)
        self.unexplained[provider] += bool(fault.unexplained_tokens)
        if self._warnings.is_due(provider):
            log.warning(
                "usage: the provider %s reports usage that contradicts itself: larger than their whole, and cut to it: "
                "%s; tokens in the total beyond all parts, and not billed: %d",
                provider,
                ", ".join(fault.cut_parts) or "none",
                fault.unexplained_tokens,
                extra={"request_id": fault.row.request_id},
            )
