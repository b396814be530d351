"""The stored responses that the store does not have yet, and those that it is to forget.

A line enters with its row, in the thread of the calls, and leaves in the writer's thread once the store has it. There
are at most as many lines as pending rows.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hero_broker.core.records import StoredResponse

MAX_REMOVED_AT_ONCE = 500


class ResponseKey(NamedTuple):
    """What identifies a stored response: two owners may have the same id from two providers."""

    response_id: str
    owner: str


class RecentResponses:
    """What the store does not know of stored responses yet. Safe for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[ResponseKey, StoredResponse] = {}
        self._removed: dict[ResponseKey, None] = {}  # in the order of their removal

    def add(self, response: StoredResponse) -> None:
        """Keep a line until the store has it."""
        key = _key_of(response)
        with self._lock:
            self._pending[key] = response
            self._removed.pop(key, None)

    def find(self, response_id: str, owner: str) -> StoredResponse | None:
        """Return the line of a pending row; None if there is none."""
        return self._pending.get(ResponseKey(response_id, owner))

    def is_removed(self, response_id: str, owner: str) -> bool:
        """Return whether a line was removed that the store may still have."""
        return ResponseKey(response_id, owner) in self._removed

    def remove(self, response_id: str, owner: str) -> None:
        """Remove a line; the writer removes it from the store."""
        key = ResponseKey(response_id, owner)
        with self._lock:
            self._removed[key] = None

    def stored(self, responses: Iterable[StoredResponse]) -> None:
        """Forget pending lines: the store has them, or rejects their rows."""
        with self._lock:
            for response in responses:
                key = _key_of(response)
                if self._pending.get(key) == response:  # else a later row has the same id
                    del self._pending[key]

    def removable(self) -> Sequence[ResponseKey]:
        """Return some of the lines to remove from the store; those of pending rows come there later."""
        if not self._removed:
            return ()
        with self._lock:
            keys = [key for key in self._removed if key not in self._pending]
        return keys[:MAX_REMOVED_AT_ONCE]

    def removed(self, keys: Iterable[ResponseKey]) -> None:
        """Forget removed lines: the store has them no longer."""
        with self._lock:
            for key in keys:
                self._removed.pop(key, None)


def _key_of(response: StoredResponse) -> ResponseKey:
    return ResponseKey(response.response_id, response.owner)
