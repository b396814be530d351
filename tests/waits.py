"""Waits with a bound: what does not come fails its test, and does not hang it."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

PAUSE_S = 0.005  # a loop without a pause takes the time that the broker needs


def wait_until(condition: Callable[[], Value], within_s: float = 30.0) -> Value:
    """Return the first true value of `condition`, which is called again and again.

    Raises:
        AssertionError: `condition` was false for `within_s` seconds.
    """
    ends_at = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < ends_at, f"not true within {within_s:g} s: {condition}"
        time.sleep(PAUSE_S)
    return value
