"""Bounds the number of values in JSON before it is decoded: its size does not show the memory and time they take."""

MAX_VALUES = 100_000  # decoded at most; more than any call needs
_STEP = 256 * 1024  # bytes searched at once, while no other thread runs


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
