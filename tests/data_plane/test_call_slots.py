"""How many calls may be in flight at once, and how many of them from one address."""

import pytest

from hero_broker.core.calls import Caller
from hero_broker.core.errors import Overloaded, TooManyCalls
from hero_broker.data_plane.call_slots import CallSlots, Slot


def taken(slots: CallSlots, ip: str) -> Slot:
    slots.check(Caller(ip, None))
    return slots.slot(ip)


def test_call_beyond_the_limit_is_refused_and_holds_nothing() -> None:
    slots = CallSlots(1, 1)

    with taken(slots, "10.0.0.1"), pytest.raises(Overloaded), taken(slots, "10.0.0.2"):
        pass

    assert (slots.in_flight, slots.addresses) == (0, 0)


@pytest.mark.parametrize("ip", ["10.0.0.1", "400::1", "unknown"])
def test_address_that_holds_its_share_is_refused_and_others_are_not(ip: str) -> None:
    slots = CallSlots(max_calls=4, max_calls_per_address=2)

    with taken(slots, ip), taken(slots, ip):
        with pytest.raises(TooManyCalls, match=ip), taken(slots, ip):
            pass
        with taken(slots, "10.0.0.2"), taken(slots, "400::2"):
            assert slots.in_flight == 4

    with taken(slots, ip):
        assert (slots.in_flight, slots.addresses) == (1, 1)


def test_share_beyond_all_slots_is_all_of_them() -> None:
    slots = CallSlots(max_calls=1, max_calls_per_address=100)

    with taken(slots, "10.0.0.1"), pytest.raises(TooManyCalls, match="1 calls"), taken(slots, "10.0.0.1"):
        pass


def test_addresses_without_calls_in_flight_are_forgotten() -> None:
    slots = CallSlots(10, 1)

    for number in range(1000):
        with taken(slots, f"400::{number:x}"):
            pass

    assert (slots.in_flight, slots.addresses) == (0, 0)


def test_slot_is_returned_when_a_call_fails() -> None:
    slots = CallSlots(1, 1)

    with pytest.raises(RuntimeError), taken(slots, "10.0.0.1"):
        raise RuntimeError

    with taken(slots, "10.0.0.1"):
        assert slots.in_flight == 1
