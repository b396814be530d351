"""Request ids: UUIDv7, so that they sort by time and need no coordination."""

import os
import time

# Bits of a UUIDv7 that are always the same: its version, between 48 bits of time and 12 random ones, and its variant,
# before 62 more random ones.
_FIXED_CLEAR = ~(0xF << 76 | 0x3 << 62)
_FIXED = 0x7 << 76 | 0x2 << 62
RANDOM_BYTES = 10
DRAWN_AHEAD = 64  # ids
_LOW_BITS = 62
_LOW = (1 << _LOW_BITS) - 1


class RequestIds:
    """Ids that grow from one to the next, also where the clock is set back: then the last time stands still."""

    __slots__ = ("_last", "_random", "_used")

    def __init__(self) -> None:
        """Begin. What was drawn ahead must not be used twice: a process that forks begins anew."""
        self._last = 0
        self._random = b""
        self._used = 0

    def next(self) -> str:
        """Return a fresh UUIDv7 as text. Source: RFC 9562, sections 5.7 and 6.2, method 2."""
        if self._used == len(self._random):  # drawn for many: each time the interpreter is handed to other threads
            self._random, self._used = os.urandom(RANDOM_BYTES * DRAWN_AHEAD), 0
        drawn = self._random[self._used : self._used + RANDOM_BYTES]
        self._used += RANDOM_BYTES
        value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(drawn, "big")
        value = value & _FIXED_CLEAR | _FIXED
        if value <= self._last:
            value = _later(self._last, int.from_bytes(drawn[:4], "big"))
        self._last = value
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_request_id() -> str:
    """Return a fresh UUIDv7 as text, in no order with others of its millisecond."""
    return RequestIds().next()


def _later(last: int, step: int) -> int:
    """Return an id a random step after `last`: what does not fit the low bits is carried past the fixed ones."""
    low = (last & _LOW) + 1 + step
    high = (last >> 64 & 0xFFF) + (low >> _LOW_BITS)
    return ((last >> 80) + (high >> 12)) << 80 | (high & 0xFFF) << 64 | low & _LOW | _FIXED
