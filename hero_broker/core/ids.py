"""Request ids: UUIDv7, so that they sort by time and need no coordination."""

import os
import time

IDS_AHEAD = 64  # ids whose random bytes are drawn at once: `urandom` releases the GIL
RANDOM_BYTES = 8  # of an id, behind its counter; the two highest bits of them are the variant
_COUNTER_MAX = 0xFFF


class RequestIds:
    """Strictly increasing UUIDv7s: a millisecond, a counter of 12 bits, and 62 random bits.

    If the clock goes back, or more ids are made within a millisecond than the counter has, the millisecond of the last
    id goes on. Source: RFC 9562, sections 5.7 and 6.2, method 1.
    """

    __slots__ = ("_counter", "_ms", "_prefix", "_random")

    def __init__(self) -> None:
        """Start without random bytes. A forked process must create its own: the parent uses the bytes drawn ahead."""
        self._ms = 0
        self._counter = 0
        self._prefix = ""  # the text of the millisecond, and the version
        self._random: list[str] = []  # the texts behind the counters of the next ids

    def next(self) -> str:
        """Return a fresh UUIDv7 as text."""
        ms = time.time_ns() // 1_000_000
        if not self._random:
            self._draw()
        rest = self._random.pop()
        if ms > self._ms:
            self._begin(ms, int(rest[-3:], 16))
        elif self._counter == _COUNTER_MAX:
            self._begin(self._ms + 1, 0)
        else:
            self._counter += 1
        return f"{self._prefix}{self._counter:03x}-{rest}"

    def _begin(self, ms: int, counter: int) -> None:
        self._ms, self._counter = ms, counter
        text = f"{ms:012x}"
        self._prefix = f"{text[:8]}-{text[8:]}-7"

    def _draw(self) -> None:
        text = os.urandom(RANDOM_BYTES * IDS_AHEAD).hex()
        size = 2 * RANDOM_BYTES
        for at in range(0, len(text), size):
            variant = 8 | int(text[at], 16) & 3
            self._random.append(f"{variant:x}{text[at + 1 : at + 4]}-{text[at + 4 : at + size]}")


def new_request_id() -> str:
    """Return a fresh UUIDv7 as text, in no order with others of its millisecond."""
    return RequestIds().next()
