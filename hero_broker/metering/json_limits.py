"""How many values JSON has at most, before it is decoded: each takes memory and time that its bytes do not show."""

MAX_VALUES = 100_000  # are decoded, beyond those that a call needs
_STEP = 256 * 1024  # bytes that are searched at once, in which no other thread runs


def is_wide(body: bytes) -> bool:
    """Return whether JSON may have more than `MAX_VALUES` values; a comma in a string counts too."""
    if len(body) <= MAX_VALUES:
        return False
    values = 0
    for at in range(0, len(body), _STEP):
        values += sum(body.count(mark, at, at + _STEP) for mark in (b",", b"{", b"["))
        if values > MAX_VALUES:
            return True
    return False
