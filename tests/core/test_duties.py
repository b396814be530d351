"""A duty that fails is seen, and said once; that it works again is said too."""

import asyncio

import pytest

from hero_broker.core.duties import Duty


def test_failures_that_follow_each_other_are_one_line_at_the_beginning_and_one_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    duty = Duty("rollups", "sums are made")

    for why in ("first", "second"):
        duty.failed(why)
    for _ in range(2):
        duty.succeeded()

    began, ended = (record.getMessage() for record in caplog.records)
    assert began == "duty rollups fails: sums are made: first"
    assert ended.startswith("duty rollups works again; the first failure was 0.")
    assert ended.endswith(" s ago: sums are made")


def test_report_says_since_when_and_why_it_fails_and_keeps_the_last_reason() -> None:
    duty = Duty("wal", "emptied")
    before = duty.report()
    duty.failed("SQLITE_BUSY")
    failing = duty.report()
    duty.succeeded()

    assert before == {"duty": "wal", "status": "ok", "failing_since": None, "last_error": None, "failures": 0}
    assert isinstance(failing.pop("failing_since"), int)
    assert failing == {"duty": "wal", "status": "failing", "last_error": "SQLITE_BUSY", "failures": 1}
    assert duty.report() == {**before, "last_error": "SQLITE_BUSY", "failures": 1}


def test_attempt_that_raises_ends_nothing_and_quotes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    duty = Duty("connections", "closed")

    with duty.attempt():
        raise ValueError("a secret")
    is_failing, why = duty.is_failing, duty.last_error
    with duty.attempt():
        pass

    assert (is_failing, why, duty.is_failing) == (True, "ValueError", False)
    assert "a secret" not in "".join(record.getMessage() for record in caplog.records)


def test_repeated_work_outlives_its_failures_and_ends_with_the_block() -> None:
    async def run() -> tuple[list[str], set[str]]:
        duty, done, outcomes = Duty("work", "done"), asyncio.Event(), iter(["fails", "succeeds"])
        seen: list[str] = []

        def work() -> None:
            outcome = next(outcomes, "again")
            seen.append(outcome)
            if outcome == "fails":
                raise ValueError(outcome)
            done.set()

        async with duty.repeated(work, 0.001):
            async with asyncio.timeout(20):
                await done.wait()
        assert (duty.failures, duty.is_failing) == (1, False)
        return seen, {task.get_name() for task in asyncio.all_tasks()}

    seen, tasks = asyncio.run(run())

    assert seen[:2] == ["fails", "succeeds"]
    assert "work" not in tasks
