"""A timeout that costs nothing if the coroutine does not wait."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


async def wait_at_most(seconds: float, coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine with a timeout of `seconds` in all, and return its result.

    The coroutine starts at once, and a timer is set only if it has to wait: thousands of times a second the body is
    already there, or the client takes all that is sent.

    Raises:
        TimeoutError: the coroutine waited longer than `seconds`.
    """
    try:
        future = coroutine.send(None)
    except StopIteration as ended:
        result: Result = ended.value
        return result
    async with asyncio.timeout(seconds):
        return await _StartedCoroutine(coroutine, future)


class _StartedCoroutine(Generator[Any, Any, Result]):
    """Makes a started coroutine awaitable: yields the future that it waits for already, then drives the coroutine."""

    def __init__(self, coroutine: Coroutine[Any, Any, Result], future: Any) -> None:
        self._coroutine = coroutine
        self._first = [future]

    def __await__(self) -> Generator[Any, Any, Result]:
        return self

    def send(self, value: Any) -> Any:
        return self._first.pop() if self._first else self._coroutine.send(value)

    def throw(self, error: Any, value: Any = None, _traceback: Any = None) -> Any:
        return self._coroutine.throw(error if value is None else value)
