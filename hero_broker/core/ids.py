"""Request ids: UUIDv7, so that they sort by time and need no coordination."""

import os
import time

# The fixed bits of a UUIDv7: its version, between 48 bits of time and 12 random bits, and its variant, before 62 more
# random bits.
_FIXED_CLEAR = ~(0xF << 76 | 0x3 << 62)
_FIXED = 0x7 << 76 | 0x2 << 62
RANDOM_BYTES = 10
IDS_AHEAD = 64  # ids
_LOW_BITS = 62
_LOW = (1 << _LOW_BITS) - 1


class RequestIds:
    """Strictly increasing UUIDv7s. If the clock goes back, the last timestamp is reused."""

    __slots__ = ("_last", "_random", "_used")

    def __init__(self) -> None:
        """Start without random bytes. A forked process must create its own: the parent uses the bytes drawn ahead."""
        self._last = 0
        self._random = b""
        self._used = 0

    def next(self) -> str:
        """Return a fresh UUIDv7 as text. Source: RFC 9562, sections 5.7 and 6.2, method 2."""
        if self._used == len(self._random):  # `urandom` releases the GIL, so draw for many ids at once
            self._random, self._used = os.urandom(RANDOM_BYTES * IDS_AHEAD), 0
        entropy = self._random[self._used : self._used + RANDOM_BYTES]
        self._used += RANDOM_BYTES
        value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(entropy, "big")
        value = value & _FIXED_CLEAR | _FIXED
        if value <= self._last:
            value = _later(self._last, int.from_bytes(entropy[:4], "big"))
        self._last = value
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_request_id() -> str:
    """Return a fresh UUIDv7 as text, in no order with others of its millisecond."""
    return RequestIds().next()


def _later(last: int, step: int) -> int:
    """Return an id a random step after `last`; an overflow of the low bits is carried past the fixed bits."""
    low = (last & _LOW) + 1 + step
    high = (last >> 64 & 0xFFF) + (low >> _LOW_BITS)
    return ((last >> 80) + (high >> 12)) << 80 | (high & 0xFFF) << 64 | low & _LOW | _FIXED
