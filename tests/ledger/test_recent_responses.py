"""Stored responses between the journal and the store."""

from dataclasses import replace

from hero_broker.core.records import StoredResponse
from hero_broker.ledger.recent_responses import MAX_REMOVED_AT_ONCE, RecentResponses

RESPONSE = StoredResponse("resp_1", "ip:192.0.2.1", "openai", "0a1b2c3d", "m", "request", 43, 1_702_592_000)
KEY = ("resp_1", "ip:192.0.2.1")


def test_line_is_found_until_the_store_has_it() -> None:
    recent = RecentResponses()

    recent.add(RESPONSE)
    before = recent.find(*KEY)
    recent.stored([RESPONSE])

    assert (before, recent.find(*KEY)) == (RESPONSE, None)


def test_line_of_another_owner_is_not_found() -> None:
    recent = RecentResponses()

    recent.add(RESPONSE)

    assert recent.find("resp_1", "ip:192.0.2.2") is None
    assert recent.find("resp_2", "ip:192.0.2.1") is None


def test_later_row_with_the_same_id_stays_when_the_store_has_the_earlier_one() -> None:
    recent, later = RecentResponses(), replace(RESPONSE, request_id="another")
    recent.add(RESPONSE)
    recent.add(later)

    recent.stored([RESPONSE])

    assert recent.find(*KEY) == later


def test_line_is_removed_from_the_store_after_it_has_come_there() -> None:
    recent = RecentResponses()
    recent.add(RESPONSE)

    recent.remove(*KEY)
    before = list(recent.removable())
    recent.stored([RESPONSE])
    after = list(recent.removable())

    assert recent.is_removed(*KEY)
    assert (before, after) == ([], [KEY])
    recent.removed(after)
    assert not recent.is_removed(*KEY)
    assert list(recent.removable()) == []


def test_response_that_comes_again_after_its_removal_is_there() -> None:
    recent = RecentResponses()
    recent.remove(*KEY)

    recent.add(RESPONSE)

    assert not recent.is_removed(*KEY)
    assert recent.find(*KEY) == RESPONSE


def test_many_lines_are_removed_in_steps() -> None:
    recent = RecentResponses()
    for number in range(MAX_REMOVED_AT_ONCE + 1):
        recent.remove(f"resp_{number}", "ip:192.0.2.1")

    first = recent.removable()
    recent.removed(first)

    assert len(first) == MAX_REMOVED_AT_ONCE
    assert list(recent.removable()) == [(f"resp_{MAX_REMOVED_AT_ONCE}", "ip:192.0.2.1")]
