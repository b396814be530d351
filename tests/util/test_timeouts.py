"""What does not wait sets no timer; what waits is bounded, cancelled and answered as if it were awaited."""

import asyncio

import pytest

from hero_broker.util.timeouts import wait_at_most


async def at_once() -> int:
    return 1


async def fails() -> int:
    raise KeyError("x")


async def waits(seconds: float, seen: list[str]) -> int:
    try:
        await asyncio.sleep(0)
        await asyncio.sleep(seconds)
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise
    finally:
        seen.append("ended")
    return 2


def run(coroutine: object) -> object:
    async def inside() -> object:
        return await coroutine  # type: ignore[misc]

    return asyncio.run(inside())


def test_what_does_not_wait_is_returned_and_no_timer_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(asyncio, "timeout")

    assert run(wait_at_most(1, at_once())) == 1
    with pytest.raises(KeyError):
        run(wait_at_most(1, fails()))


def test_what_waits_is_returned_when_it_is_there() -> None:
    seen: list[str] = []

    assert run(wait_at_most(60, waits(0.001, seen))) == 2
    assert seen == ["ended"]


def test_what_waits_too_long_is_ended() -> None:
    seen: list[str] = []

    with pytest.raises(TimeoutError):
        run(wait_at_most(0.01, waits(60, seen)))
    assert seen == ["cancelled", "ended"]


def test_failure_after_waiting_is_raised() -> None:
    async def fails_later() -> None:
        await asyncio.sleep(0)
        raise KeyError("later")

    with pytest.raises(KeyError):
        run(wait_at_most(60, fails_later()))


def test_cancelling_reaches_what_waits() -> None:
    seen: list[str] = []

    async def cancelled() -> None:
        task = asyncio.create_task(wait_at_most(60, waits(60, seen)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert seen == ["cancelled", "ended"]


def test_error_that_is_caught_inside_lets_it_go_on() -> None:
    async def goes_on(failing: "asyncio.Future[None]") -> str:
        try:
            await failing
        except KeyError:
            await asyncio.sleep(0)
            return "went on"
        return "not reached"

    async def ask() -> str:
        failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(failing.set_exception, KeyError("x"))
        return await wait_at_most(60, goes_on(failing))

    assert asyncio.run(ask()) == "went on"
