"""Who may call, and how many at once."""

from ipaddress import ip_network

import pytest

from hero_broker.core.calls import Caller
from hero_broker.core.errors import ClientRefused, Overloaded
from hero_broker.edge.admission import Admission


def admission(max_calls: int = 1) -> Admission:
    return Admission([ip_network("10.0.0.0/8"), ip_network("400::/7")], max_calls)


@pytest.mark.parametrize("ip", ["10.1.2.3", "5ff::1", "unknown"])
def test_allowed_address_may_call(ip: str) -> None:
    admission().check_address(Caller(ip, None))


@pytest.mark.parametrize("ip", ["203.0.113.7", "2001:db8::1"])
def test_other_address_is_refused(ip: str) -> None:
    with pytest.raises(ClientRefused, match=ip):
        admission().check_address(Caller(ip, None))


def test_call_beyond_the_limit_is_refused_and_holds_nothing() -> None:
    gate = admission(max_calls=1)

    with gate.slot(), pytest.raises(Overloaded), gate.slot():
        pass

    assert gate.in_flight == 0


def test_slot_is_returned_when_a_call_fails() -> None:
    gate = admission(max_calls=1)

    with pytest.raises(RuntimeError), gate.slot():
        raise RuntimeError

    with gate.slot():
        assert gate.in_flight == 1
