"""Who is notified of calls that have their row: a plain call each, which can neither wait nor fail the call."""

import logging
from collections.abc import Sequence
from typing import Protocol

from hero_broker.core.records import Settled

log = logging.getLogger(__name__)


class Observer(Protocol):
    """Looks at each call once its row is in the journal."""

    def settled(self, end: Settled) -> None:
        """Note a call that has ended."""
        ...


def notify(observers: Sequence[Observer], end: Settled) -> None:
    """Notify all observers; an observer that fails is logged, and the others are notified all the same."""
    for observer in observers:
        try:
            observer.settled(end)
        except Exception:  # whatever an observer does, the call has its row, and its client gets the response
            log.exception("observer: a settled call", extra={"request_id": end.row.request_id})
