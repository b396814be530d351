"""Who may call, how many at once, and how many of them from one address."""

from ipaddress import ip_network

import pytest

from hero_broker.core.calls import Caller
from hero_broker.core.errors import ClientRefused, Overloaded, TooManyCalls
from hero_broker.edge.admission import Admission


def admission(max_calls: int = 1, max_calls_per_address: int = 1) -> Admission:
    return Admission([ip_network("10.0.0.0/8"), ip_network("400::/7")], max_calls, max_calls_per_address)


@pytest.mark.parametrize("ip", ["10.1.2.3", "5ff::1", "unknown"])
def test_allowed_address_may_call(ip: str) -> None:
    admission().check_address(Caller(ip, None), "/v1/models")


@pytest.mark.parametrize("ip", ["203.0.113.7", "2001:db8::1"])
def test_other_address_is_refused(ip: str) -> None:
    with pytest.raises(ClientRefused, match=ip):
        admission().check_address(Caller(ip, None), "/v1/models")


@pytest.mark.parametrize("caller", [Caller("127.0.0.1", None), Caller("::1", None), Caller("127.0.0.5", "127.0.0.1")])
@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/rpc", "/billing/usage", "/openapi.json"])
def test_this_machine_gets_health_and_the_admin_plane_whatever_is_allowed(caller: Caller, path: str) -> None:
    admission().check_address(caller, path)


def test_proxy_on_a_trusted_unix_socket_may_say_that_this_machine_asks() -> None:
    admission().check_address(Caller("127.0.0.1", "unknown"), "/health/live")


@pytest.mark.parametrize(
    ("caller", "path"),
    [
        pytest.param(Caller("127.0.0.1", None), "/v1/chat/completions", id="a call"),
        pytest.param(Caller("127.0.0.1", None), "/healthy", id="another path"),
        pytest.param(Caller("203.0.113.7", "127.0.0.1"), "/health/live", id="forwarded by a proxy on this machine"),
        pytest.param(Caller("127.0.0.1", "203.0.113.7"), "/health/live", id="claimed by a proxy elsewhere"),
        pytest.param(Caller("203.0.113.7", None), "/rpc", id="another machine"),
    ],
)
def test_no_other_request_passes_the_allowed_clients(caller: Caller, path: str) -> None:
    with pytest.raises(ClientRefused):
        admission().check_address(caller, path)


def test_call_beyond_the_limit_is_refused_and_holds_nothing() -> None:
    gate = admission(max_calls=1)

    with gate.slot("10.0.0.1"), pytest.raises(Overloaded), gate.slot("10.0.0.2"):
        pass

    assert (gate.in_flight, gate.addresses) == (0, 0)


@pytest.mark.parametrize("ip", ["10.0.0.1", "400::1", "unknown"])
def test_address_that_holds_its_share_is_refused_and_others_are_not(ip: str) -> None:
    gate = admission(max_calls=4, max_calls_per_address=2)

    with gate.slot(ip), gate.slot(ip):
        with pytest.raises(TooManyCalls, match=ip), gate.slot(ip):
            pass
        with gate.slot("10.0.0.2"), gate.slot("400::2"):
            assert gate.in_flight == 4

    with gate.slot(ip):
        assert (gate.in_flight, gate.addresses) == (1, 1)


def test_share_beyond_all_slots_is_all_of_them() -> None:
    gate = admission(max_calls=1, max_calls_per_address=100)

    with gate.slot("10.0.0.1"), pytest.raises(TooManyCalls, match="1 calls"), gate.slot("10.0.0.1"):
        pass


def test_addresses_without_calls_in_flight_are_forgotten() -> None:
    gate = admission(max_calls=10)

    for number in range(1000):
        with gate.slot(f"400::{number:x}"):
            pass

    assert (gate.in_flight, gate.addresses) == (0, 0)


def test_slot_is_returned_when_a_call_fails() -> None:
    gate = admission(max_calls=1)

    with pytest.raises(RuntimeError), gate.slot("10.0.0.1"):
        raise RuntimeError

    with gate.slot("10.0.0.1"):
        assert gate.in_flight == 1
