"""A bound on what may have to wait, that costs nothing where it does not."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


async def wait_at_most(seconds: float, coroutine: Coroutine[Any, Any, Result]) -> Result:
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
        return await _StartedCoroutine(coroutine, waited_for)


class _StartedCoroutine(Generator[Any, Any, Result]):
    """A coroutine that was begun, to be awaited: first what it waits for already, then whatever it goes on to."""

    def __init__(self, coroutine: Coroutine[Any, Any, Result], waited_for: Any) -> None:
        self._coroutine = coroutine
        self._waited_for = [waited_for]

    def __await__(self) -> Generator[Any, Any, Result]:
        return self

    def send(self, value: Any) -> Any:
        return self._waited_for.pop() if self._waited_for else self._coroutine.send(value)

    def throw(self, error: Any, value: Any = None, _traceback: Any = None) -> Any:
        return self._coroutine.throw(error if value is None else value)
