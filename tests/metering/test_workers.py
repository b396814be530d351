"""Work that a caller's data makes slow does not delay other callers."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from hero_broker.metering.workers import THREADS, Workers


def test_address_with_much_work_holds_up_no_other() -> None:
    may_end = threading.Event()

    async def one(workers: Workers, address: str, work: Callable[[Callable[[], bool]], object]) -> object:
        async with workers.turn(address):
            return await workers.run(work)

    async def run() -> object:
        workers = Workers()
        long = [asyncio.create_task(one(workers, "192.0.2.1", lambda _: may_end.wait(10))) for _ in range(10 * THREADS)]
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            answer = await one(workers, "192.0.2.2", lambda _: "at once")
        may_end.set()
        assert all(await asyncio.gather(*long))
        workers.close()
        return answer

    assert asyncio.run(run()) == "at once"


def test_work_learns_that_nobody_waits_and_its_address_goes_on() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(is_over: Callable[[], bool]) -> None:
        begun.set()
        while not is_over():
            threading.Event().wait(0.001)
        ended.set()

    async def run() -> int:
        workers = Workers(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), workers.turn("192.0.2.1"):
                await workers.run(work)
        async with asyncio.timeout(5), workers.turn("192.0.2.1"):
            answer = await workers.run(lambda _: 1)
        workers.close()
        return answer

    assert asyncio.run(run()) == 1
    assert begun.is_set()
    assert ended.is_set()
