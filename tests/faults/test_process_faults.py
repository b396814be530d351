"""Signals, clocks, descriptors and state directories in trouble: no answered call is unbilled, none billed twice."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import process_faults as faults
from tests.faults.process_faults import Books, Refused


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_ends_a_stream_after_the_grace_with_an_error_that_its_client_sees(
    tmp_path: Path, number: signal.Signals
) -> None:
    stopped = faults.stopped_by(tmp_path, number)

    assert stopped.code == 0
    assert b'"code":"interrupted"' in stopped.end_of_stream
    assert stopped.books.are_right, stopped
    assert stopped.books.failed == 1


def test_second_signal_skips_a_grace_of_ten_minutes_and_not_the_journal(tmp_path: Path) -> None:
    stopped = faults.stopped_by(tmp_path, signal.SIGTERM, signal.SIGTERM, grace_s=600)

    assert stopped.code == 0
    assert b'"code":"interrupted"' in stopped.end_of_stream
    assert stopped.books.are_right, stopped


def test_stop_while_the_database_is_locked_leaves_the_rows_to_the_next_start(tmp_path: Path) -> None:
    stopped = faults.stopped_by(tmp_path, signal.SIGTERM, while_locked=True)

    assert stopped.code == 0
    assert stopped.books.are_right, stopped


def test_hang_up_without_a_terminal_ends_nothing(tmp_path: Path) -> None:
    hung_up = faults.hung_up(tmp_path)

    assert (hung_up.still_serves, hung_up.lines) == (True, 3)
    assert hung_up.books.are_right, hung_up


def test_clock_that_steps_a_day_ends_no_call_and_disorders_no_id(tmp_path: Path) -> None:
    stepped = faults.clock_stepped(tmp_path)

    assert (stepped.ids_grow, stepped.days, stepped.cut) == (True, 3, 0)
    assert stepped.longest_ms < faults.DAY_S * 1000
    assert stepped.books.are_right, stepped


def test_broker_without_a_descriptor_left_refuses_bills_and_recovers(tmp_path: Path) -> None:
    exhausted = faults.descriptors_exhausted(tmp_path)

    assert exhausted.statuses.keys() <= {502, 503}
    assert exhausted.books.failed == exhausted.statuses.get(502, 0)
    assert exhausted.afterwards == 10
    assert exhausted.log_lines < 50
    assert exhausted.books.are_right, exhausted


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        pytest.param(faults.second_broker, "another broker uses the state directory", id="second broker"),
        pytest.param(faults.read_only, "cannot be used: Permission denied", id="read-only"),
        pytest.param(faults.full_disk, "cannot be written: File too large", id="full disk"),
        pytest.param(faults.open_to_all, "every user of this machine could change the ledger", id="open to all"),
    ],
)
def test_start_on_a_directory_in_trouble_is_refused_with_3_and_loses_nothing(
    tmp_path: Path, fault: Callable[[Path], Refused], told: str
) -> None:
    refused = fault(tmp_path)

    assert refused.code == 3
    assert told in refused.told
    assert refused.books.are_right, refused
    assert refused.books.failed == 0


@pytest.mark.parametrize("fault", [faults.journal_older_than_database, faults.database_older_than_journal])
def test_journal_and_database_of_different_age_give_each_row_once(
    tmp_path: Path, fault: Callable[[Path], Books]
) -> None:
    books = fault(tmp_path)

    assert books.are_right, books
    assert books.failed == 0
