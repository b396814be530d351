"""Lets the event loop serve others while many things are looked at."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

TURN_S = 0.0005  # for which others may have to wait

One = TypeVar("One")


async def in_turns(some: Iterable[One]) -> AsyncIterator[One]:
    """Yield each of some things, and let others go on after every `TURN_S` seconds."""
    turn_ends = time.monotonic() + TURN_S
    for one in some:
        yield one
        if time.monotonic() >= turn_ends:
            await asyncio.sleep(0)
            turn_ends = time.monotonic() + TURN_S
