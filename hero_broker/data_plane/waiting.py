"""A bound on what may have to wait, that costs nothing where it does not."""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

Result = TypeVar("Result")


async def within(seconds: float, coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Return what a coroutine returns, which may wait for `seconds` in all.

    It is begun at once, and a timer is set only if it has to wait: most bodies are there, and most clients take what
    they are sent, thousands of times a second.

    Raises:
        TimeoutError: it had to wait longer.
    """
    try:
        waited_for = coroutine.send(None)
    except StopIteration as ended:
        result: Result = ended.value
        return result
    async with asyncio.timeout(seconds):
        return await _go_on(coroutine, waited_for)


@types.coroutine
def _go_on(coroutine: Coroutine[Any, Any, Result], waited_for: Any) -> Generator[Any, Any, Result]:
    """Pass on what a coroutine that was begun waits for, and what becomes of that."""
    while True:
        resume: Callable[[], Any]
        try:
            told = yield waited_for
        except BaseException as error:  # not caught: handed to the coroutine, a cancellation above all
            resume = partial(coroutine.throw, error)
        else:
            resume = partial(coroutine.send, told)
        try:
            waited_for = resume()
        except StopIteration as ended:
            result: Result = ended.value
            return result
